"""A job is completed exactly once, when nothing is in flight, and never while something is."""

import contextlib
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from actors.testing.stepped_dispatcher import SteppedDispatcher
from flowforge.job_errors import SlotQueueFullError
from flowforge.job_state import JobState
from flowforge.records import (
    DeadLetterRequeued,
    JobMoved,
    JobStarted,
    MessageGivenUp,
    MessagePosted,
    Record,
    StepCommitted,
    StepFailed,
)
from flowforge.runtime import Runtime
from flowforge.testing.flow_shapes import FlowShape
from flowforge.testing.flow_strategies import MAX_N, flows
from property_tests.stepping import take_steps

choices = st.lists(st.integers(0, 9), max_size=100)
numbers = st.integers(0, MAX_N)


def change_of(record: Record) -> int:
    """By how much a record changes the number of messages in flight."""
    if isinstance(record, JobStarted | DeadLetterRequeued):
        return len(record.deliveries)
    if isinstance(record, MessagePosted):
        return 1
    if isinstance(record, MessageGivenUp):
        return -len(record.messages)
    if isinstance(record, StepCommitted):
        return len(record.deliveries) - (len(record.messages) if record.is_final else 0)
    return 0


def in_flight_at_each_completion(job: JobState) -> list[int]:
    """Folds the records: what was in flight whenever one says that the job is completed."""
    in_flight = 0
    seen: list[int] = []
    for record in job.view.history:
        in_flight += change_of(record)
        if is_completion(record):
            seen.append(in_flight)
    return seen


def is_completion(record: Record) -> bool:
    return isinstance(record, JobMoved) and record.status == "completed"


def committed_after_completion(job: JobState) -> list[Any]:
    """What was written down in an epoch after the record that it is completed."""
    completed: set[int] = set()
    late: list[Any] = []
    for record in job.view.history:
        if record.epoch in completed and isinstance(record, StepCommitted | StepFailed | MessageGivenUp | JobMoved):
            late.append(record)
        if is_completion(record):
            completed.add(record.epoch)
    return late


@given(flows(), numbers, choices)
def test_a_job_completes_at_most_once_with_nothing_in_flight(shape: FlowShape, n: int, choices: list[int]) -> None:
    dispatcher = SteppedDispatcher()
    with Runtime(dispatcher=dispatcher) as runtime:
        job = runtime.exec(shape.build(), "r0", {"n": n})
        take_steps(dispatcher, choices)
        assert job.wait()
        dispatcher.run_until_idle()

    assert in_flight_at_each_completion(job) == ([0] if job.status == "completed" else [])
    assert isinstance(job.view.history[-1], JobMoved)


@given(flows(confluent=True), choices, st.lists(numbers, max_size=5))
def test_a_job_kept_alive_completes_once_it_is_closed(shape: FlowShape, choices: list[int], posts: list[int]) -> None:
    dispatcher = SteppedDispatcher()
    with Runtime(dispatcher=dispatcher) as runtime:
        job = runtime.exec(shape.build(), "r0", {"n": 1}, keep_alive=True)
        for number in posts:
            take_steps(dispatcher, choices)
            with contextlib.suppress(SlotQueueFullError):
                runtime.post(job, "r0", "input", {"n": number}, timeout=0)
        assert job.status == "running"
        job.close()
        assert job.wait()

    assert in_flight_at_each_completion(job) == [0]


@given(flows(), numbers, choices)
def test_letters_given_back_reopen_and_complete_once_per_epoch(shape: FlowShape, n: int, choices: list[int]) -> None:
    dispatcher = SteppedDispatcher()
    with Runtime(dispatcher=dispatcher) as runtime:
        job = runtime.exec(shape.build(), "r0", {"n": n})
        assert job.wait()
        for letter in job.dead_letters:
            job.requeue_dead_letter(letter.id)
            take_steps(dispatcher, choices)
        assert job.wait()

    assert not any(in_flight_at_each_completion(job))
    assert not committed_after_completion(job)
