"""The pipeline, a token's cycle and small jobs with everything durable: against memory, and against SQLite itself."""

import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks.harness import Effort, Row, Sample, at_least, at_most, seconds_of, take_turns
from benchmarks.jobs import IN_FLIGHT, small_flow
from benchmarks.jobs import flow_rate as jobs_rate
from benchmarks.pipeline import RING_SHARE, STAGES, flow_rate, pipeline_flow, ring_flow, ring_rate
from benchmarks.raw_sqlite import Watched, frame_seconds, row_seconds
from flowforge.flow import Flow
from flowforge.options import RuntimeOptions
from flowforge.runtime import Runtime
from flowforge.stores.codec import Codec
from flowforge.stores.sqlite import SqliteStore

__all__ = ["many_at_once", "measure", "on_new_store", "one_by_one", "stored_runtime"]


@contextmanager
def stored_runtime(*flows: Flow, path: Path | None = None, **options: Any) -> Iterator[tuple[Runtime, SqliteStore]]:
    """A runtime with these flows on a store of such options, which is new and then deleted, unless it has a path."""
    with tempfile.TemporaryDirectory() as folder:
        store = SqliteStore(path or Path(folder) / "jobs.db", Codec(), **options)
        try:
            with Runtime(store=store, flows=flows, options=RuntimeOptions(shutdown_timeout=60.0)) as runtime:
                yield runtime, store
        finally:
            store.close()


def on_new_store(work: Callable[[Runtime, Flow, int], float], flow: Flow, count: int) -> float:
    """What `work` returns on a store that is new; opening it is not counted."""
    with stored_runtime(flow) as (runtime, _):
        return work(runtime, flow, count)


def watched(work: Callable[[Runtime, Flow, int], float], flow: Flow, count: int) -> Watched:
    """The connection of a store that `work` was done on, which has kept what was written."""
    opened: list[Watched] = []

    class Connection(Watched):
        """One that can be found."""

        def __init__(self, *arguments: Any, **options: Any) -> None:
            super().__init__(*arguments, **options)
            opened.append(self)

    with stored_runtime(flow, connection_type=Connection) as (runtime, _):
        work(runtime, flow, count)
    return opened[0]


def pure(flow: Flow) -> Flow:
    """The flow, once all its routines are declared pure."""
    for name in list(flow.routines):
        flow.routines[name].set_pure()
    return flow


def pipeline_rows(effort: Effort) -> list[Row]:
    """Handler calls a second, all steps acknowledged, against the same flow in memory and what SQLite can write."""
    count = effort.size(20_000)
    flow, pure_flow = pipeline_flow(), pure(pipeline_flow())
    calls = STAGES * count
    records = watched(flow_rate, flow, count).records()
    with Runtime() as in_memory:
        rates = take_turns(
            {
                "durable": lambda: on_new_store(flow_rate, flow, count),
                "pure": lambda: on_new_store(flow_rate, pure_flow, count),
                "memory": lambda: flow_rate(in_memory, flow, count),
                "frames": lambda: calls / frame_seconds(records),
                "rows": lambda: calls / row_seconds(records),
            },
            effort.rounds,
            "calls/s",
        )
    work = f"durable pipeline of {STAGES} stages, {count:,} messages"
    ours, theirs = rates["durable"], rates["memory"]
    frames, rows = rates["frames"], rates["rows"]
    return [
        Row(work=work, ours=ours, peer="in memory", theirs=theirs, is_limit=True, target=at_least(0.25, stretch=0.4)),
        Row(work=work, ours=ours, peer="its records as raw frames", theirs=frames, is_limit=True, target=at_least(0.2)),
        Row(work=work, ours=ours, peer="its records as raw rows, 500 a commit", theirs=rows, is_limit=True),
        Row(work=f"{work}, declared pure", ours=rates["pure"], peer="in memory", theirs=theirs, is_limit=True),
    ]


def cycle_rows(effort: Effort) -> list[Row]:
    """Steps a second of one token, each on disk before the next begins, and how often the disk was waited for."""
    laps = effort.size(2_000) // RING_SHARE
    flow = ring_flow(laps)
    connection = watched(ring_rate, flow, laps)
    records = connection.records()[: STAGES * laps]
    rates = take_turns(
        {
            "durable": lambda: on_new_store(ring_rate, flow, laps),
            "rows": lambda: STAGES * laps / row_seconds(records, batch=1),
        },
        effort.rounds,
        "calls/s",
    )
    work = f"durable ring of {STAGES} stages, one token, {STAGES * laps:,} steps"
    flushes = Sample((len(connection.frames) / (STAGES * laps),), "flushes a step")
    return [
        Row(work=work, ours=rates["durable"], peer="a raw row a commit", theirs=rates["rows"], is_limit=True),
        Row(work=work, ours=flushes, target=at_most(1.5)),
    ]


def one_by_one(runtime: Runtime, flow: Flow, count: int) -> float:
    """Jobs a second, each waited for before the next is started."""

    def run() -> None:
        for _ in range(count):
            job = runtime.exec(flow, "a", {"x": 0})
            job.wait()
            assert job.outputs == {"c.out": [{"x": 3}]}

    return count / seconds_of(run)


def many_at_once(runtime: Runtime, flow: Flow, count: int) -> float:
    """Jobs a second, a hundred started before they are waited for."""

    def run() -> None:
        for _ in range(0, count, IN_FLIGHT):
            jobs = runtime.exec_many(flow, [{"x": 0}] * IN_FLIGHT, entry_routine_id="a")
            for job in jobs:
                job.wait()
                assert job.outputs == {"c.out": [{"x": 3}]}

    return count / seconds_of(run)


def jobs_rows(effort: Effort) -> list[Row]:
    """Jobs of three routines a second, from their start to their end on disk."""
    flow = small_flow()
    few = effort.size(500)
    many = effort.size(5_000) // IN_FLIGHT * IN_FLIGHT or IN_FLIGHT
    with Runtime() as in_memory:
        rates = take_turns(
            {
                "one by one": lambda: on_new_store(one_by_one, flow, few),
                "one by one in memory": lambda: one_by_one(in_memory, flow, few),
                "in flight": lambda: on_new_store(many_at_once, flow, many),
                "in flight in memory": lambda: jobs_rate(in_memory, flow, many),
            },
            effort.rounds,
            "jobs/s",
        )
    works = {"one by one": "one after the other", "in flight": f"{IN_FLIGHT} in flight"}
    return [
        Row(
            work=f"durable jobs of 3 routines, {text}",
            ours=rates[name],
            peer="in memory",
            theirs=rates[f"{name} in memory"],
            is_limit=True,
        )
        for name, text in works.items()
    ]


def measure(effort: Effort) -> list[Row]:
    """Pipeline, cycle and small jobs."""
    return [*pipeline_rows(effort), *cycle_rows(effort), *jobs_rows(effort)]
