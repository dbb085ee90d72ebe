"""One source to ten routines, and those to one that counts: against pykka, asyncio queues, and a bare deque."""

import threading
from collections import deque
from collections.abc import Callable
from typing import Any

import pykka

from benchmarks.asyncio_queues import fan_seconds
from benchmarks.harness import Effort, Row, seconds_of, take_turns
from benchmarks.pipeline import BATCH, Collect, CollectActor, Source, Stage, StageActor, run_job
from flowforge.flow import Flow
from flowforge.runtime import Runtime

__all__ = ["measure"]

BRANCHES = 10


def fan_flow() -> Flow:
    """A source, ten that it feeds, and one that these feed."""
    flow = Flow("fan")
    flow.add_routine(Source(), "source")
    flow.add_routine(Collect(), "collect")
    for number in range(BRANCHES):
        flow.add_routine(Stage(), f"branch{number}")
        flow.connect("source", "out", f"branch{number}", "input")
        flow.connect(f"branch{number}", "out", "collect", "input")
    return flow


def flow_rate(runtime: Runtime, flow: Flow, count: int) -> float:
    """Handler calls a second; the source's own steps are not counted."""
    return calls(count) / seconds_of(lambda: run_job(runtime, flow, count, arrive=BRANCHES * count))


def calls(count: int) -> int:
    """How many handler calls so many messages of the source make."""
    return 2 * BRANCHES * count


def pykka_rate(count: int) -> float:
    """The same on threads, told from this one; starting is not counted."""
    is_done = threading.Event()
    end = CollectActor.start(BRANCHES * count, is_done)
    branches: list[pykka.ActorRef[Any]] = [StageActor.start(end) for _ in range(BRANCHES)]

    def run() -> None:
        for x in range(count):
            for branch in branches:
                branch.tell({"x": x})
        is_done.wait()

    seconds = seconds_of(run)
    for actor in (*branches, end):
        actor.stop()
    return calls(count) / seconds


def deque_rate(count: int) -> float:
    """The limit: the same handlers, called with the same payloads from one queue by one thread."""
    queue: deque[tuple[Callable[..., None], dict[str, int]]] = deque()
    collected = 0

    def collect(x: int) -> None:  # noqa: ARG001 - it is called by name
        nonlocal collected
        collected += 1

    def work(x: int) -> None:
        queue.append((collect, {"x": x + 1}))

    def run() -> None:
        for start in range(0, count, BATCH):
            for x in range(start, min(start + BATCH, count)):
                queue.extend((work, {"x": x}) for _ in range(BRANCHES))
            while queue:
                handler, payload = queue.popleft()
                handler(**payload)

    seconds = seconds_of(run)
    assert collected == BRANCHES * count
    return calls(count) / seconds


def measure(effort: Effort) -> list[Row]:
    """Rates in handler calls a second."""
    count = effort.size(5_000)
    flow = fan_flow()
    with Runtime() as runtime:
        rates = take_turns(
            {
                "flowforge": lambda: flow_rate(runtime, flow, count),
                "pykka tell": lambda: pykka_rate(count),
                "asyncio queues": lambda: calls(count) / fan_seconds(count, BRANCHES),
                "bare deque": lambda: deque_rate(count),
            },
            effort.rounds,
            "calls/s",
        )
    work = f"fan-out to {BRANCHES} and fan-in, {count:,} messages"
    ours = rates["flowforge"]
    return [
        Row(work=work, ours=ours, peer=peer, theirs=theirs, is_limit=peer == "bare deque")
        for peer, theirs in rates.items()
        if peer != "flowforge"
    ]
