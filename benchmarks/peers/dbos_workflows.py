"""DBOS on SQLite: a workflow that takes each message through its steps, and a workflow of three steps a job."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from dbos import DBOS

from benchmarks.peers.works import IN_FLIGHT, STAGES, Contenders

__all__ = ["contenders"]


@DBOS.step()
def step(x: int) -> int:
    """Pass it on, plus one."""
    return x + 1


@DBOS.workflow()
def pipeline(count: int) -> int:
    """Take so many messages through five steps each, and count them."""
    collected = 0
    for x in range(count):
        passed = x
        for _ in range(STAGES):
            passed = step(passed)
        collected += 1
    return collected


@DBOS.workflow()
def small(x: int) -> int:
    """Three steps."""
    for _ in range(3):
        x = step(x)
    return x


def run_pipeline(count: int) -> None:
    """One workflow."""
    assert pipeline(count) == count


def run_each(count: int) -> None:
    """One workflow after the other."""
    for _ in range(count):
        assert small(0) == 3


def run_in_flight(count: int) -> None:
    """A hundred workflows at a time."""
    for _ in range(0, count, IN_FLIGHT):
        handles = [DBOS.start_workflow(small, 0) for _ in range(IN_FLIGHT)]
        assert all(handle.get_result() == 3 for handle in handles)


@contextmanager
def contenders() -> Iterator[Contenders]:
    """The durable works; it has no others."""
    with tempfile.TemporaryDirectory() as folder:
        url = f"sqlite:///{Path(folder) / 'system.db'}"
        DBOS(config={"name": "benchmarks", "system_database_url": url, "log_level": "ERROR", "run_admin_server": False})
        DBOS.launch()
        try:
            yield {
                "durable pipeline": run_pipeline,
                "durable jobs": run_each,
                "durable jobs in flight": run_in_flight,
            }
        finally:
            DBOS.destroy()
