"""Chains of routines of every sort, drawn from a seed, that pass on the numbers they are given, each once."""

import asyncio
import random
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from typing import Any

from flowforge.activation_policies import batch_size_policy
from flowforge.error_handler import ErrorHandler
from flowforge.flow import Flow
from flowforge.job_state import JobState
from flowforge.job_status import JobStatus
from flowforge.routine import Routine

__all__ = ["Chain", "Draws", "drawn_chain"]

KINDS = ("plain", "generator", "async", "async generator", "batch", "hooked")
FOR_EVER = 1_000_000


class FlakyError(Exception):
    """Passes when the step is tried again."""


@dataclass
class Draws:
    """What the routines of one chain draw while they run, and what they share."""

    chance: random.Random
    failing: float
    """How likely a step fails."""
    unit: float
    """Seconds that stand for one second of the drawn delays."""
    hooks: list[str]
    """`start` and `stop`, of any stage; a list takes them from any thread."""

    def fail(self) -> None:
        if self.chance.random() < self.failing:
            raise FlakyError

    async def sleep(self, *seconds: int) -> None:
        await asyncio.sleep(self.chance.choice(seconds) * self.unit)


class Stage(Routine):
    """Passes each number on, and fails by chance, after it has changed its state and emitted."""

    def __init__(self, draws: Draws, limit: int) -> None:
        super().__init__()
        self.draws = draws
        self.define_slot("input", handler=self.work, max_queue_length=limit)
        self.define_event("out")

    def work(self, t: int) -> Any:
        self.pass_on(t)

    def pass_on(self, t: int) -> None:
        self.increment_stat("steps")
        self.emit("out", t=t)
        self.draws.fail()

    def is_half_done(self) -> bool:
        return bool(self.state.get("is_half_done", False))

    def pass_on_half(self, t: int) -> None:
        self.draws.fail()
        self.state["is_half_done"] = True
        self.emit("out", t=t)

    def finish(self) -> None:
        self.draws.fail()
        self.state["is_half_done"] = False


class GeneratorStage(Stage):
    """Passes a number on in one segment and forgets about it in another."""

    def work(self, t: int) -> Iterator[None]:
        if not self.is_half_done():
            self.pass_on_half(t)
            yield
        self.finish()


class AsyncStage(Stage):
    """Takes its time."""

    async def work(self, t: int) -> None:
        await self.draws.sleep(0, 0, 1, 3)
        self.pass_on(t)


class AsyncGeneratorStage(Stage):
    """Both."""

    async def work(self, t: int) -> AsyncIterator[None]:
        if not self.is_half_done():
            await self.draws.sleep(0, 1)
            self.pass_on_half(t)
            yield
        self.finish()


class HookedStage(Stage):
    """Tells of its hooks."""

    def on_start(self) -> None:
        self.draws.hooks.append("start")

    def on_stop(self) -> None:
        self.draws.hooks.append("stop")


class BatchStage(Routine):
    """Passes numbers on, some at a time."""

    def __init__(self, draws: Draws, limit: int) -> None:
        super().__init__()
        self.draws = draws
        self.define_slot("input", max_queue_length=limit)
        self.define_event("out")
        self.set_activation_policy(batch_size_policy(draws.chance.randint(1, 3)))
        self.set_logic(self.pass_all_on)

    def pass_all_on(self, slot_data: dict[str, list[dict[str, Any]]], _message: object, _job: object) -> None:
        for payload in slot_data["input"]:
            self.emit("out", t=payload["t"])
        self.draws.fail()


class Source(Routine):
    """Emits the numbers below `n`, one a segment, its cursor being in its state."""

    def __init__(self, draws: Draws) -> None:
        super().__init__()
        self.draws = draws
        self.define_slot("trigger", handler=self.produce)
        self.define_event("out")

    def produce(self, n: int) -> Iterator[None]:
        for number in range(self.state.get("next", 0), n):
            self.state["next"] = number + 1
            self.emit("out", t=number)
            self.draws.fail()
            yield


STAGES: dict[str, Callable[[Draws, int], Routine]] = {
    "plain": Stage,
    "generator": GeneratorStage,
    "async": AsyncStage,
    "async generator": AsyncGeneratorStage,
    "batch": BatchStage,
    "hooked": HookedStage,
}


@dataclass
class Chain:
    """A flow whose last routine must emit each number below `count` once."""

    flow: Flow
    draws: Draws
    count: int
    last: str
    keeps_order: bool
    description: list[str]

    def faults_of(self, job: JobState) -> list[str]:
        """What a job shows that it must not once it has completed and no dead letter is left.

        Nothing is lost or doubled, nothing is out of order where order was promised, and each hook that opened
        something has been followed by the one that closes it.
        """
        shown = [payload["t"] for payload in job.outputs.get(f"{self.last}.out", [])]
        faults = []
        if job.status is not JobStatus.COMPLETED:
            faults.append(f"ended as {job.status}: {job.error}")
        if sorted(shown) != list(range(self.count)):
            faults.append(f"lost or doubled: {shown} of {self.count}")
        elif self.keeps_order and shown != sorted(shown):
            faults.append(f"out of order: {shown}")
        if job.live is not None and (job.live.in_flight or job.live.busy):
            faults.append(f"counts: {job.live.in_flight} in flight, {job.live.busy} busy")
        return faults

    def unbalanced_hooks(self) -> list[str]:
        """A fault unless as many stages were stopped as had been started."""
        hooks = self.draws.hooks
        return [] if hooks.count("start") == hooks.count("stop") else [f"hooks: {hooks}"]


def drawn_chain(seed: int, most: int = 9, unit: float = 1.0) -> Chain:
    """The chain that belongs to a seed, of one source and up to four stages, with up to `most` numbers."""
    chance = random.Random(seed)
    draws = Draws(random.Random(seed + 1), chance.choice([0.0, 0.1, 0.3]), unit, [])
    flow, source = Flow("flow"), Source(draws)
    source.set_error_handler(_retry(chance, unit))
    flow.add_routine(source, "s")
    names, keeps_order, description = ["s"], True, []
    for number in range(chance.randint(1, 4)):
        kind = chance.choice(KINDS)
        stage = STAGES[kind](draws, chance.choice([2, 3, 1_000]))
        keeps_order &= _prepare(stage, kind, chance, unit)
        names.append(f"r{number}")
        flow.add_routine(stage, names[-1])
        flow.connect(f"{names[-2]}.out", f"{names[-1]}.input")
        description.append(f"{kind} x{stage.concurrency}")
    return Chain(flow, draws, chance.randint(3, most), names[-1], keeps_order, description)


def _prepare(stage: Routine, kind: str, chance: random.Random, unit: float) -> bool:
    """Give a stage its replicas, its answer to errors and its timeout; whether it keeps the order of what it gets."""
    is_generator = kind.endswith("generator")
    replicas, is_ordered = chance.choice([1, 1, 2, 3]), chance.random() < 0.6
    if replicas > 1 and not is_generator:
        stage.set_concurrency(replicas, ordered=is_ordered)
    gives_up = not is_generator and chance.random() < 0.3
    stage.set_error_handler(ErrorHandler("skip") if gives_up else _retry(chance, unit))
    if kind == "async" and chance.random() < 0.5:
        stage.set_timeout(2 * unit)
    return not gives_up and (is_ordered or replicas == 1 or is_generator)


def _retry(chance: random.Random, unit: float) -> ErrorHandler:
    return ErrorHandler("retry", max_retries=FOR_EVER, retry_delay=chance.choice([0, 1]) * unit, retry_backoff=1.0)
