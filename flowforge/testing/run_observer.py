"""Who is told of each simulated run as it begins: the pytest plugin, which tells the story of the last one."""

from __future__ import annotations

import contextlib
import contextvars
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from flowforge.testing.simulated_run import SimulatedRun

__all__ = ["observe_runs", "tell_observer"]

_OBSERVER: contextvars.ContextVar[Callable[[SimulatedRun], object] | None] = contextvars.ContextVar(
    "flowforge_run_observer", default=None
)


@contextlib.contextmanager
def observe_runs(observer: Callable[[SimulatedRun], object]) -> Iterator[None]:
    """Have `observer` called with each run that begins in the block."""
    token = _OBSERVER.set(observer)
    try:
        yield
    finally:
        _OBSERVER.reset(token)


def tell_observer(run: SimulatedRun) -> None:
    """A run begins."""
    observer = _OBSERVER.get()
    if observer is not None:
        observer(run)
