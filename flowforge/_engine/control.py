"""Commands to a job from outside of its steps: pause, cancel, close, post, dead letters; each under the job's lock."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from flowforge._engine.fitting import check_letter_fits
from flowforge._engine.message_ids import entry_id, posted_id
from flowforge._engine.rest import decide_at_rest, interrupt
from flowforge._engine.timeouts import abandon
from flowforge.held_interrupts import whole
from flowforge.job_errors import JobFinishedError, NoCursorError, PayloadTypeError, RuntimeOptionError
from flowforge.job_status import JobStatus
from flowforge.names import is_encodable
from flowforge.records import (
    DeadLetterPurged,
    DeadLetterRequeued,
    Delivery,
    Destination,
    JobClosed,
    Message,
    MessagePosted,
    PauseRequested,
    SharedChange,
)
from flowforge.structs import replace

if TYPE_CHECKING:
    from flowforge._engine.job import Job
    from flowforge._engine.job_data import DeadLetter, JobData

__all__ = [
    "StillRunning",
    "cancel",
    "check_can_pause",
    "check_payload",
    "checked_reason",
    "close",
    "forget_waiter",
    "interrupt_async_steps",
    "letter_deliveries",
    "new_message",
    "purge",
    "request_pause",
    "requeue",
    "still_running",
    "try_post",
    "without_attempts",
    "write_shared",
]


@dataclass(frozen=True, slots=True)
class StillRunning:
    """A step that was told to end and has not yet."""

    job_id: str
    routine_id: str
    seconds: float
    """How long it has run."""


def check_payload(payload: object, where: str) -> dict[str, Any]:
    """`payload` if it is a dict with string keys; else PayloadTypeError."""
    if not isinstance(payload, dict) or not all(isinstance(key, str) for key in payload):
        raise PayloadTypeError(payload, where)
    return dict(payload)


def checked_reason(reason: object) -> str:
    """`reason`; RuntimeOptionError if it is no text that can be kept."""
    if not isinstance(reason, str) or not is_encodable(reason):
        raise RuntimeOptionError("reason", reason, "Give a text that UTF-8 can encode.")
    return reason


def new_message(data: JobData, payload: dict[str, Any], at: float, key: str | None = None) -> Message:
    """A message from outside, with the id that belongs to its key or its number."""
    data.entries += 1
    number = entry_id(data.job_id, data.entries) if key is None else posted_id(data.job_id, key)
    return Message(number, data.job_id, "", payload, at, key=key)


def check_can_pause(job: Job) -> None:
    """Raise NoCursorError if a generator runs that could not be called again."""
    with job.lock:
        for worker in job.everyone():
            if worker.lacks_cursor:
                raise NoCursorError(worker.plan.id, "paused")


@whole
def request_pause(job: Job, reason: str, checkpoint: Any, *, goes_on: bool = False) -> None:
    """Let running steps finish and no other start; the run ends with the last of them."""
    reason = checked_reason(reason)
    if job.is_over or job.is_pausing:
        return
    job.goes_on = goes_on
    job.is_pausing = True
    job.pause_reason = reason
    job.data.checkpoint = checkpoint
    if job.is_durable and job.busy and not goes_on:
        # It may take long until it rests, and a crash must not let it go on.
        job.append(PauseRequested(**job.next_position(), reason=reason, checkpoint=checkpoint))
    job.close_gate()
    if not job.busy:
        decide_at_rest(job)


@whole
def interrupt_async_steps(job: Job) -> list[StillRunning]:
    """Cancel the async handlers that still run, whose messages stay first; what runs on threads is returned."""
    # If the run is over, they have been cancelled.
    for worker in () if job.is_over else job.everyone():
        step = worker.step
        if step is not None and step.is_open and worker.task is not None:
            abandon(worker, step)
    return still_running(job)


def still_running(job: Job) -> list[StillRunning]:
    """The steps whose handlers run at this moment, abandoned ones included; with the job's lock held or not."""
    with job.lock:
        now = job.clock.monotonic()
        running = dict(job.stuck)
        running |= {w.step: w.plan.id for w in job.everyone() if w.step is not None and w.step.is_open}
        return [StillRunning(job.id, routine, now - step.started) for step, routine in running.items()]


@whole
def cancel(job: Job, reason: str) -> list[StillRunning]:
    """End the job for good; what running steps still do will be refused."""
    reason = checked_reason(reason)
    if job.is_over:
        return []
    running = still_running(job)
    interrupt(job, JobStatus.CANCELLED, reason)
    return running


@whole
def close(job: Job) -> None:
    """Keep the job open no longer: it ends when nothing is left to do."""
    if job.data.is_kept_alive:
        job.data.is_kept_alive = False
        job.append(JobClosed(**job.next_position()))
    if not job.busy:
        decide_at_rest(job)


@whole
def try_post(
    job: Job, routine: str, slot: str | None, payload: dict[str, Any], key: str | None, *, is_bounded: bool = True
) -> threading.Event | None:
    """Put a message from outside into a slot, once for each key.

    If the slot is full, nothing is put, and the event that is returned is set when there may be room. JobFinishedError
    if the job has ended.
    """
    plan = job.plan.routine(routine)
    lane = plan.entry_lane(slot)
    data = job.data
    if job.is_over:
        job.view.catch_up()
        remedy = "Start it with keep_alive=True, or resume it."
        raise JobFinishedError(job.id, job.view.status, "take a post", remedy)
    if key is not None and key in data.keys:
        return None
    worker = job.workers[plan.index]
    waiting = () if worker is None else worker.mailbox.lanes[lane].items
    if worker is not None and is_bounded and len(waiting) >= plan.slots[lane].max_queue_length:
        event = threading.Event()
        job.space_waiters.append((worker, lane, event))
        return event
    job.take_key(key)
    message = new_message(data, payload, job.clock.now(), key)
    delivery = Delivery(Destination(routine, plan.slots[lane].name), message)
    number = job.append(MessagePosted(**job.next_position(), delivery=delivery))
    job.deliver((delivery,), number)
    return None


def letter_deliveries(letter: DeadLetter) -> tuple[Delivery, ...]:
    """A dead letter's messages on their way back, with their attempts reset."""
    return tuple(
        Delivery(Destination(letter.routine, slot), without_attempts(message))
        for slot, message in zip(letter.slots, letter.messages, strict=True)
    )


def requeue(job: Job, letter: DeadLetter) -> None:
    """Put a dead letter back into the slots it came from; with the job's lock held."""
    check_letter_fits(job.data, letter, job.plan)
    del job.data.dead_letters[letter.id]
    deliveries = letter_deliveries(letter)
    number = job.append(DeadLetterRequeued(**job.next_position(), letter=letter.id, deliveries=deliveries))
    job.deliver(deliveries, number)


def purge(job: Job, letter: DeadLetter) -> None:
    """Throw a dead letter away; with the job's lock held."""
    del job.data.dead_letters[letter.id]
    job.append(DeadLetterPurged(**job.next_position(), letter=letter.id))


def write_shared(shared: dict[str, Any], change: SharedChange) -> None:
    """Let a change of shared data take effect."""
    if change.is_deleted:
        shared.pop(change.key, None)
    else:
        shared[change.key] = change.value


def forget_waiter(job: Job, room: threading.Event) -> None:
    """Somebody waits for a slot no longer."""
    with job.lock:
        job.space_waiters = [waiter for waiter in job.space_waiters if waiter[2] is not room]


def without_attempts(message: Message) -> Message:
    """The same message, as if no attempt at it had failed."""
    return replace(message, attempt=0)
