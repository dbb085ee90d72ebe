"""LlamaIndex Workflows: a run of five steps a message, and a run of three steps a job.

All messages as events of a single run took longer, and the longer the more there were.
"""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

from workflows import Workflow, step
from workflows.events import Event, StartEvent, StopEvent

from benchmarks.peers.works import IN_FLIGHT, Contenders

__all__ = ["contenders"]


class First(Event):
    """From the first stage."""

    x: int


class Second(First):
    """From the second stage."""


class Third(First):
    """From the third stage."""


class Fourth(First):
    """From the fourth stage."""


class Opening(Workflow):
    """The first two stages, which both works begin with."""

    @step
    async def first(self, ev: StartEvent) -> First:
        """Pass it on."""
        return First(x=ev.x + 1)

    @step
    async def second(self, ev: First) -> Second:
        """Pass it on."""
        return Second(x=ev.x + 1)


class Pipeline(Opening):
    """Five stages in a row."""

    @step
    async def third(self, ev: Second) -> Third:
        """Pass it on."""
        return Third(x=ev.x + 1)

    @step
    async def fourth(self, ev: Third) -> Fourth:
        """Pass it on."""
        return Fourth(x=ev.x + 1)

    @step
    async def fifth(self, ev: Fourth) -> StopEvent:
        """End."""
        return StopEvent(result=ev.x + 1)


class Small(Opening):
    """Three steps in a row."""

    @step
    async def third(self, ev: Second) -> StopEvent:
        """End."""
        return StopEvent(result=ev.x + 1)


async def run_each(workflow: Workflow, count: int) -> None:
    """One run after the other."""
    for _ in range(count):
        assert await workflow.run(x=0)


async def run_in_flight(workflow: Workflow, count: int) -> None:
    """A hundred runs at a time."""
    for start in range(0, count, IN_FLIGHT):
        assert all(await asyncio.gather(*(workflow.run(x=0) for _ in range(start, min(start + IN_FLIGHT, count)))))


@contextmanager
def contenders() -> Iterator[Contenders]:
    """The works in memory."""
    stages, small = Pipeline(timeout=None), Small(timeout=None)
    yield {
        "pipeline": lambda count: asyncio.run(run_in_flight(stages, count)),
        "jobs": lambda count: asyncio.run(run_each(small, count)),
        "jobs in flight": lambda count: asyncio.run(run_in_flight(small, count)),
    }
