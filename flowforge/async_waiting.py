"""Waiting for a job on an asyncio loop, without a thread."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from flowforge._engine.job import Job

__all__ = ["wait_on_loop"]


async def wait_on_loop(run: Job, timeout: float | None) -> bool:  # noqa: ASYNC109 - the twin of `JobState.wait`
    """Wait, on the running loop, until the run has come to its end; False after `timeout` seconds."""
    loop = asyncio.get_running_loop()
    rested = asyncio.Event()

    def tell() -> None:
        # A loop that was closed meanwhile has nobody left who waits.
        with contextlib.suppress(RuntimeError):
            loop.call_soon_threadsafe(rested.set)

    run.when_rested(tell)
    try:
        await asyncio.wait_for(rested.wait(), timeout)
    except TimeoutError:
        return False
    finally:
        run.forget_listener(tell)
    return True
