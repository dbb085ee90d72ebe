from typing import Any

import pytest

from flowforge.execution_record import ExecutionRecord, execution_records
from flowforge.records import (
    Delivery,
    Destination,
    ErrorInfo,
    JobMoved,
    Message,
    MessageGivenUp,
    Output,
    RetryScheduled,
    StepCommitted,
    StepFailed,
)

ERROR = ErrorInfo("ValueError", "not a number", "Traceback ...")


def message(payload: dict[str, Any], *, source: str = "", attempt: int = 0) -> Message:
    return Message(id=1, job="job-1", source=source, payload=payload, at=90.0, attempt=attempt)


def committed(*messages: Message, is_final: bool = True, **effects: Any) -> StepCommitted:
    return StepCommitted(
        position=7,
        at=100.0,
        epoch=0,
        routine="scan",
        replica=2,
        slot="input",
        messages=messages or (message({"path": "a"}),),
        is_final=is_final,
        duration=0.5,
        queued=9.5,
        **effects,
    )


def failed(attempt: int) -> StepFailed:
    return StepFailed(
        position=7,
        at=100.0,
        epoch=0,
        routine="scan",
        replica=2,
        slot="input",
        messages=(message({"path": "a"}, attempt=attempt),),
        duration=0.5,
        queued=9.5,
        error=ERROR,
    )


def given_up(strategy: str, error: ErrorInfo | None, attempt: int) -> MessageGivenUp:
    messages = (message({"path": "a"}, attempt=attempt),)
    return MessageGivenUp(
        position=8,
        at=101.0,
        epoch=0,
        letter="job-dl1",
        routine="scan",
        slots=("input",),
        messages=messages,
        strategy=strategy,
        error=error,
    )


def test_a_step_becomes_the_call_of_its_slot() -> None:
    [entry] = execution_records(committed(message({"path": "a"}, attempt=1)))

    assert entry == ExecutionRecord(
        position=7,
        routine_id="scan",
        slot="input",
        event=None,
        payload={"path": "a"},
        started_at=99.5,
        duration=0.5,
        outcome="completed",
        attempt=2,
        replica=2,
    )


def test_a_yield_is_told_from_an_end() -> None:
    [entry] = execution_records(committed(is_final=False))

    assert entry.outcome == "yielded"


def test_an_activation_shows_all_its_payloads() -> None:
    [entry] = execution_records(committed(message({"n": 1}), message({"n": 2})))

    assert entry.payload == [{"n": 1}, {"n": 2}]


def test_each_delivery_and_output_event_follows_its_call() -> None:
    sent = Delivery(Destination("parse", "input"), message({"file": 1}, source="scan.found"))
    outputs = (Output("scan.done", {"n": 1}), Output("progress", {"n": 2}, is_event=False))

    call, *events = execution_records(committed(deliveries=(sent, sent), outputs=outputs))

    assert call.slot == "input"
    assert [(entry.event, entry.payload) for entry in events] == [
        ("found", {"file": 1}),
        ("found", {"file": 1}),
        ("done", {"n": 1}),
    ]
    assert {(entry.slot, entry.started_at, entry.duration, entry.replica) for entry in events} == {
        (None, 100.0, 0.0, 2)
    }


def test_what_a_handler_posts_is_no_event() -> None:
    posted = Delivery(Destination("parse", "input"), message({"file": 1}))

    assert len(execution_records(committed(deliveries=(posted,)))) == 1


def test_a_failed_attempt_shows_its_number_and_error() -> None:
    [entry] = execution_records(failed(attempt=3))

    assert (entry.outcome, entry.attempt, entry.error) == ("failed", 3, "ValueError: not a number")
    assert (entry.started_at, entry.duration, entry.replica) == (99.5, 0.5, 2)


@pytest.mark.parametrize(("strategy", "outcome"), [("skip", "skipped"), ("continue", "continued")])
def test_a_message_given_up_shows_how_and_why(strategy: str, outcome: str) -> None:
    [entry] = execution_records(given_up(strategy, ERROR, attempt=4))

    assert (entry.outcome, entry.attempt, entry.error) == (outcome, 4, "ValueError: not a number")
    assert (entry.slot, entry.payload, entry.started_at) == ("input", {"path": "a"}, 101.0)


def test_a_message_without_partner_has_no_error() -> None:
    [entry] = execution_records(given_up("unmatched", None, attempt=0))

    assert (entry.outcome, entry.attempt, entry.error) == ("unmatched", 1, None)


def test_other_records_leave_no_entry() -> None:
    moved = JobMoved(position=1, at=1.0, epoch=0, status="paused")
    retried = RetryScheduled(position=2, at=1.0, epoch=0, routine="scan", replica=0, delay=1.0, due=2.0)

    assert execution_records(moved) == execution_records(retried) == ()


def test_an_entry_becomes_a_dict_and_back() -> None:
    [entry] = execution_records(committed())

    data = entry.to_dict()

    assert data["routine_id"] == "scan"
    assert ExecutionRecord(**data) == entry
