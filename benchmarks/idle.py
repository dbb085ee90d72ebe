"""Ten thousand actors with nothing to do: what threads and bytes they take."""

import gc
import threading
import tracemalloc
from collections.abc import Callable
from typing import TypeVar

from actors.pooled_actor import PooledActor
from actors.pooled_dispatcher import PooledDispatcher
from actors.pooled_ref import PooledActorRef
from benchmarks.growth import chain
from benchmarks.harness import Effort, Row, Sample, at_most
from flowforge.job_state import JobState
from flowforge.options import RuntimeOptions
from flowforge.routine import Routine
from flowforge.runtime import Runtime

__all__ = ["measure", "traced"]

T = TypeVar("T")

POOL = 4
BYTES = at_most(4096, stretch=2048)
THREADS = at_most(POOL + 1)
"""Those of the pool and its monitor: none for an actor."""


class Idler(PooledActor):
    """Answers, and waits for messages that do not come."""

    def on_receive(self, message: object) -> object:
        """Answer with what was asked."""
        return message


class Last(Routine):
    """Tells from within its step that a message has come through."""

    def __init__(self, is_called: threading.Event) -> None:
        super().__init__()
        self.define_slot("input", handler=self.work)
        self.is_called = is_called

    def work(self, x: int) -> None:
        """Tell."""
        self.is_called.set()


def traced(build: Callable[[], T]) -> tuple[T, int]:
    """What `build` returns, and the bytes that were allocated for it and are still held."""
    gc.collect()
    tracemalloc.start()
    try:
        built = build()
        gc.collect()
        return built, tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()


def bare_actors(count: int) -> tuple[float, int]:
    """Bytes of each actor that has answered once, and the threads of them all."""
    before = threading.active_count()
    dispatcher = PooledDispatcher(POOL)

    def build() -> list[PooledActorRef[Idler]]:
        refs = [Idler.start_on(dispatcher) for _ in range(count)]
        for answer in [ref.ask({}, block=False) for ref in refs]:
            answer.get()
        return refs

    refs, held = traced(build)
    threads = threading.active_count() - before
    for ref in refs:
        ref.stop()
    dispatcher.shutdown()
    return held / count, threads


def routines(count: int) -> tuple[float, int]:
    """Bytes of each routine of a job that is kept alive, once all were called, and the threads of them all.

    The flow itself, a template that all its jobs share, is not counted; nor is history, which has a limit of its own.
    """
    before = threading.active_count()
    is_called = threading.Event()
    flow = chain(count)
    flow.connect(f"stage{count - 1}.out", f"{flow.add_routine(Last(is_called), 'last')}.input")
    with Runtime(options=RuntimeOptions(thread_pool_size=POOL, max_history=1)) as runtime:

        def start() -> JobState:
            is_called.clear()
            job = runtime.exec(flow, "stage0", {"x": 0}, keep_alive=True)
            is_called.wait()
            return job

        # The first job makes the plan, which the flow keeps.
        start().close()
        job, held = traced(start)
        threads = threading.active_count() - before
        job.close()
        job.wait()
    return held / count, threads


def measure(effort: Effort) -> list[Row]:
    """Bytes each and threads altogether, of bare actors and of a job's routines."""
    count = effort.size(10_000)
    rows: list[Row] = []
    for noun, of in (("actors", bare_actors), ("routines of an open job", routines)):
        held, threads = of(count)
        work = f"{count:,} idle {noun}"
        rows += [
            Row(work=work, ours=Sample((held,), "B each"), target=BYTES),
            Row(work=work, ours=Sample((float(threads),), "threads"), target=THREADS),
        ]
    return rows
