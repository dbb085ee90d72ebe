"""Defects of what a job is told: retries, pauses, cancels, drains, bounds, and when it is over."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from flowforge._engine import control, failures, routine_actor
from flowforge._engine.job import Job
from flowforge._engine.orders import RetryDue
from flowforge._engine.routine_actor import RoutineActor
from flowforge.activation_policies import all_slots_ready_policy
from flowforge.error_handler import ErrorHandler
from flowforge.job_errors import JobFinishedError
from flowforge.routine import Routine
from flowforge.testing.inputs import Cancel, Pause, Resume
from property_tests.zoo.judges import assert_conserved, assert_retries_wait, emits_in_order
from property_tests.zoo.specimen import WAIT, Part, Patch, Specimen, pass_on, wired

if TYPE_CHECKING:
    from collections.abc import Callable

    from flowforge._engine.control import StillRunning
    from flowforge._engine.job_data import JobData
    from flowforge._engine.worker import Worker
    from flowforge.flow import Flow
    from flowforge.testing.simulated_run import SimulatedRun

__all__ = ["CONTROL_DEFECTS"]

EPOCH = 1_700_000_000.0
"""When every simulated run begins."""


def pair(**options: Any) -> Flow:
    """Two routines, one behind the other."""
    return wired({name: Part({"input": pass_on}) for name in "ab"}, "a b.input", **options)


# Retries


def order_twice(  # noqa: PLR0917 - as what it takes the place of
    order_later: Callable[..., None], job: Job, worker: Worker, message: int, due: float, delay: float
) -> None:
    """The timer of a retry fires twice, and the second time it counts for whatever retry is pending."""
    order_later(job, worker, message, due, delay)

    def order_again() -> None:
        with job.lock:
            if not job.is_over:
                worker.order(RetryDue(job.epoch, worker.retries))

    job.dispatcher.call_later(max(0.0, due - job.clock.now()), order_again)


def recovering_service() -> Flow:
    """What it asks for is there after three seconds and a half, and it asks every second."""

    def ask(part: Part, n: int) -> None:
        if part.now() - EPOCH < 3.5:
            raise ConnectionError
        part.emit("out", n=n)

    handler = ErrorHandler("retry", max_retries=4, retry_delay=1.0, retry_backoff=1.0)
    return wired({"a": Part({"input": ask})}, error_handler=handler)


def release_to_the_tail(release: Callable[[RoutineActor], None], actor: RoutineActor) -> None:
    """A message that failed goes to the tail of its lane when it is to be tried again."""
    if actor.work is not None:
        actor.mailbox.lanes[actor.work.lane].items.rotate(-1)
        actor.work = None
    release(actor)


# Pause and cancel


def store_inputs(store_pending: Callable[[RoutineActor, JobData], None], actor: RoutineActor, data: JobData) -> None:
    """A pause keeps what came from outside, but not what steps emitted."""
    store_pending(actor, data)
    if actor.job.is_pausing:
        for messages in data.pending.values():
            messages[:] = [message for message in messages if not message.source]


def cancel_if_idle(cancel: Callable[[Job, str], list[StillRunning]], job: Job, reason: str) -> list[StillRunning]:
    """A cancel that comes while a step runs is forgotten."""
    return [] if any(worker.step is not None for worker in job.everyone()) else cancel(job, reason)


def assert_cancelled(run: SimulatedRun) -> None:
    """A job that was cancelled before it could end is cancelled."""
    assert run.status == "cancelled", "a cancel counts"


# The end


def drop(_drain: Callable[[RoutineActor], None], actor: RoutineActor) -> None:
    """What a join could not match vanishes."""
    for index, lane in enumerate(actor.mailbox.lanes):
        while lane.items:
            actor.mailbox.pop(index)
            actor.job.in_flight -= 1
    actor.job.complete_if_done()


def join() -> Flow:
    """Two branches that may lose a message, and a join."""
    last = Routine()
    last.define_slot("left")
    last.define_slot("right")
    last.set_logic(lambda slot_data, policy_message, job_state: None)
    last.set_activation_policy(all_slots_ready_policy())
    parts = {"a": Part({"input": pass_on}), "b": Part({"input": pass_on}), "last": last}
    return wired(parts, "a last.left", "b last.right", error_handler=ErrorHandler("skip"))


def complete_while_open(complete: Callable[[Job], None], job: Job) -> None:
    """A job completes as soon as nothing is in flight, although input is still to come."""
    # Not before there was anything to do.
    was_kept_alive, job.data.is_kept_alive = job.data.is_kept_alive, not job.data.entries
    complete(job)
    job.data.is_kept_alive = was_kept_alive


def assert_all_is_taken(run: SimulatedRun) -> None:
    """No input comes too late."""
    assert not any(isinstance(error, JobFinishedError) for _, error in run.refused), "the job was over too early"


# Backpressure


def release_first(
    note_popped: Callable[[Job, RoutineActor, int], None], job: Job, worker: RoutineActor, lane_index: int
) -> None:
    """When a slot has room again, only one of those that feed it goes on."""
    held = worker.plan.upstream
    worker.plan.upstream = tuple(upstream[:1] for upstream in held)
    note_popped(job, worker, lane_index)
    worker.plan.upstream = held


def two_into_one() -> Flow:
    """Two routines feed a slot that is soon full."""
    last = Part({"input": pass_on}, input={"max_queue_length": 4, "watermark": 1.0})
    return wired(
        {"a": Part({"input": pass_on}), "b": Part({"input": pass_on}), "last": last}, "a last.input", "b last.input"
    )


CONTROL_DEFECTS = (
    Specimen(
        name="a retry's timer fires twice",
        flow=recovering_service,
        patches=(Patch(failures, "_order_later", order_twice),),
        inputs=({"n": 1}, *[WAIT] * 8),
        judges=(assert_retries_wait,),
    ),
    Specimen(
        name="a failed message goes to the tail",
        flow=lambda: pair(error_handler=ErrorHandler("retry")),
        patches=(Patch(RoutineActor, "release", release_to_the_tail),),
        inputs=({"n": 1}, {"n": 2}),
        judges=(emits_in_order("b.out", [1, 2]),),
        errors=1,
    ),
    Specimen(
        name="a pause loses a message",
        flow=pair,
        patches=(Patch(RoutineActor, "store_pending", store_inputs),),
        inputs=({"n": 1}, *[WAIT] * 8, Pause(), Resume()),
    ),
    Specimen(
        name="a cancel is lost",
        flow=pair,
        patches=(Patch(control, "cancel", cancel_if_idle),),
        inputs=({"n": 1}, *[WAIT] * 8, Cancel()),
        judges=(assert_cancelled,),
        ignoring=None,
    ),
    Specimen(
        name="a drain that drops",
        flow=join,
        patches=(Patch(RoutineActor, "drain", drop),),
        errors=1,
        judges=(assert_conserved,),
        ignoring=None,
    ),
    Specimen(
        name="completed while input is to come",
        flow=pair,
        patches=(Patch(Job, "complete_if_done", complete_while_open),),
        inputs=({"n": 1}, {"n": 2}, {"n": 3}),
        judges=(assert_all_is_taken,),
    ),
    Specimen(
        name="backpressure that holds for ever",
        flow=two_into_one,
        patches=(Patch(routine_actor, "note_popped", release_first),),
        inputs=({"n": 1}, {"n": 2}, {"n": 3}),
        options={"max_choices": 500},
    ),
)
