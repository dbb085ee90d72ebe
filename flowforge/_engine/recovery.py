"""A job from its log: the fold of its records, from the first one on. No user code is called for it.

Guarantees:

- Folding the records of a job that rests gives the data that the job had when it came to rest.
- Every prefix of a log is a job: what had not been consumed by a record of it is pending.
- A failed attempt counts once it was answered; one whose answer was lost is as if it had not been made.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from flowforge._engine.control import without_attempts, write_shared
from flowforge._engine.job_data import JobData, Retry, letter_of
from flowforge._engine.view import JobView
from flowforge.job_status import JobStatus
from flowforge.records import (
    DeadLetterPurged,
    DeadLetterRequeued,
    JobClosed,
    JobMoved,
    JobStarted,
    MessageGivenUp,
    MessageMerged,
    MessagePosted,
    MessageSuspected,
    PauseRequested,
    RetryScheduled,
    RoutineRestarted,
    SharedWritten,
    StepCommitted,
    StepFailed,
    TimerFired,
)
from flowforge.structs import replace

if TYPE_CHECKING:
    from collections.abc import Iterable

    from flowforge.records import Delivery, Message, Record, SharedChange

__all__ = ["Midway", "midway", "recover"]


_AT_ONCE = 256


@dataclass(slots=True)
class Midway:
    """A job in the middle of its log, with all that the records to come may refer to."""

    data: JobData
    view: JobView
    began_at: float = 0.0
    at: float = 0.0
    unanswered: dict[tuple[str, int], tuple[Message, ...]] = field(default_factory=dict)
    """What a replica failed with, until that is answered."""
    lacks_cursor: dict[int, str] = field(default_factory=dict)
    """The routine of each generator that cannot be called again, by its message."""


def recover(
    records: Iterable[Record], job_id: str, max_history: int, max_outputs: int, start: Midway | None = None
) -> tuple[JobData, JobView, bool]:
    """The job that those records tell of, at rest, and whether it is to go on at once, having run at the end.

    They follow `start`, which is used up, or are the whole log.
    """
    fold, view = _folded(records, job_id, max_history, max_outputs, start)
    was_running = view.status is JobStatus.RUNNING
    if was_running:
        fold.interrupt()
        is_to_pause, fold.data.pausing = fold.data.pausing, None
        fold.data.goes_on = is_to_pause is None
        view.status = JobStatus.PAUSED
        view.reason = "interrupted" if is_to_pause is None else is_to_pause
    return fold.finish(), view, fold.data.goes_on


def midway(
    records: Iterable[Record], job_id: str, max_history: int, max_outputs: int, start: Midway | None = None
) -> Midway:
    """What `recover` needs in place of `start` and these records, to go on from there."""
    fold, view = _folded(records, job_id, max_history, max_outputs, start)
    facts = fold.began_at, fold.at, fold.unanswered, fold.lacks_cursor
    return Midway(fold.finish(), view, *facts)


def _folded(
    records: Iterable[Record], job_id: str, max_history: int, max_outputs: int, start: Midway | None
) -> tuple[_Fold, JobView]:
    begin = start or Midway(JobData(job_id, ""), JobView(job_id, max_history, max_outputs))
    fold, view = _Fold(begin, max_outputs), begin.view
    view.set_limits(max_history, max_outputs)
    for count, record in enumerate(records):
        fold.apply(record)
        view.inbox.append(record)
        if not count % _AT_ONCE:
            # So that a long log is never in memory as a whole.
            view.catch_up()
    view.catch_up()
    view.is_live = False
    return fold, view


class _Fold:
    """What the commits own, as far as the records have told."""

    def __init__(self, start: Midway, max_log: int) -> None:
        self.data = start.data
        self.max_log = max_log
        self.waiting: dict[str, dict[int, tuple[str, Message]]] = {}
        """The slot and the message of all that waits in each routine, by id."""
        for (routine, slot), messages in start.data.pending.items():
            self.waiting.setdefault(routine, {}).update((message.id, (slot, message)) for message in messages)
        start.data.pending = {}
        self.unanswered = start.unanswered
        self.retries = start.data.retries
        self.lacks_cursor = start.lacks_cursor
        self.status = start.view.status
        self.began_at, self.at = start.began_at, start.at

    def apply(self, record: Record) -> None:
        data = self.data
        data.position, data.epoch = record.position, record.epoch
        if isinstance(record, StepCommitted | StepFailed | MessageGivenUp):
            data.starts, data.suspect = 0, None
        match record:
            case StepCommitted():
                self._step_committed(record)
            case TimerFired():
                del data.timers[record.timer]
                self._deliver(record.deliveries)
            case StepFailed():
                self.unanswered[record.routine, record.replica] = record.messages
                self.retries.pop(record.messages[0].id, None)
            case RetryScheduled():
                messages = self.unanswered.pop((record.routine, record.replica))
                self._count(record.routine, messages)
                self.retries[messages[0].id] = Retry(record.routine, record.replica, record.due, record.delay)
            case MessageGivenUp():
                self._consume(record.routine, record.messages)
                data.letters += 1
                data.dead_letters[record.letter] = letter_of(record)
            case MessageMerged():
                slot = record.slot
                self.waiting[record.routine][record.message.id] = slot, record.message
            case MessagePosted():
                data.entries += 1
                # Whatever the process died of before, it was not this.
                data.starts = min(data.starts, 1)
                self._deliver((record.delivery,))
            case JobStarted():
                data.flow_id, data.timeout = record.flow, record.timeout
                data.is_kept_alive = record.is_kept_alive
                data.entries = len(record.deliveries)
                data.fingerprint = record.fingerprint
                self.status, self.began_at = JobStatus.RUNNING, record.at
                data.starts = 1
                self._deliver(record.deliveries)
            case JobMoved():
                self._job_moved(record)
            case _:
                self._apply_rare(record)
        self.at = record.at

    def _apply_rare(self, record: Record) -> None:
        data = self.data
        match record:
            case MessageSuspected(suspect=0):
                data.starts, data.suspect = min(data.starts, 1), None
            case MessageSuspected():
                data.suspect = record.routine, record.suspect
            case SharedWritten():
                self._share(record.shared)
                data.extend_log(record.shared_log, self.max_log)
            case DeadLetterRequeued():
                del data.dead_letters[record.letter]
                self._deliver(record.deliveries)
            case DeadLetterPurged():
                del data.dead_letters[record.letter]
            case RoutineRestarted():
                data.note_restart(record.at)
            case PauseRequested():
                data.pausing, data.checkpoint = record.reason, record.checkpoint
            case JobClosed():
                data.is_kept_alive = False

    def interrupt(self) -> None:
        """The log ends while the job runs."""
        self.data.elapsed += max(0.0, self.at - self.began_at)

    def finish(self) -> JobData:
        data = self.data
        data.lacks_cursor = list(dict.fromkeys(self.lacks_cursor.values()))
        for routine, waiting in self.waiting.items():
            for slot, message in waiting.values():
                data.pending.setdefault((routine, slot), []).append(message)
        return data

    def _step_committed(self, record: StepCommitted) -> None:
        if record.is_final:
            self._consume(record.routine, record.messages)
        else:
            first = record.messages[0]
            self.retries.pop(first.id, None)
            progress = first.progress + len(record.deliveries) + len(record.timers) + 1
            waiting = self.waiting[record.routine]
            # Those of the record may lack their payloads.
            messages = [replace(waiting[message.id][1], attempt=0, progress=progress) for message in record.messages]
            self._count(record.routine, messages)
            has_emitted = any(d.message.source for d in record.deliveries) or any(o.is_event for o in record.outputs)
            has_emitted = has_emitted or bool(record.timers)
            if has_emitted and not record.state:
                self.lacks_cursor[first.id] = record.routine
        self._deliver(record.deliveries)
        if record.timers:
            self.data.timers.update({timer.id: timer for timer in record.timers})
        if record.shared:
            self._share(record.shared)
        if record.shared_log:
            self.data.extend_log(record.shared_log, self.max_log)

    def _job_moved(self, record: JobMoved) -> None:
        data, before = self.data, self.status
        data.pausing = None
        self.status = JobStatus(record.status)
        if self.status is not JobStatus.RUNNING:
            data.starts, data.suspect = 0, None
            data.goes_on = record.goes_on
            data.elapsed = record.elapsed
            for (routine, _), messages in self.unanswered.items():
                self._count(routine, messages)
            self.unanswered.clear()
            if self.status is JobStatus.PAUSED:
                data.checkpoint = record.checkpoint
            return
        data.starts += 1
        if record.fingerprint is not None:
            data.fingerprint = record.fingerprint
        if before is JobStatus.RUNNING:
            # It went on after a crash, which took the answers to what had failed with it.
            self.interrupt()
            self.unanswered.clear()
        self.began_at = record.at
        if before is JobStatus.FAILED:
            data.elapsed = 0.0
            self.retries.clear()
            data.restarts.clear()
            for routine, waiting in self.waiting.items():
                self._count(routine, tuple(without_attempts(message) for _, message in waiting.values()))

    def _deliver(self, deliveries: Iterable[Delivery]) -> None:
        for delivery in deliveries:
            message = delivery.message
            self.waiting.setdefault(delivery.to.routine, {})[message.id] = delivery.to.slot, message
            if message.key is not None:
                self.data.keys.add(message.key)

    def _consume(self, routine: str, messages: tuple[Message, ...]) -> None:
        waiting = self.waiting[routine]
        for message in messages:
            del waiting[message.id]
            self.retries.pop(message.id, None)
            self.lacks_cursor.pop(message.id, None)
        for replica, failed in tuple(self.unanswered.items()) if self.unanswered else ():
            if failed[0].id not in waiting and replica[0] == routine:
                del self.unanswered[replica]

    def _count(self, routine: str, messages: Iterable[Message]) -> None:
        """Let the messages have those attempts and that progress."""
        waiting = self.waiting[routine]
        for message in messages:
            waiting[message.id] = waiting[message.id][0], message

    def _share(self, changes: tuple[SharedChange, ...]) -> None:
        for change in changes:
            write_shared(self.data.shared, change)
