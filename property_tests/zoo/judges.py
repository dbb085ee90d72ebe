"""What is true of every run of a right engine, whatever the order, read off the log and the job's actors."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from actors.mailbox_status import MailboxStatus
from flowforge.records import (
    DeadLetterRequeued,
    JobMoved,
    JobStarted,
    MessageGivenUp,
    MessagePosted,
    RetryScheduled,
    StepCommitted,
    StepFailed,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from flowforge.records import Delivery, Message, Record
    from flowforge.testing.simulated_run import SimulatedRun

__all__ = [
    "assert_cancel_is_final",
    "assert_conserved",
    "assert_retries_wait",
    "emits_in_order",
    "is_awake",
    "retries_at_most",
]


def records_of(run: SimulatedRun) -> list[Record]:
    """The log of a run."""
    return [record for _, record in run.records]


def assert_conserved(run: SimulatedRun) -> None:
    """Every message is consumed or given up once, after it was written down; none waits if the job has completed."""
    waiting: Counter[int] = Counter()
    for record in records_of(run):
        for message in _ended(record):
            assert waiting[message.id], "a message that does not wait is consumed"
            waiting[message.id] -= 1
        waiting.update(delivery.message.id for delivery in _deliveries(record))
    assert not (run.is_completed and waiting.total()), "a message still waits at the end"


def _deliveries(record: Record) -> tuple[Delivery, ...]:
    if isinstance(record, JobStarted | StepCommitted | DeadLetterRequeued):
        return record.deliveries
    return (record.delivery,) if isinstance(record, MessagePosted) else ()


def _ended(record: Record) -> Iterator[Message]:
    if isinstance(record, MessageGivenUp) or (isinstance(record, StepCommitted) and record.is_final):
        yield from record.messages


def assert_cancel_is_final(run: SimulatedRun) -> None:
    """No step commits in a job that was cancelled."""
    records = records_of(run)
    ends = [i for i, record in enumerate(records) if isinstance(record, JobMoved) and record.status == "cancelled"]
    after = records[ends[0] :] if ends else []
    assert not any(isinstance(record, StepCommitted) for record in after), "a step commits after the cancel"


def assert_retries_wait(run: SimulatedRun) -> None:
    """No attempt ends before its retry was due."""
    due: dict[str, float] = {}
    for record in records_of(run):
        if isinstance(record, RetryScheduled):
            due[record.routine] = record.due
        elif isinstance(record, StepFailed | StepCommitted):
            assert record.at >= due.get(record.routine, 0.0), "a retry does not wait for its time"


def retries_at_most(most: int) -> Callable[[SimulatedRun], None]:
    """A judge: the job's failing messages are tried again so often in all, crashes or not."""

    def judge(run: SimulatedRun) -> None:
        retries = sum(isinstance(record, RetryScheduled) for record in records_of(run))
        assert retries <= most, "messages are tried too often"

    return judge


def emits_in_order(name: str, expected: list[Any]) -> Callable[[SimulatedRun], None]:
    """A judge: what came out of an event keeps the order of what went in."""

    def judge(run: SimulatedRun) -> None:
        assert [payload["n"] for payload in run.outputs.get(name, ())] == expected, "the order is kept"

    return judge


def is_awake(run: SimulatedRun) -> bool:
    """Whether no actor is idle although it has messages and nothing holds it; an invariant."""
    live = run.job_state.live
    return (
        live is None
        or live.is_over
        or not any(
            worker.has_data and worker.mailbox.status is MailboxStatus.IDLE and not worker.mailbox.holds
            for worker in live.actors()
        )
    )
