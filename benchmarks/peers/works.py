"""What is asked of FlowForge and of its peers: five stages, and jobs of three, in memory and durable."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from benchmarks.durable import many_at_once, on_new_store, one_by_one
from benchmarks.harness import Effort, seconds_of
from benchmarks.jobs import IN_FLIGHT, small_flow
from benchmarks.pipeline import STAGES, pipeline_flow
from benchmarks.pipeline import flow_rate as pipeline_rate
from flowforge.runtime import Runtime

__all__ = ["IN_FLIGHT", "STAGES", "WORKS", "Contenders", "Work", "flowforge_contenders"]

Contenders = dict[str, Callable[[int], object]]
"""For each work, by name, what does so many messages or jobs of it, and returns when all are done."""


@dataclass(frozen=True, slots=True)
class Work:
    """A work that a peer may take part in: so many messages or jobs, and what is counted for each of them."""

    text: str
    size: int
    unit: str
    counted: int = 1

    def count(self, effort: Effort) -> int:
        """How many there are at this effort; whole hundreds where so many are in flight."""
        size = effort.size(self.size)
        return max(1, size // IN_FLIGHT) * IN_FLIGHT if "in flight" in self.text else size

    def rate(self, contender: Callable[[int], object], count: int) -> float:
        """What is counted, a second."""
        return self.counted * count / seconds_of(lambda: contender(count))


WORKS = {
    "pipeline": Work(f"pipeline of {STAGES} stages, {{:,}} messages", 2_000, "calls/s", STAGES),
    "jobs": Work("jobs of 3 routines, one after the other, {:,} of them", 1_000, "jobs/s"),
    "jobs in flight": Work(f"jobs of 3 routines, {IN_FLIGHT} in flight, {{:,}} of them", 1_000, "jobs/s"),
    "durable pipeline": Work(f"durable pipeline of {STAGES} stages, {{:,}} messages", 200, "calls/s", STAGES),
    "durable jobs": Work("durable jobs of 3 routines, one after the other, {:,} of them", 200, "jobs/s"),
    "durable jobs in flight": Work(f"durable jobs of 3 routines, {IN_FLIGHT} in flight, {{:,}} of them", 200, "jobs/s"),
}


@contextmanager
def flowforge_contenders() -> Iterator[Contenders]:
    """FlowForge at all of these works; a durable one has a store of its own each time, as it has in a first run."""
    pipeline, small = pipeline_flow(), small_flow()
    with Runtime() as runtime:
        yield {
            "pipeline": lambda count: pipeline_rate(runtime, pipeline, count),
            "jobs": lambda count: one_by_one(runtime, small, count),
            "jobs in flight": lambda count: many_at_once(runtime, small, count),
            "durable pipeline": lambda count: on_new_store(pipeline_rate, pipeline, count),
            "durable jobs": lambda count: on_new_store(one_by_one, small, count),
            "durable jobs in flight": lambda count: on_new_store(many_at_once, small, count),
        }
