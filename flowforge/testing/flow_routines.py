"""Ready-made routines of every sort, for flows that are drawn at random; what one does follows from its shape alone.

A payload is `{"n": number}`, from 0 up, and may have a `data` that is passed along. Each routine counts what it gets in
its state and in `shared_data`, shows it on the event `seen`, which is never connected, and sends it on by `out`; one
that leads back into a cycle sends one less by `again`, until 0.
"""

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping
from typing import Any

from flowforge.activation_policies import (
    Activation,
    ActivationPolicy,
    Waiting,
    all_slots_ready_policy,
    batch_size_policy,
    custom_policy,
    immediate_policy,
    time_interval_policy,
)
from flowforge.routine import Routine
from flowforge.testing.routine_shape import RoutineShape, answer_of

__all__ = [
    "AsyncGeneratorStage",
    "AsyncStage",
    "Batch",
    "Burst",
    "Custom",
    "Gatherer",
    "GeneratorStage",
    "Interval",
    "Join",
    "Recorder",
    "Stage",
    "ToldToFailError",
    "add_up",
    "decide_by_three",
    "stage_of",
    "take_all",
]


class ToldToFailError(Exception):
    """A routine of a drawn flow failed because its shape says so; it carries the number that did it."""

    def __init__(self, n: int) -> None:
        super().__init__(f"The shape says that {n!r} fails.")
        self.n = n


class Stage(Routine):
    """Passes on what comes."""

    transient = frozenset({"failed"})

    def __init__(self, shape: RoutineShape, *, loops: bool = False) -> None:
        super().__init__()
        self.shape = shape
        self.failed: dict[str, int] = {}
        """Failed attempts by the key of the call, for a rollback would take them out of the state."""
        self.define_event("out")
        self.define_event("seen")
        if loops:
            self.define_event("again")
        self.define_slots(shape)
        if shape.replicas > 1:
            self.set_concurrency(shape.replicas, ordered=shape.ordered)
        if shape.on_error is not None:
            self.set_error_handler(answer_of(shape.on_error, shape.max_retries, shape.retry_delay))

    def define_slots(self, shape: RoutineShape) -> None:
        """Define what the routine of that shape is called with."""
        merge = add_up if shape.merge == "add up" else shape.merge
        self.define_slot("input", self.work, merge, shape.bound)

    def work(self, **payload: Any) -> Any:
        """The handler of a payload that may have been merged."""
        message = self.take(payload)
        self.pass_on(message, [message["n"]])
        self.fail_if_told([message["n"]])

    def take(self, payload: dict[str, Any]) -> dict[str, Any]:
        """Count and show a payload; the message that came last into it."""
        last = self.last_of(payload)
        n = last["n"]
        self.increment_stat("messages")
        self.increment_stat("sum", n)
        self.increment_stat(f"of {n}")
        self.job_state.shared_data.add("messages")
        self.emit("seen", **payload)
        if n and "again" in self.events:
            self.emit("again", **{**last, "n": n - 1})
        return last

    def last_of(self, payload: dict[str, Any]) -> dict[str, Any]:
        """The message that came last into a payload that may have been merged."""
        gathers = self.shape.merge == "append"
        return {key: value[-1] if gathers else value for key, value in payload.items() if key != "total"}

    def pass_on(self, message: dict[str, Any], numbers: Iterable[int]) -> None:
        """Send the message on with each of the numbers."""
        for number in numbers:
            self.emit("out", **{**message, "n": number})

    def fail_if_told(self, numbers: Iterable[int]) -> None:
        """Raise ToldToFailError if the shape says so, as often as it says."""
        failing = [number for number in numbers if number in self.shape.fails_at]
        if not failing:
            return
        key = self.idempotency_key()
        failed = self.failed.get(key, 0)
        if failed < self.shape.fails:
            self.failed[key] = failed + 1
            raise ToldToFailError(failing[0])


class Burst(Stage):
    """Sends on each number from n down to 0, in one step."""

    def work(self, **payload: Any) -> None:
        message = self.take(payload)
        self.pass_on(message, range(message["n"], -1, -1))
        self.fail_if_told([message["n"]])


class Recorder(Stage):
    """Writes down in which order things came, in all places that a step can write to."""

    def work(self, **payload: Any) -> None:
        message = self.take(payload)
        self.state.setdefault("seen", []).append(message["n"])
        self.job_state.shared_data["last"] = message["n"]
        self.job_state.shared_log.append([self.routine_id, message["n"]])
        self.send_output("recorded", **message)
        self.pass_on(message, [message["n"]])
        self.fail_if_told([message["n"]])


class AsyncStage(Stage):
    """Takes some milliseconds for what it does."""

    async def work(self, **payload: Any) -> None:
        message = self.take(payload)
        await asyncio.sleep(message["n"] / 1000)
        self.pass_on(message, [message["n"]])
        self.fail_if_told([message["n"]])


class GeneratorStage(Stage):
    """Sends on each number from n down to 0, one a segment; how many it has sent is the cursor in its state."""

    def work(self, **payload: Any) -> Any:
        message = self.resume(payload)
        while self.send_next(message):
            yield

    def resume(self, payload: dict[str, Any]) -> dict[str, Any]:
        """The message to go on with, counted if this is where it begins."""
        return self.last_of(payload) if self.state.get("sent") else self.take(payload)

    def send_next(self, message: dict[str, Any]) -> bool:
        """Send on one number; False, with the cursor back at its start, after the last."""
        sent = self.state.get("sent", 0)
        number = message["n"] - sent
        if number < 0:
            self.state["sent"] = 0
            return False
        self.pass_on(message, [number])
        self.state["sent"] = sent + 1
        # Given up in the middle, it would leave its cursor there for the next message.
        if not sent or self.shape.is_flaky:
            self.fail_if_told([number])
        return True


class AsyncGeneratorStage(GeneratorStage):
    """Does so on the event loop."""

    async def work(self, **payload: Any) -> AsyncIterator[None]:
        message = self.resume(payload)
        while self.send_next(message):
            await asyncio.sleep(0.001)
            yield


class Gatherer(Stage):
    """Has two slots and a policy; its logic passes on each payload by itself, however many come together."""

    policy: ActivationPolicy = immediate_policy()

    def define_slots(self, shape: RoutineShape) -> None:
        for slot in shape.slots:
            self.define_slot(slot, max_queue_length=shape.bound)
        self.set_logic(self.gather)
        self.set_activation_policy(self.policy)

    def gather(self, slot_data: dict[str, list[dict[str, Any]]], _message: object, _job_state: object) -> None:
        """The logic."""
        taken = [self.take(payload) for payloads in slot_data.values() for payload in payloads]
        for message in taken:
            self.pass_on(message, [message["n"]])
        self.fail_if_told(message["n"] for message in taken)


class Batch(Gatherer):
    """Takes two at a time."""

    policy = batch_size_policy(2)


class Interval(Gatherer):
    """Takes what has come in some seconds."""

    policy = time_interval_policy(5.0)


def decide_by_three(waiting: Waiting) -> Activation | None:
    """All that waits, from three messages on."""
    return take_all(waiting) if sum(waiting.counts.values()) >= 3 else None


def take_all(waiting: Waiting) -> Activation | None:
    """All that waits."""
    return Activation(dict(waiting.counts)) if any(waiting.counts.values()) else None


class Custom(Gatherer):
    """Takes all from three messages on."""

    policy = custom_policy(decide_by_three, take_all, name="by three")


class Join(Gatherer):
    """Passes on the larger one of each pair."""

    policy = all_slots_ready_policy()

    def gather(self, slot_data: dict[str, list[dict[str, Any]]], _message: object, _job_state: object) -> None:
        pair = [payload for payloads in slot_data.values() for payload in payloads]
        larger = self.take(max(pair, key=lambda payload: payload["n"]))
        self.pass_on(larger, [larger["n"]])
        self.fail_if_told([larger["n"]])


def add_up(old: dict[str, Any] | None, new: dict[str, Any]) -> dict[str, Any]:
    """The new payload with the total of all numbers so far."""
    return {**new, "total": new["n"] + (old["total"] if old else 0)}


_STAGES: Mapping[str, type[Stage]] = {
    "plain": Stage,
    "burst": Burst,
    "generator": GeneratorStage,
    "async": AsyncStage,
    "async generator": AsyncGeneratorStage,
    "recorder": Recorder,
    "immediate": Gatherer,
    "batch": Batch,
    "interval": Interval,
    "custom": Custom,
    "join": Join,
}


def stage_of(shape: RoutineShape, *, loops: bool) -> Routine:
    """A routine of that shape; one that `loops` also has the event `again`."""
    return _STAGES[shape.kind](shape, loops=loops)
