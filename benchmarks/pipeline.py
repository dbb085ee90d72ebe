"""Five trivial stages in a row: on FlowForge with everything on, on pykka's threads, and from a bare deque."""

import threading
from collections import deque
from collections.abc import Callable
from typing import Any

import pykka

from benchmarks.asyncio_queues import pipeline_seconds
from benchmarks.harness import Effort, Row, at_least, seconds_of, take_turns
from flowforge.flow import Flow
from flowforge.routine import Routine
from flowforge.runtime import Runtime

__all__ = [
    "BATCH",
    "RING_SHARE",
    "STAGES",
    "Collect",
    "CollectActor",
    "RingStage",
    "Source",
    "Stage",
    "StageActor",
    "flow_rate",
    "measure",
    "pipeline_flow",
    "ring_flow",
    "ring_rate",
    "run_job",
    "source_to",
]

STAGES = 5
BATCH = 100
RING_SHARE = 5
"""A ring's token goes round this many times less often than a pipeline's messages pass: it takes longer."""


class Source(Routine):
    """Emits the numbers below `count`, a hundred in each of its steps, with its cursor in its state."""

    def __init__(self) -> None:
        super().__init__()
        self.define_slot("trigger", handler=self.produce)
        self.define_event("out", ["x"])

    def produce(self, count: int) -> Any:
        """Emit what is not emitted yet."""
        while (cursor := self.state.get("cursor", 0)) < count:
            until = min(cursor + BATCH, count)
            for x in range(cursor, until):
                self.emit("out", x=x)
            self.state["cursor"] = until
            yield


class Stage(Routine):
    """Passes a number on, plus one."""

    def __init__(self) -> None:
        super().__init__()
        self.define_slot("input", handler=self.work)
        self.define_event("out", ["x"])

    def work(self, x: int) -> None:
        """Pass it on."""
        self.emit("out", x=x + 1)


class Collect(Routine):
    """Counts what arrives."""

    def __init__(self) -> None:
        super().__init__()
        self.define_slot("input", handler=self.work)
        self.state["count"] = 0

    def work(self, x: int) -> None:
        """Count it."""
        self.state["count"] += 1


class RingStage(Routine):
    """Passes a token on; the one that has `laps` lets it go after so many."""

    def __init__(self, laps: int | None = None) -> None:
        super().__init__()
        self.define_slot("input", handler=self.work)
        self.define_event("out", ["x"])
        self.laps = laps

    def work(self, x: int) -> None:
        """Pass it on."""
        if self.laps is None:
            self.emit("out", x=x)
        elif x < self.laps:
            self.emit("out", x=x + 1)


class StageActor(pykka.ThreadingActor):
    """`Stage` on a thread of its own."""

    def __init__(self, following: pykka.ActorRef[Any]) -> None:
        super().__init__()
        self.following = following

    def on_receive(self, message: dict[str, int]) -> None:
        """Pass it on."""
        self.following.tell({"x": message["x"] + 1})


class CollectActor(pykka.ThreadingActor):
    """`Collect` on a thread of its own, which says when all has arrived."""

    def __init__(self, expected: int, is_done: threading.Event) -> None:
        super().__init__()
        self.count = 0
        self.expected = expected
        self.is_done = is_done

    def on_receive(self, message: dict[str, int]) -> None:
        """Count it."""
        self.count += 1
        if self.count == self.expected:
            self.is_done.set()


class RingActor(pykka.ThreadingActor):
    """`RingStage` on a thread of its own."""

    def __init__(self, laps: int | None, is_done: threading.Event) -> None:
        super().__init__()
        self.following: pykka.ActorRef[Any] | None = None
        self.laps = laps
        self.is_done = is_done

    def on_receive(self, message: dict[str, Any]) -> None:
        """Pass it on, or learn whom to pass it to."""
        if "following" in message:
            self.following = message["following"]
            return
        assert self.following is not None
        if self.laps is None:
            self.following.tell({"x": message["x"]})
        elif message["x"] < self.laps:
            self.following.tell({"x": message["x"] + 1})
        else:
            self.is_done.set()


def source_to(*routines: Routine) -> Flow:
    """A source, and these routines in a row."""
    flow = Flow("pipeline")
    previous = flow.add_routine(Source(), "source")
    for number, routine in enumerate(routines, start=1):
        following = flow.add_routine(routine, "collect" if number == len(routines) else f"stage{number}")
        flow.connect(previous, "out", following, "input")
        previous = following
    return flow


def pipeline_flow() -> Flow:
    """A source, four stages that pass on, one that counts."""
    return source_to(*(Stage() for _ in range(1, STAGES)), Collect())


def run_job(runtime: Runtime, flow: Flow, count: int, *, arrive: int | None = None) -> None:
    """Run a job whose source emits so many numbers, of which as many arrive at its end, unless told otherwise."""
    job = runtime.exec(flow, "source", {"count": count})
    job.wait()
    assert job.get_routine_state("collect") == {"count": count if arrive is None else arrive}


def flow_rate(runtime: Runtime, flow: Flow, count: int) -> float:
    """Handler calls a second of one job, from its start to its end; the source's own steps are not counted."""
    return STAGES * count / seconds_of(lambda: run_job(runtime, flow, count))


def pykka_rate(count: int) -> float:
    """The same on pykka: told from this thread, until the last stage has counted all; starting is not counted."""
    is_done = threading.Event()
    actors: list[pykka.ActorRef[Any]] = [CollectActor.start(count, is_done)]
    for _ in range(1, STAGES):
        actors.append(StageActor.start(actors[-1]))

    def run() -> None:
        for x in range(count):
            actors[-1].tell({"x": x})
        is_done.wait()

    seconds = seconds_of(run)
    for actor in actors:
        actor.stop()
    return STAGES * count / seconds


def deque_rate(count: int) -> float:
    """The limit: the same handlers, called with the same payloads from one queue by one thread."""
    queue: deque[tuple[Callable[..., None], dict[str, int]]] = deque()
    collected = 0

    def collect(x: int) -> None:  # noqa: ARG001 - it is called by name
        nonlocal collected
        collected += 1

    def stage(following: Callable[..., None]) -> Callable[..., None]:
        def work(x: int) -> None:
            queue.append((following, {"x": x + 1}))

        return work

    first: Callable[..., None] = collect
    for _ in range(1, STAGES):
        first = stage(first)

    def run() -> None:
        for start in range(0, count, BATCH):
            queue.extend((first, {"x": x}) for x in range(start, min(start + BATCH, count)))
            while queue:
                handler, payload = queue.popleft()
                handler(**payload)

    seconds = seconds_of(run)
    assert collected == count
    return STAGES * count / seconds


def ring_flow(laps: int) -> Flow:
    """Five stages in a ring."""
    flow = Flow("ring")
    names = [flow.add_routine(RingStage(laps if number == 0 else None), f"stage{number}") for number in range(STAGES)]
    for name, following in zip(names, names[1:] + names[:1], strict=True):
        flow.connect(name, "out", following, "input")
    return flow


def ring_rate(runtime: Runtime, flow: Flow, laps: int) -> float:
    """Handler calls a second while one token goes round this flow, which is made for so many laps."""
    return STAGES * laps / seconds_of(lambda: runtime.exec(flow, "stage0", {"x": 0}).wait())


def pykka_ring_rate(laps: int) -> float:
    """The same on pykka: each pass wakes another thread."""
    is_done = threading.Event()
    actors = [RingActor.start(laps if number == 0 else None, is_done) for number in range(STAGES)]
    for actor, following in zip(actors, actors[1:] + actors[:1], strict=True):
        actor.tell({"following": following})

    def run() -> None:
        actors[0].tell({"x": 0})
        is_done.wait()

    seconds = seconds_of(run)
    for actor in actors:
        actor.stop()
    return STAGES * laps / seconds


def measure(effort: Effort) -> list[Row]:
    """Rates in handler calls a second, against pykka and against the deque; many messages, and one token."""
    count = effort.size(20_000)
    laps = effort.size(20_000) // RING_SHARE
    flow, ring = pipeline_flow(), ring_flow(laps)
    with Runtime() as runtime:
        many = take_turns(
            {
                "flowforge": lambda: flow_rate(runtime, flow, count),
                "pykka": lambda: pykka_rate(count),
                "asyncio": lambda: STAGES * count / pipeline_seconds(count, STAGES),
                "deque": lambda: deque_rate(count),
            },
            effort.rounds,
            "calls/s",
        )
        one = take_turns(
            {"flowforge": lambda: ring_rate(runtime, ring, laps), "pykka": lambda: pykka_ring_rate(laps)},
            effort.rounds,
            "calls/s",
        )
    work = f"pipeline of {STAGES} stages, {count:,} messages"
    token = f"ring of {STAGES} stages, one token"
    ours = many["flowforge"]
    return [
        Row(work=work, ours=ours, peer="pykka tell", theirs=many["pykka"], target=at_least(1.5, stretch=2)),
        Row(work=work, ours=ours, peer="asyncio queues", theirs=many["asyncio"]),
        Row(work=work, ours=ours, peer="bare deque", theirs=many["deque"], target=at_least(stretch=0.3), is_limit=True),
        Row(
            work=token,
            ours=one["flowforge"],
            peer="pykka tell",
            theirs=one["pykka"],
            target=at_least(1.5, stretch=2),
        ),
    ]
