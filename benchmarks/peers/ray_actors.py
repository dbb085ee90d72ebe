"""Ray: an actor for each stage, whose results are handed on by reference; jobs are calls of three standing actors."""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import ray

from benchmarks.peers.works import IN_FLIGHT, STAGES, Contenders

__all__ = ["contenders"]


class Stage:
    """A stage in a process of its own."""

    def work(self, x: int) -> int:
        """Pass it on, plus one."""
        return x + 1


def through(stages: Sequence[Any], x: int) -> Any:
    """What comes of a number once it has gone through all stages, as a reference."""
    passed: Any = x
    for stage in stages:
        passed = stage.work.remote(passed)
    return passed


def run_pipeline(stages: Sequence[Any], count: int) -> None:
    """All at once."""
    assert ray.get([through(stages, x) for x in range(count)]) == [x + len(stages) for x in range(count)]


def run_each(stages: Sequence[Any], count: int) -> None:
    """One after the other."""
    for _ in range(count):
        assert ray.get(through(stages, 0)) == len(stages)


def run_in_flight(stages: Sequence[Any], count: int) -> None:
    """A hundred at a time."""
    for _ in range(0, count, IN_FLIGHT):
        assert ray.get([through(stages, 0) for _ in range(IN_FLIGHT)]) == [len(stages)] * IN_FLIGHT


@contextmanager
def contenders() -> Iterator[Contenders]:
    """The works in memory; starting Ray and its actors is not counted."""
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    ray.init(num_cpus=os.cpu_count(), include_dashboard=False, log_to_driver=False, logging_level="ERROR")
    try:
        actor = ray.remote(num_cpus=0)(Stage)
        stages = [actor.remote() for _ in range(STAGES)]
        run_pipeline(stages, 1)
        yield {
            "pipeline": lambda count: run_pipeline(stages, count),
            "jobs": lambda count: run_each(stages[:3], count),
            "jobs in flight": lambda count: run_in_flight(stages[:3], count),
        }
    finally:
        ray.shutdown()
