"""Many handlers that wait, on one routine: blocking ones on threads, async ones on the loop."""

import asyncio
import time
from collections.abc import Callable

from benchmarks.harness import Effort, Row, Sample, at_most, seconds_of, take_turns
from flowforge.flow import Flow
from flowforge.routine import Routine
from flowforge.runtime import Runtime

__all__ = ["measure"]

BLOCKING = 200
THREADS = 50
AWAITING = 1_000
AT_ONCE = 250
PAUSE = 0.05


class Burst(Routine):
    """Emits all numbers in one step."""

    def __init__(self) -> None:
        super().__init__()
        self.define_slot("trigger", handler=self.produce)
        self.define_event("out", ["x"])

    def produce(self, count: int) -> None:
        """Emit them."""
        for x in range(count):
            self.emit("out", x=x)


class Sleeper(Routine):
    """Holds a thread for a while, and passes on what it got."""

    def __init__(self, pause: float) -> None:
        super().__init__()
        self.define_slot("input", handler=self.work)
        self.define_event("out", ["x"])
        self.pause = pause

    def work(self, x: int) -> None:
        """Hold the thread."""
        time.sleep(self.pause)
        self.emit("out", x=x)


class Awaiter(Routine):
    """Waits without a thread, and passes on what it got."""

    def __init__(self, pause: float) -> None:
        super().__init__()
        self.define_slot("input", handler=self.work)
        self.define_event("out", ["x"])
        self.pause = pause

    async def work(self, x: int) -> None:
        """Wait on the loop."""
        await asyncio.sleep(self.pause)
        self.emit("out", x=x)


def waiting_flow(worker: Routine, concurrency: int) -> Flow:
    """A burst into one routine with so many replicas."""
    flow = Flow("waiting")
    worker.set_concurrency(concurrency)
    flow.add_routine(Burst(), "burst")
    flow.add_routine(worker, "worker")
    flow.connect("burst", "out", "worker", "input")
    return flow


def flow_seconds(flow: Flow, count: int, *, threads: int) -> float:
    """Milliseconds of a job on a runtime that is new, and so has no thread yet."""
    with Runtime(thread_pool_size=threads) as runtime:

        def run() -> None:
            job = runtime.exec(flow, "burst", {"count": count})
            job.wait()
            assert len(job.outputs["worker.out"]) == count

        return seconds_of(run) * 1000


def gather_seconds(count: int, pause: float) -> float:
    """Milliseconds of the same waits as bare tasks of a bare event loop."""

    async def run() -> None:
        await asyncio.gather(*(asyncio.sleep(pause) for _ in range(count)))

    return seconds_of(lambda: asyncio.run(run())) * 1000


def against_ideal(work: str, run: Callable[[], float], ideal: float, effort: Effort) -> Row:
    """A row that holds the milliseconds of `run` against those that could not be undercut."""
    ours = take_turns({work: run}, effort.rounds, "ms")[work]
    theirs = Sample((ideal * 1000,) * len(ours.values), "ms")
    return Row(work=work, ours=ours, peer="ideal", theirs=theirs, target=at_most(1.15, stretch=1.05))


def measure(effort: Effort) -> list[Row]:
    """Wall time against the ideal one, and of the async handlers against a bare loop."""
    sleeping = waiting_flow(Sleeper(PAUSE), THREADS)
    awaiting = waiting_flow(Awaiter(PAUSE), AWAITING)
    in_rounds = waiting_flow(Awaiter(PAUSE), AT_ONCE)
    patient = waiting_flow(Awaiter(4 * PAUSE), AWAITING)
    bare = take_turns(
        {
            "flowforge": lambda: flow_seconds(awaiting, AWAITING, threads=16),
            "gather": lambda: gather_seconds(AWAITING, PAUSE),
        },
        effort.rounds,
        "ms",
    )
    blocking = f"{BLOCKING} handlers blocking 50 ms, concurrency {THREADS}"
    short, long = (f"{AWAITING:,} handlers awaiting {ms} ms, all at once" for ms in (50, 200))
    rounds = f"{AWAITING:,} handlers awaiting 50 ms, concurrency {AT_ONCE}"
    ideal = BLOCKING / THREADS * PAUSE
    return [
        against_ideal(blocking, lambda: flow_seconds(sleeping, BLOCKING, threads=THREADS + 10), ideal, effort),
        against_ideal(
            rounds, lambda: flow_seconds(in_rounds, AWAITING, threads=16), AWAITING / AT_ONCE * PAUSE, effort
        ),
        against_ideal(short, lambda: flow_seconds(awaiting, AWAITING, threads=16), PAUSE, effort),
        against_ideal(long, lambda: flow_seconds(patient, AWAITING, threads=16), 4 * PAUSE, effort),
        Row(work=short, ours=bare["flowforge"], peer="bare gather", theirs=bare["gather"]),
    ]
