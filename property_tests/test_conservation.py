"""Every message is worked on once, a dead letter, or still waiting: under each strategy, whatever the schedule."""

from collections import Counter
from dataclasses import dataclass, field

from hypothesis import given
from hypothesis import strategies as st

from actors.testing.stepped_dispatcher import SteppedDispatcher
from flowforge.job_state import JobState
from flowforge.records import Delivery, JobStarted, Message, MessageGivenUp, StepCommitted
from flowforge.runtime import Runtime
from flowforge.testing.flow_shapes import FlowShape
from flowforge.testing.flow_strategies import MAX_N, flows
from property_tests.stepping import take_steps

choices = st.lists(st.integers(0, 9), max_size=100)
numbers = st.integers(0, MAX_N)


@dataclass
class Account:
    """Where the messages of a job have gone, counted from its records by id and slot."""

    sent: Counter[tuple[str, int]] = field(default_factory=Counter)
    worked_on: Counter[tuple[str, int]] = field(default_factory=Counter)
    given_up: Counter[tuple[str, int]] = field(default_factory=Counter)


def run(shape: FlowShape, n: int, choices: list[int]) -> JobState:
    dispatcher = SteppedDispatcher()
    with Runtime(dispatcher=dispatcher) as runtime:
        job = runtime.exec(shape.build(), "r0", {"n": n})
        take_steps(dispatcher, choices)
        assert job.wait()
    return job


def account_of(job: JobState) -> Account:
    account = Account()
    for record in job.view.history:
        if isinstance(record, JobStarted | StepCommitted):
            account.sent.update(_keys(record.deliveries))
        if isinstance(record, StepCommitted) and record.is_final:
            account.worked_on.update(_consumed(record.routine, record.messages))
        elif isinstance(record, MessageGivenUp):
            account.given_up.update(_consumed(record.routine, record.messages))
    return account


def _keys(deliveries: tuple[Delivery, ...]) -> list[tuple[str, int]]:
    return [(delivery.to.routine, delivery.message.id) for delivery in deliveries]


def _consumed(routine: str, messages: tuple[Message, ...]) -> list[tuple[str, int]]:
    return [(routine, message.id) for message in messages]


def waiting_in(job: JobState) -> Counter[tuple[str, int]]:
    return Counter((routine, m.id) for (routine, _), messages in job.data.pending.items() for m in messages)


@given(flows(), numbers, choices)
def test_every_message_is_worked_on_given_up_or_waiting(shape: FlowShape, n: int, choices: list[int]) -> None:
    job = run(shape, n, choices)

    account = account_of(job)
    assert account.sent == account.worked_on + account.given_up + waiting_in(job)
    assert max(account.sent.values()) == 1
    assert account.given_up.total() == sum(len(letter.messages) for letter in job.dead_letters)


@given(flows(), numbers, choices)
def test_a_job_ends_completed_or_failed_with_nothing_in_between(shape: FlowShape, n: int, choices: list[int]) -> None:
    job = run(shape, n, choices)

    if job.status == "completed":
        assert not waiting_in(job)
    else:
        assert job.status == "failed"
        assert any(routine == job.failed_routine for routine, _ in waiting_in(job))


@given(flows(joins=False), numbers, choices)
def test_the_state_counts_exactly_what_was_worked_on(shape: FlowShape, n: int, choices: list[int]) -> None:
    job = run(shape, n, choices)

    expected = Counter(routine for routine, _ in [*account_of(job).worked_on.elements(), *_begun(job)])
    counted = Counter({name: state.get("messages", 0) for name, state in job.routine_states.items()})
    assert +counted == expected
    assert job.shared_data.get("messages", 0) == expected.total()


def _begun(job: JobState) -> list[tuple[str, int]]:
    """The messages that a generator has begun with and not finished."""
    account = account_of(job)
    left = account.given_up + waiting_in(job)
    yielded = {
        key
        for record in job.view.history
        if isinstance(record, StepCommitted) and not record.is_final
        for key in _consumed(record.routine, record.messages)
    }
    return [key for key in left if key in yielded]


@given(flows(), numbers, choices, st.lists(choices, min_size=1, max_size=3))
def test_a_failed_job_resumed_again_and_again_loses_nothing(
    shape: FlowShape, n: int, choices: list[int], more_choices: list[list[int]]
) -> None:
    job = run(shape, n, choices)
    dispatcher = SteppedDispatcher()
    with Runtime(dispatcher=dispatcher) as runtime:
        for later_choices in more_choices:
            if job.status == "failed":
                runtime.exec(shape.build(), job_state=job)
                take_steps(dispatcher, later_choices)
                assert job.wait()

    account = account_of(job)
    assert account.sent == account.worked_on + account.given_up + waiting_in(job)
