"""How long a store takes to open after its process was killed, and how large its file is for each step."""

import multiprocessing
import os
import shutil
import sqlite3
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.acknowledged import sink_flow
from benchmarks.durable import stored_runtime
from benchmarks.harness import Effort, Row, Sample, be_quiet, take_turns
from benchmarks.pipeline import STAGES, pipeline_flow
from flowforge.flow import Flow
from flowforge.job_state import JobState
from flowforge.runtime import Runtime
from flowforge.stores.codec import Codec
from flowforge.stores.sqlite import SqliteStore

__all__ = ["measure"]

ROUNDS = 3
LOOK_EVERY = 0.05
SUBMITTERS = 32
FOLD_RECORDS = 10_000
NEVER = 1 << 60


class Shape(NamedTuple):
    """What a store is filled with: so many unfinished jobs of so many steps each."""

    name: str
    jobs: int
    steps: int
    is_folded: bool = True

    @property
    def options(self) -> dict[str, Any]:
        """Those of the store: a job that is folded is so as soon as it has ten thousand records."""
        if self.is_folded:
            return {"fold_records": FOLD_RECORDS}
        return {"fold_records": NEVER, "fold_bytes": NEVER}

    @property
    def messages(self) -> int:
        """Those that go through the pipeline of each job, whose source makes a few steps of its own as well."""
        return self.steps // STAGES

    @property
    def flow(self) -> Flow:
        """A pipeline, or a single routine for jobs of one step."""
        return pipeline_flow() if self.messages else sink_flow()


def fill(path: str, shape: Shape) -> None:
    """Fill a store, and die without closing it; to be run in a process of its own."""
    be_quiet()
    flow = shape.flow
    entry = ("source", {"count": shape.messages}) if shape.messages else ("collect", {"x": 1})
    expected = shape.messages or 1
    with stored_runtime(flow, path=Path(path), **shape.options) as (runtime, _):

        def start(_: int) -> JobState:
            return runtime.exec(flow, *entry, keep_alive=True)

        with ThreadPoolExecutor(SUBMITTERS) as threads:
            jobs = list(threads.map(start, range(shape.jobs)))
        wait_until(lambda: all(job.get_routine_state("collect") == {"count": expected} for job in jobs))
        # What is on disk has all before it there too.
        runtime.post(jobs[0], "collect", "input", {"x": 0})
        if shape.is_folded:
            wait_until(lambda: longest_job(path) <= FOLD_RECORDS)
        os._exit(0)


def wait_until(is_so: Callable[[], bool]) -> None:
    """Return once it is so."""
    while not is_so():
        time.sleep(LOOK_EVERY)


def longest_job(path: str) -> int:
    """How many records the store keeps of the job of which it keeps most, as far as they have come out of its log."""
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as connection:
        most: int | None = connection.execute("SELECT max(records) FROM jobs").fetchone()[0]
        return most or 0


@contextmanager
def killed(shape: Shape) -> Iterator[Path]:
    """The folder of a store whose process was killed."""
    with tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder) / "jobs.db")
        process = multiprocessing.get_context("spawn").Process(target=fill, args=(path, shape))
        process.start()
        process.join()
        assert process.exitcode == 0, f"The process that fills {shape} ended with {process.exitcode}."
        yield Path(folder)


@contextmanager
def copied(folder: Path) -> Iterator[Path]:
    """The store of a copy of that folder."""
    with tempfile.TemporaryDirectory() as other:
        copy = Path(other) / "copy"
        shutil.copytree(folder, copy)
        yield copy / "jobs.db"


def opening_seconds(folder: Path, shape: Shape) -> float:
    """Seconds until a runtime is open on a copy of the store, and all jobs go on."""
    with copied(folder) as path:
        flow = shape.flow
        before = time.perf_counter()
        with stored_runtime(flow, path=path, **shape.options) as (runtime, _):
            seconds = time.perf_counter() - before
            check(runtime, shape)
        return seconds


def check(runtime: Runtime, shape: Shape) -> None:
    """See that all jobs are there, and have all their steps."""
    jobs = runtime.list_jobs()
    assert len(jobs) == shape.jobs
    assert all(job.get_routine_state("collect")["count"] >= (shape.messages or 1) for job in jobs)


def sizes(folder: Path, shape: Shape) -> tuple[float, float]:
    """Bytes of the file for each step, when its log has come into it, and once it is vacuumed."""
    with copied(folder) as path:
        found = []
        for tidy in (SqliteStore.jobs, SqliteStore.vacuum):
            store = SqliteStore(path, Codec(), **shape.options)
            tidy(store)
            store.close()
            found.append(path.stat().st_size / (shape.jobs * shape.steps))
        return found[0], found[1]


def rows_of(shape: Shape, effort: Effort) -> list[Row]:
    """How long one store takes to open, and how large it is."""
    with killed(shape) as folder:
        opening = {"opening": lambda: opening_seconds(folder, shape)}
        seconds = take_turns(opening, min(ROUNDS, effort.rounds), "s", warms_up=False)["opening"]
        as_left, vacuumed = sizes(folder, shape)
    return [
        Row(work=f"recovery of {shape.name}", ours=seconds),
        Row(work=f"file of {shape.name}", ours=Sample((as_left,), "B a step")),
        Row(work=f"file of {shape.name}, vacuumed", ours=Sample((vacuumed,), "B a step")),
    ]


def measure(effort: Effort) -> list[Row]:
    """A million steps in one job, with its log and folded, and in a thousand jobs; and a hundred thousand jobs."""
    steps, jobs = effort.size(1_000_000), effort.size(100_000)
    several = effort.size(1_000)
    each = max(STAGES, steps // several)
    shapes = [
        Shape(f"{steps:,} steps in one job, not folded", 1, steps, is_folded=False),
        Shape(f"{steps:,} steps in one job, folded", 1, steps),
        Shape(f"{several * each:,} steps in {several:,} jobs", several, each),
        Shape(f"{jobs:,} unfinished jobs of one step", jobs, 1),
    ]
    return [row for shape in shapes for row in rows_of(shape, effort)]
