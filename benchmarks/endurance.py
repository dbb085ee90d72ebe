"""Memory over millions of steps of one job, in memory and durable, looked at every so many steps; and its file."""

import tempfile
import time
from pathlib import Path
from statistics import linear_regression

from benchmarks.cycle import resident_bytes
from benchmarks.durable import stored_runtime
from benchmarks.harness import Effort, Row, Sample, at_most, seconds_of
from benchmarks.pipeline import STAGES, Collect, Stage, source_to
from flowforge.flow import Flow
from flowforge.runtime import Runtime

__all__ = ["measure"]

LOOKS = 200
USUAL, LARGEST = 1_000_000, 100_000_000
"""Steps; the second takes about an hour."""


class Watching(Collect):
    """Counts what arrives, and notes the memory held at every so many of its messages."""

    def __init__(self, every: int, looks: list[tuple[int, int]]) -> None:
        super().__init__()
        self.every = every
        self.looks = looks

    def work(self, x: int) -> None:
        """Count it."""
        super().work(x)
        if self.state["count"] % self.every == 0:
            self.looks.append((self.state["count"] * STAGES, resident_bytes()))


def watched_flow(count: int) -> tuple[Flow, list[tuple[int, int]]]:
    """The pipeline with looks at its end, and the steps and bytes at each look."""
    looks: list[tuple[int, int]] = []
    return source_to(*(Stage() for _ in range(1, STAGES)), Watching(max(1, count // LOOKS), looks)), looks


def run(runtime: Runtime, flow: Flow, count: int) -> float:
    """Steps a second of one job."""
    return STAGES * count / seconds_of(lambda: runtime.exec(flow, "source", {"count": count}).wait())


def slope(looks: list[tuple[int, int]]) -> float:
    """Bytes gained a step, once the first fifth is over, in which history and caches fill."""
    settled = looks[len(looks) // 5 :]
    return linear_regression(*zip(*settled, strict=True)).slope


def rows_of(place: str, rate: float, looks: list[tuple[int, int]]) -> list[Row]:
    """Rate, slope, and what was held at most."""
    work = f"{looks[-1][0]:,} steps of one job, {place}"
    return [
        Row(work=work, ours=Sample((rate,), "steps/s")),
        Row(work=work, ours=Sample((slope(looks),), "B gained a step"), target=at_most(1)),
        Row(work=work, ours=Sample((max(held for _, held in looks) / 2**20,), "MiB at most")),
    ]


def kept_rows(count: int) -> list[Row]:
    """The durable run, the size of its file at the end, and how long it takes to have the job from it again."""
    flow, looks = watched_flow(count)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "jobs.db"
        with stored_runtime(flow, path=path) as (runtime, _):
            rows = rows_of("durable", run(runtime, flow, count), looks)
            (job,) = runtime.list_jobs()
        size = path.stat().st_size

        before = time.perf_counter()
        with stored_runtime(flow, path=path) as (runtime, _):
            again = runtime.get_job(job.job_id)
            assert again is not None
            assert again.get_routine_state("collect")["count"] == count
            seconds = time.perf_counter() - before
    work = rows[0].work
    return [
        *rows,
        Row(work=work, ours=Sample((size / 2**20,), "MiB of file")),
        Row(work=work, ours=Sample((seconds,), "s to have it again")),
    ]


def measure(effort: Effort) -> list[Row]:
    """In memory, then on SQLite."""
    count = effort.sizes(USUAL, largest=LARGEST)[-1] // STAGES
    flow, looks = watched_flow(count)
    with Runtime() as runtime:
        rows = rows_of("in memory", run(runtime, flow, count), looks)
    return [*rows, *kept_rows(count)]
