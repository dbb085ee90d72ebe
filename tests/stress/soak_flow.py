"""Flows whose every output and dead letter can be told in advance, whatever is done to their jobs meanwhile."""

import asyncio
import random
import threading
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from typing import Any

from flowforge.activation_policies import all_slots_ready_policy, batch_size_policy
from flowforge.error_handler import ErrorHandler, ErrorStrategy
from flowforge.flow import Flow
from flowforge.job_state import JobState
from flowforge.routine import Routine

__all__ = ["Kind", "found_in", "kinds", "torn_counts"]

Seen = Counter[tuple[str, tuple[tuple[str, Any], ...]]]
"""How often each payload was seen in each place: `a.out`, or `dead a.input`."""

HOPS = 5
STEP = 7
RETRY = ErrorHandler("retry", max_retries=1_000, retry_delay=0.001, retry_backoff=1.0, on_exhausted=ErrorStrategy.STOP)
GIVE_UP = ErrorHandler("retry", max_retries=2, retry_delay=0.001, on_exhausted=ErrorStrategy.SKIP)


class GlitchError(Exception):
    """Passes when the step is tried again."""


class BrokenError(Exception):
    """Does not pass."""


@dataclass(frozen=True, slots=True)
class Kind:
    """A flow, and what a job of it makes of its numbers."""

    name: str
    flow: Flow
    expected: Callable[[range], Seen]
    in_order: str | None = None
    """The output whose numbers must rise."""
    is_fed: bool = False
    """Whether its numbers are posted from outside, to `worker.input`."""
    may_fail: bool = False
    """Whether its jobs fail now and then, to be resumed."""


def seen(place: str, *payloads: dict[str, Any]) -> Seen:
    """Each of the payloads once, in one place."""
    return Counter((place, tuple(sorted(payload.items()))) for payload in payloads)


def found_in(job: JobState) -> Seen:
    """All outputs and dead letters of a job."""
    found: Seen = Counter()
    for name, payloads in job.outputs.items():
        found += seen(name, *payloads)
    for letter in job.dead_letters:
        for slot, message in zip(letter.slots, letter.messages, strict=True):
            found += seen(f"dead {letter.routine}.{slot}", message.payload)
    return found


def torn_counts(kind: Kind, job: JobState) -> list[tuple[str, int, int]]:
    """Figures that each step of a worker changes together, and that yet differ."""
    workers = [name for name, routine in kind.flow.routines.items() if isinstance(routine, Worker)]
    passed = {name: int(job.get_routine_state(name, {}).get("passed", 0)) for name in workers}
    pairs = [("shared data", sum(passed.values()), int(job.shared_data.get("passed", 0)))]
    pairs += [(name, passed[name], len(job.outputs.get(f"{name}.out", []))) for name in workers if name == "last"]
    return [(name, one, other) for name, one, other in pairs if one != other]


class Numbers(Routine):
    """Emits its numbers, some in each step, with its cursor in its state; now and then a step of it fails."""

    def __init__(self, chance: random.Random) -> None:
        super().__init__()
        self.chance = chance
        self.define_slot("trigger", handler=self.produce)
        self.define_event("out", ["x"])
        self.set_error_handler(RETRY)

    def emit_some(self, first: int, count: int) -> bool:
        """Emit the next few; False when all were emitted."""
        done = int(self.state.get("done", 0))
        if done >= count:
            return False
        for x in range(first + done, first + min(done + STEP, count)):
            self.emit("out", x=x)
        self.state["done"] = done + STEP
        glitch(self.chance, 0.02)
        return True

    def produce(self, first: int, count: int) -> Iterator[None]:
        while self.emit_some(first, count):
            yield


class AsyncNumbers(Numbers):
    """The same on the loop."""

    async def produce(self, first: int, count: int) -> AsyncIterator[None]:  # type: ignore[override] # handlers of both sorts
        while self.emit_some(first, count):
            await asyncio.sleep(0)
            yield


class Worker(Routine):
    """Passes numbers on; fails for good where `is_broken` says so, and by chance as often as `rate` says."""

    def __init__(
        self,
        chance: random.Random,
        rate: float = 0.0,
        is_broken: Callable[[int], bool] = lambda _x: False,
        pause: float = 0.0,
    ) -> None:
        super().__init__()
        self.chance = chance
        self.rate = rate
        self.is_broken = is_broken
        self.pause = pause
        self.define_slot("input", handler=self.work)
        self.define_event("out", ["x"])
        self.state["passed"] = 0

    def work(self, x: int) -> Any:
        if self.pause:
            threading.Event().wait(self.pause * self.chance.random())
        self.finish(x)

    def finish(self, x: int) -> None:
        """What must not show if the step fails comes before it does."""
        self.state["passed"] += 1
        self.emit("out", x=x)
        self.job_state.shared_data.add("passed", 1)
        if self.is_broken(x):
            raise BrokenError(x)
        glitch(self.chance, self.rate)


class AsyncWorker(Worker):
    """The same on the loop."""

    async def work(self, x: int) -> None:
        await asyncio.sleep(self.pause * self.chance.random())
        self.finish(x)


class Hopper(Routine):
    """Sends each number round a cycle, then lets it go."""

    def __init__(self) -> None:
        super().__init__()
        self.define_slot("input", handler=self.hop)
        self.define_event("again", ["x", "hops"])
        self.define_event("out", ["x"])

    def hop(self, x: int, hops: int = 0) -> None:
        if hops < HOPS:
            self.emit("again", x=x, hops=hops + 1)
        else:
            self.emit("out", x=x)


class Gather(Routine):
    """Emits what the logic gets: from each activation, one output for each place in its slots."""

    def __init__(self, *slots: str) -> None:
        super().__init__()
        for slot in slots:
            self.define_slot(slot)
        self.define_event("out")
        self.set_logic(self.gather)
        self.set_activation_policy(all_slots_ready_policy() if len(slots) > 1 else batch_size_policy(STEP + 1))

    def gather(self, slot_data: dict[str, list[dict[str, Any]]], _policy: object, _job: object) -> None:
        names = [name for name, payloads in slot_data.items() if payloads]
        for row in zip(*(slot_data[name] for name in names), strict=True):
            self.emit("out", **{name: payload["x"] for name, payload in zip(names, row, strict=True)})


def glitch(chance: random.Random, rate: float) -> None:
    """Fail as often as `rate` says."""
    if chance.random() < rate:
        raise GlitchError


def is_third(x: int) -> bool:
    return x % 7 == 3


def is_fifth(x: int) -> bool:
    return x % 7 == 5


def answered(worker: Routine, handler: ErrorHandler | str) -> Routine:
    """The routine with an error handler."""
    worker.set_error_handler(handler if isinstance(handler, ErrorHandler) else ErrorHandler(handler))
    return worker


def replicated(worker: Routine, n: int, *, ordered: bool) -> Routine:
    """The routine with replicas."""
    worker.set_concurrency(n, ordered)
    return worker


def row(name: str, **routines: Routine) -> Flow:
    """Routines one after the other."""
    flow = Flow(name)
    previous = None
    for routine_id, routine in routines.items():
        flow.add_routine(routine, routine_id)
        if previous is not None:
            flow.connect(f"{previous}.out", f"{routine_id}.{next(iter(routine.slots))}")
        previous = routine_id
    return flow


def passed_on(place: str) -> Callable[[range], Seen]:
    """What is expected where all numbers come out unchanged."""
    return lambda numbers: seen(place, *({"x": x} for x in numbers))


def pipeline(chance: random.Random) -> Kind:
    def expected(numbers: range) -> Seen:
        skipped = [x for x in numbers if is_third(x)]
        given_up = [x for x in numbers if is_fifth(x)]
        rest = [x for x in numbers if not is_third(x) and not is_fifth(x)]
        return (
            seen("dead skipping.input", *({"x": x} for x in skipped))
            + seen("dead giving_up.input", *({"x": x} for x in given_up))
            + seen("last.out", *({"x": x} for x in rest))
        )

    flow = row(
        "pipeline",
        source=Numbers(chance),
        retrying=answered(Worker(chance, 0.05), RETRY),
        skipping=answered(Worker(chance, is_broken=is_third), "skip"),
        giving_up=answered(Worker(chance, is_broken=is_fifth), GIVE_UP),
        last=Worker(chance),
    )
    return Kind("pipeline", flow, expected, in_order="last.out")


def join(chance: random.Random) -> Kind:
    def expected(numbers: range) -> Seen:
        left = [x for x in numbers if not is_third(x)]
        pairs = list(zip(left, numbers, strict=False))
        unmatched = list(numbers)[len(pairs) :]
        return (
            seen("dead left.input", *({"x": x} for x in numbers if is_third(x)))
            + seen("join.out", *({"one": one, "other": other} for one, other in pairs))
            + seen("dead join.other", *({"x": x} for x in unmatched))
        )

    flow = Flow("join")
    flow.add_routine(Numbers(chance), "source")
    flow.add_routine(answered(Worker(chance, is_broken=is_third), "continue"), "left")
    flow.add_routine(answered(Worker(chance, 0.05), RETRY), "right")
    flow.add_routine(Gather("one", "other"), "join")
    for end in ("left.input", "right.input"):
        flow.connect("source.out", end)
    flow.connect("left.out", "join.one")
    flow.connect("right.out", "join.other")
    return Kind("join", flow, expected)


def cycle(chance: random.Random) -> Kind:
    flow = row("cycle", source=Numbers(chance), hopper=Hopper(), last=answered(Worker(chance, 0.02), RETRY))
    flow.connect("hopper.again", "hopper.input")
    return Kind("cycle", flow, passed_on("last.out"))


def batches(chance: random.Random) -> Kind:
    flow = row("batches", source=Numbers(chance), gather=Gather("x"))
    return Kind("batches", flow, passed_on("gather.out"))


def replicas(chance: random.Random, *, ordered: bool, sort: type[Worker]) -> Kind:
    name = f"{'ordered' if ordered else 'unordered'} {sort.__name__}"
    worker = replicated(answered(sort(chance, 0.05, pause=0.002), RETRY), 3, ordered=ordered)
    source = AsyncNumbers(chance) if sort is AsyncWorker else Numbers(chance)
    flow = row(name.replace(" ", "-"), source=source, worker=worker, last=Worker(chance))
    return Kind(name, flow, passed_on("last.out"), in_order="last.out" if ordered else None)


def stopping(chance: random.Random) -> Kind:
    flow = row("stopping", source=Numbers(chance), worker=Worker(chance, 0.005), last=Worker(chance))
    return Kind("stopping", flow, passed_on("last.out"), in_order="last.out", may_fail=True)


def fed(chance: random.Random) -> Kind:
    flow = row("fed", worker=answered(Worker(chance, 0.05), RETRY), last=Worker(chance))
    return Kind("fed", flow, passed_on("last.out"), in_order="last.out", is_fed=True)


def kinds(chance: random.Random) -> list[Kind]:
    """All there are, with errors by `chance`."""
    made = [build(chance) for build in (pipeline, join, cycle, batches, stopping, fed)]
    sorts = (Worker, AsyncWorker)
    return made + [replicas(chance, ordered=ordered, sort=sort) for ordered in (True, False) for sort in sorts]
