"""Defects of the commit: what it lets others see, in which order it counts, what it keeps of a step that failed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from flowforge._engine import worker as turns
from flowforge._engine.crew import Replica
from flowforge._engine.job import Job
from flowforge._engine.shared import SharedBuffer
from flowforge._engine.worker import Worker
from flowforge.error_handler import ErrorHandler
from flowforge.records import MessagePosted, StepCommitted
from flowforge.structs import replace
from flowforge.testing.checks import invariant
from flowforge.testing.inputs import Cancel, Resume
from property_tests.zoo.judges import assert_cancel_is_final, assert_conserved, emits_in_order, is_awake
from property_tests.zoo.specimen import WAIT, Part, Patch, Specimen, pass_on, wired

if TYPE_CHECKING:
    from collections.abc import Callable

    from flowforge._engine.step import Step
    from flowforge._engine.work import Work
    from flowforge.flow import Flow
    from flowforge.records import Record
    from flowforge.testing.simulated_run import SimulatedRun

    Append = Callable[[Job, Record], int]
    OfStep = Callable[[Any, Step], None]

__all__ = ["COMMIT_DEFECTS"]


def chain(**options: Any) -> Flow:
    """Three routines, one behind the other."""
    return wired({name: Part({"input": pass_on}) for name in "abc"}, "a b.input", "b c.input", **options)


# What is written, and when


def append_late(append: Append, job: Job, record: Record) -> int:
    """A step's messages can be consumed before its record is written."""
    if not isinstance(record, StepCommitted) or not record.deliveries:
        return append(job, record)

    def write() -> None:
        with job.lock:
            append(job, record)

    job.dispatcher.call_later(0, write)
    return 0


def append_torn(append: Append, job: Job, record: Record) -> int:
    """What a step consumes is one record, what it emits are others."""
    if not isinstance(record, StepCommitted):
        return append(job, record)
    number = append(job, replace(record, deliveries=()))
    for delivery in record.deliveries:
        number = append(job, MessagePosted(**job.next_position(), delivery=delivery))
    return number


# Counting


def call_and_count_down(call: Callable[[Worker, Step], bool], worker: Worker, step: Step) -> bool:
    """A message counts as done when its handler returns, though what that emitted counts from the commit on."""
    is_pending = call(worker, step)
    worker.job.in_flight -= len(step.work.messages)
    return is_pending


def count_up_and_settle(settle: OfStep, worker: Worker, step: Step) -> None:
    """What ended too early is counted again, as the commit is going to count it down."""
    worker.job.in_flight += len(step.work.messages)
    settle(worker, step)


def uneven_diamond() -> Flow:
    """The longer branch gets its message first."""
    parts = {name: Part({"input": pass_on}) for name in "abcd"}
    return wired(parts, "a b.input", "a c.input", "b d.input")


# Runs that are over


def settle_whenever(settle: OfStep, worker: Worker, step: Step) -> None:
    """A step commits although its job was cancelled, or failed, while it ran."""
    job = worker.job
    was_over, job.is_over, step.epoch = job.is_over, False, job.epoch
    settle(worker, step)
    job.is_over = job.is_over or was_over


# Shared data


def write_through(write: Callable[[SharedBuffer, str, Any], None], buffer: SharedBuffer, key: str, value: Any) -> None:
    """What a step assigns to shared data is there at once, not from its commit on."""
    write(buffer, key, value)
    buffer._committed[key] = value  # noqa: SLF001 - the defect reaches past the buffer


def append_without_shared(append: Append, job: Job, record: Record) -> int:
    """What a step assigns to shared data is not in its record."""
    return append(job, replace(record, shared=()) if isinstance(record, StepCommitted) else record)


def announcing() -> Flow:
    """One routine writes the last number that it saw to shared data."""

    def announce(part: Part, n: int) -> None:
        part.job_state.shared_data["last"] = n
        part.emit("out", n=n)

    return wired({"a": Part({"input": announce})}, error_handler=ErrorHandler("skip"))


def announces_what_it_emits(run: SimulatedRun) -> None:
    """A judge: the shared number is that of the last step that committed."""
    numbers = [payload["n"] for payload in run.outputs.get("a.out", ())]
    assert run.job_state.shared_data.get("last") == (numbers[-1] if numbers else None), "shared data is the last step's"


# State


def keep_state(_rollback: Callable[[Worker], None], worker: Worker) -> None:
    """What a failed attempt did to the state stays."""
    if worker.has_begun:
        worker.has_begun = False
        worker.tracked.commit()


def counting() -> Flow:
    """A routine that counts, and tries again."""

    def count(part: Part, n: int) -> None:
        part.state["count"] += n

    return wired({"a": Part({"input": count}, {"count": 0})}, error_handler=ErrorHandler("retry"))


# Sleeping actors


def look_and_begin(new_step: Callable[[Worker, Work], Step], worker: Worker, work: Work) -> Step:
    """Whether there is more to do is looked up when a step begins, and messages that come before its end are missed."""
    vars(worker)["seen"] = sum(len(lane.items) for lane in worker.mailbox.lanes)
    return new_step(worker, work)


def has_seen_more(worker: Worker) -> bool:
    """What was looked up when the step began."""
    seen: int = vars(worker).get("seen", 0)
    return seen > 1


def late_second() -> Flow:
    """Two routines feed a third, one by a detour."""
    parts = {name: Part({"input": pass_on}) for name in ("short", "long", "detour", "last")}
    return wired(parts, "short last.input", "long detour.input", "detour last.input")


# Replicas


def settle_unordered(_settle: OfStep, replica: Replica, step: Step) -> None:
    """Ordered replicas commit as they finish."""
    replica.settle_now(step)
    replica.crew.advance()


def crew() -> Flow:
    """Two ordered replicas, which try again what failed."""

    def emit_three(part: Part, n: int) -> None:
        for number in (1, 2, 3):
            part.emit("out", n=number)

    workers = Part({"input": pass_on})
    workers.set_concurrency(2)
    parts = {"a": Part({"input": emit_three}), "b": workers}
    return wired(parts, "a b.input", error_handler=ErrorHandler("retry"))


COMMIT_DEFECTS = (
    Specimen(
        name="delivered before it is written",
        flow=chain,
        patches=(Patch(Job, "append", append_late),),
        inputs=({"n": 1}, {"n": 2}),
        judges=(assert_conserved,),
        crashes=2,
    ),
    Specimen(
        name="consumption and emission in two records",
        flow=chain,
        patches=(Patch(Job, "append", append_torn),),
        inputs=({"n": 1}, {"n": 2}),
        crashes=2,
    ),
    Specimen(
        name="counted down before up",
        flow=uneven_diamond,
        patches=(Patch(turns, "call_handler", call_and_count_down), Patch(Worker, "settle", count_up_and_settle)),
    ),
    Specimen(
        name="a step commits after the cancel",
        flow=chain,
        patches=(Patch(Worker, "settle", settle_whenever),),
        inputs=({"n": 1}, WAIT, Cancel()),
        judges=(assert_cancel_is_final,),
        ignoring=None,
    ),
    Specimen(
        name="a late step of an earlier run commits",
        flow=lambda: chain(timeout=5.0),
        patches=(Patch(Worker, "settle", settle_whenever),),
        inputs=({"n": 1}, *[WAIT] * 8, Resume()),
        judges=(assert_conserved,),
        ignoring=None,
    ),
    Specimen(
        name="shared data written through",
        flow=announcing,
        patches=(Patch(SharedBuffer, "set", write_through),),
        judges=(announces_what_it_emits,),
        ignoring=None,
        errors=1,
    ),
    Specimen(
        name="shared data not in the record",
        flow=announcing,
        patches=(Patch(Job, "append", append_without_shared),),
        inputs=({"n": 1}, {"n": 2}),
        crashes=2,
    ),
    Specimen(
        name="state kept of a failed attempt",
        flow=counting,
        patches=(Patch(Worker, "rollback", keep_state),),
        errors=1,
    ),
    Specimen(
        name="a wake-up missed",
        flow=late_second,
        patches=(
            Patch(Worker, "new_step", look_and_begin),
            Patch(Worker, "may_have_work", property(has_seen_more)),
        ),
        options={"checks": (invariant(is_awake, "no actor sleeps on its messages"),)},
    ),
    Specimen(
        name="replicas out of order",
        flow=crew,
        patches=(Patch(Replica, "settle", settle_unordered),),
        judges=(emits_in_order("b.out", [1, 2, 3]),),
        errors=1,
    ),
)
