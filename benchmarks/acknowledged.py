"""How long `post` and `exec` take while a durable pipeline runs, alone and beside handlers that compute."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import NamedTuple

from benchmarks.durable import stored_runtime
from benchmarks.harness import Effort, Row, Sample, at_most, percentile, seconds_of
from benchmarks.pipeline import STAGES, Collect, pipeline_flow
from flowforge.flow import Flow
from flowforge.job_state import JobState
from flowforge.routine import Routine
from flowforge.runtime import Runtime

__all__ = ["measure", "sink_flow"]

BUSY = 4
WITHOUT_END = 10**12


class Burn(Routine):
    """Computes in one step until it is told that it is over."""

    def __init__(self, is_over: threading.Event) -> None:
        super().__init__()
        self.define_slot("input", handler=self.work)
        self.is_over = is_over

    def work(self) -> None:
        """Keep the interpreter busy."""
        while not self.is_over.is_set():
            sum(range(1000))


class Waits(NamedTuple):
    """Seconds of each call, and the handler calls a second that the pipeline made meanwhile."""

    posts: list[float]
    execs: list[float]
    rate: float


def burning_flow(is_over: threading.Event) -> Flow:
    """Four routines that compute side by side."""
    flow = Flow("burning")
    for number in range(BUSY):
        flow.add_routine(Burn(is_over), f"burn{number}")
    return flow


def sink_flow() -> Flow:
    """One routine that counts what is posted to it."""
    flow = Flow("sink")
    flow.add_routine(Collect(), "collect")
    return flow


@contextmanager
def burning(runtime: Runtime, flow: Flow, is_over: threading.Event, *, is_busy: bool) -> Iterator[None]:
    """Have its handlers compute during the block, if they shall."""
    if is_busy:
        runtime.exec(flow)
    try:
        yield
    finally:
        is_over.set()


def waits(count: int, *, is_busy: bool, has_pipeline: bool) -> Waits:
    """So many posts and as many jobs started, in turn, each timed until it is on disk.

    They come from a thread of their own, as in a server; the main thread, which signals may interrupt, has the store's
    writer write for it and takes longer beside handlers that compute.
    """
    is_over = threading.Event()
    pipeline, sink, burn = pipeline_flow(), sink_flow(), burning_flow(is_over)
    posts: list[float] = []
    execs: list[float] = []
    with stored_runtime(pipeline, sink, burn) as (runtime, _):
        running = runtime.exec(pipeline, "source", {"count": WITHOUT_END if has_pipeline else 1})
        fed = runtime.exec(sink, keep_alive=True)

        def submit() -> None:
            for number in range(count):
                posts.append(seconds_of(partial(runtime.post, fed, "collect", "input", {"x": number})))
                execs.append(seconds_of(partial(runtime.exec, sink, "collect", {"x": number})))

        while not counted(running):
            time.sleep(0.01)
        with burning(runtime, burn, is_over, is_busy=is_busy):
            before, since = counted(running), time.perf_counter()
            submitter = threading.Thread(target=submit)
            submitter.start()
            submitter.join()
            rate = STAGES * (counted(running) - before) / (time.perf_counter() - since)
        running.cancel()
        fed.close()
    return Waits(posts, execs, rate)


def counted(running: JobState) -> int:
    """How many messages have come out of the pipeline."""
    count: int = running.get_routine_state("collect")["count"]
    return count


def measure(effort: Effort) -> list[Row]:
    """Medians and 99th percentiles of both, and the pipeline's rate meanwhile, which the handlers take from."""
    count = max(100, effort.size(400))
    rows: list[Row] = []
    rates: list[Sample] = []
    for has_pipeline, is_busy in ((False, False), (False, True), (True, False), (True, True)):
        found = waits(count, is_busy=is_busy, has_pipeline=has_pipeline)
        places = ["a running pipeline"] * has_pipeline + [f"{BUSY} computing handlers"] * is_busy
        place = "beside " + " and ".join(places) if places else "alone"
        for name, seconds in (("post", found.posts), ("exec", found.execs)):
            work = f"{name} on disk {place}, {count:,} samples"
            limit = at_most(250) if is_busy else None
            rows += [
                Row(work=f"{work}, p50", ours=percentile(seconds, 50)),
                Row(work=f"{work}, p99", ours=percentile(seconds, 99), target=limit),
            ]
        if has_pipeline:
            rates.append(Sample((found.rate,), "calls/s"))
    work = f"the pipeline meanwhile, beside {BUSY} computing handlers"
    return [*rows, Row(work=work, ours=rates[1], peer="alone", theirs=rates[0])]
