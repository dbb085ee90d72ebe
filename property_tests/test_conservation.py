"""Every message is worked on once, a dead letter, or still waiting: under each strategy, whatever the schedule."""

from collections import Counter
from dataclasses import dataclass, field

from hypothesis import given
from hypothesis import strategies as st

from actors.testing.stepped_dispatcher import SteppedDispatcher
from flowforge.error_handler import ErrorHandler
from flowforge.flow import Flow
from flowforge.job_state import JobState
from flowforge.records import (
    Delivery,
    JobStarted,
    Message,
    MessageGivenUp,
    StepCommitted,
)
from flowforge.routine import Routine
from flowforge.runtime import Runtime

STRATEGIES = ("stop", "skip", "continue", "retry")


@dataclass(frozen=True)
class Plan:
    """A random acyclic flow: each routine copies to some later ones, and fails at some messages."""

    targets: tuple[tuple[int, ...], ...]
    fails_at: tuple[frozenset[int], ...]
    strategies: tuple[str, ...]
    entries: int


@dataclass
class Account:
    """Where the messages of a job have gone, counted from its records by id and slot."""

    sent: Counter[tuple[str, int]] = field(default_factory=Counter)
    worked_on: Counter[tuple[str, int]] = field(default_factory=Counter)
    given_up: Counter[tuple[str, int]] = field(default_factory=Counter)


@st.composite
def plans(draw: st.DrawFn) -> Plan:
    size = draw(st.integers(2, 5))
    targets = tuple(
        tuple(sorted(draw(st.sets(st.integers(index + 1, size - 1), max_size=3)))) if index < size - 1 else ()
        for index in range(size)
    )
    fails_at = tuple(draw(st.frozensets(st.integers(0, 3), max_size=2)) for _ in range(size))
    strategies = tuple(draw(st.sampled_from(STRATEGIES)) for _ in range(size))
    return Plan(targets, fails_at, strategies, draw(st.integers(1, 4)))


class Copier(Routine):
    """Passes on what comes; raises at the numbers it was told to, some times or always."""

    def __init__(self, fails_at: frozenset[int], *, is_persistent: bool) -> None:
        super().__init__()
        self.define_slot("input", handler=self.work)
        self.define_event("out")
        self.fails_at = fails_at
        self.is_persistent = is_persistent

    def work(self, n: int) -> None:
        self.increment_stat("calls")
        self.emit("out", n=n)
        if n in self.fails_at and (self.is_persistent or self.random.random() < 0.5):
            raise LookupError(n)


class Start(Routine):
    """Emits as many numbers as it is told to, one per step."""

    def __init__(self) -> None:
        super().__init__()
        self.define_event("out")

    def __call__(self, n: int) -> None:
        for number in range(n):
            self.emit("out", n=number)


def build(plan: Plan) -> Flow:
    flow = Flow("flow")
    flow.add_routine(Start(), "start")
    for index, fails_at in enumerate(plan.fails_at):
        routine = Copier(fails_at, is_persistent=index % 2 == 0)
        strategy = plan.strategies[index]
        on_exhausted = "skip" if index % 2 else "stop"
        routine.set_error_handler(ErrorHandler(strategy, max_retries=2, retry_delay=0.5, on_exhausted=on_exhausted))
        flow.add_routine(routine, f"r{index}")
    flow.connect("start.out", "r0.input")
    for index, targets in enumerate(plan.targets):
        for target in targets:
            flow.connect(f"r{index}.out", f"r{target}.input")
    return flow


def run(flow: Flow, choices: list[int], entries: int) -> JobState:
    dispatcher = SteppedDispatcher()
    with Runtime(dispatcher=dispatcher) as runtime:
        job = runtime.exec(flow, "start", {"n": entries})
        for choice in choices:
            ready = len(dispatcher.choices())
            if ready:
                dispatcher.step(choice % ready)
            elif not dispatcher.advance_to_next():
                break
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


@given(plans(), st.lists(st.integers(0, 9), max_size=80))
def test_every_message_is_worked_on_given_up_or_waiting(plan: Plan, choices: list[int]) -> None:
    job = run(build(plan), choices, plan.entries)

    account = account_of(job)
    assert account.sent == account.worked_on + account.given_up + waiting_in(job)
    assert max(account.sent.values()) == 1
    assert sum(account.given_up.values()) == len(job.dead_letters)


@given(plans(), st.lists(st.integers(0, 9), max_size=80))
def test_a_job_ends_completed_or_failed_with_nothing_in_between(plan: Plan, choices: list[int]) -> None:
    job = run(build(plan), choices, plan.entries)

    if job.status == "completed":
        assert not waiting_in(job)
    else:
        assert job.status == "failed"
        assert any(routine == job.failed_routine for routine, _ in waiting_in(job))


@given(plans(), st.lists(st.integers(0, 9), max_size=80))
def test_the_state_counts_exactly_the_steps_that_committed(plan: Plan, choices: list[int]) -> None:
    job = run(build(plan), choices, plan.entries)

    worked_on = Counter(routine for routine, _ in account_of(job).worked_on.elements())
    for index in range(len(plan.targets)):
        calls = (job.get_routine_state(f"r{index}") or {}).get("calls", 0)
        assert calls == worked_on[f"r{index}"] == job.routine_status(f"r{index}")["calls"]


@given(plans(), st.lists(st.integers(0, 9), max_size=80), st.lists(st.integers(0, 9), max_size=80))
def test_a_failed_job_resumed_again_and_again_loses_nothing(
    plan: Plan, choices: list[int], more_choices: list[int]
) -> None:
    flow = build(plan)
    job = run(flow, choices, plan.entries)
    dispatcher = SteppedDispatcher()
    with Runtime(dispatcher=dispatcher) as runtime:
        for choice in more_choices[:3] if job.status == "failed" else ():
            runtime.exec(flow, job_state=job)
            while dispatcher.choices():
                dispatcher.step(choice % len(dispatcher.choices()))
            job.wait()
            if job.status != "failed":
                break

    account = account_of(job)
    assert account.sent == account.worked_on + account.given_up + waiting_in(job)
