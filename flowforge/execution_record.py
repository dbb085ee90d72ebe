"""What a job did, entry by entry, as its history shows it: calls of slots, and the events they emitted."""

from collections.abc import Iterator
from dataclasses import dataclass, fields
from typing import Any

from flowforge.records import Message, MessageGivenUp, Record, StepCommitted, StepFailed

__all__ = ["ExecutionRecord", "execution_records"]

_GIVEN_UP = {"skip": "skipped", "continue": "continued", "unmatched": "unmatched", "poison": "poisonous"}


@dataclass(frozen=True, slots=True)
class ExecutionRecord:
    """One entry of an execution history: either a slot was called, or an event was emitted."""

    position: int
    """Of the job's record that it was read from; a call and its events share it."""
    routine_id: str
    slot: str | None
    """The slot that was called; None if this is an event."""
    event: str | None
    """The event that was emitted; None if this is a call."""
    payload: Any
    """What was delivered, not to be changed; for an activation of several messages, the list of them."""
    started_at: float
    """Seconds since the epoch."""
    duration: float
    outcome: str
    """`completed`, `yielded` or `failed`; of a dead letter `skipped`, `continued`, `unmatched` or `poisonous`."""
    attempt: int = 1
    """1 for the first attempt at the message."""
    error: str | None = None
    """Type and text of the error that was raised."""
    replica: int = 0

    def to_dict(self) -> dict[str, Any]:
        """All fields by name; the payload is shared."""
        return {name: getattr(self, name) for name in _FIELDS}


_FIELDS = tuple(field.name for field in fields(ExecutionRecord))


def execution_records(record: Record) -> tuple[ExecutionRecord, ...]:
    """The history entries of one record: a call, then what it emitted, once per connection."""
    if isinstance(record, StepCommitted):
        return (_committed(record), *_events(record))
    if isinstance(record, StepFailed):
        return (_failed(record),)
    if isinstance(record, MessageGivenUp):
        return (_given_up(record),)
    return ()


def _committed(record: StepCommitted) -> ExecutionRecord:
    return ExecutionRecord(
        position=record.position,
        routine_id=record.routine,
        slot=record.slot,
        event=None,
        payload=_payload_of(record.messages),
        started_at=record.at - record.duration,
        duration=record.duration,
        outcome="completed" if record.is_final else "yielded",
        attempt=record.messages[0].attempt + 1,
        replica=record.replica,
    )


def _events(record: StepCommitted) -> Iterator[ExecutionRecord]:
    sent = [(delivery.message.source, delivery.message.payload) for delivery in record.deliveries]
    sent += [(output.name, output.payload) for output in record.outputs if output.is_event]
    for source, payload in sent:
        # What a handler posts comes from outside, by no event.
        if source:
            yield ExecutionRecord(
                position=record.position,
                routine_id=record.routine,
                slot=None,
                event=source.partition(".")[2],
                payload=payload,
                started_at=record.at,
                duration=0.0,
                outcome="completed" if record.is_final else "yielded",
                attempt=record.messages[0].attempt + 1,
                replica=record.replica,
            )


def _failed(record: StepFailed) -> ExecutionRecord:
    return ExecutionRecord(
        position=record.position,
        routine_id=record.routine,
        slot=record.slot,
        event=None,
        payload=_payload_of(record.messages),
        started_at=record.at - record.duration,
        duration=record.duration,
        outcome="failed",
        attempt=record.messages[0].attempt,
        error=f"{record.error.type}: {record.error.text}",
        replica=record.replica,
    )


def _given_up(record: MessageGivenUp) -> ExecutionRecord:
    error = record.error
    return ExecutionRecord(
        position=record.position,
        routine_id=record.routine,
        slot=record.slot,
        event=None,
        payload=_payload_of(record.messages),
        started_at=record.at,
        duration=0.0,
        outcome=_GIVEN_UP[record.strategy],
        # What found no partner was never tried.
        attempt=max(1, record.messages[0].attempt),
        error=None if error is None else f"{error.type}: {error.text}",
    )


def _payload_of(messages: tuple[Message, ...]) -> Any:
    return messages[0].payload if len(messages) == 1 else [message.payload for message in messages]
