"""A job is completed exactly once, when nothing is in flight, and never while something is."""

import contextlib
from collections.abc import Iterator
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from actors.testing.stepped_dispatcher import SteppedDispatcher
from flowforge.activation_policies import all_slots_ready_policy, batch_size_policy, time_interval_policy
from flowforge.error_handler import ErrorHandler
from flowforge.flow import Flow
from flowforge.job_errors import SlotQueueFullError
from flowforge.job_state import JobState
from flowforge.records import JobMoved, JobStarted, MessageGivenUp, MessagePosted, StepCommitted
from flowforge.routine import Routine
from flowforge.runtime import Runtime


class Source(Routine):
    """Emits numbers on two events, one per yield, as the list of sides says."""

    def __init__(self, sides: list[bool]) -> None:
        super().__init__()
        self.define_slot("input", handler=self.work)
        self.define_event("left")
        self.define_event("right")
        self.sides = sides

    def work(self) -> Iterator[None]:
        while (number := self.state.setdefault("next", 0)) < len(self.sides):
            self.state["next"] += 1
            self.emit("left" if self.sides[number] else "right", n=number)
            yield


class Gatherer(Routine):
    """Two slots and a policy; passes on how much it got, and fails at some sizes."""

    def __init__(self, policy: str, fails_at: int) -> None:
        super().__init__()
        self.define_slot("left", max_queue_length=3)
        self.define_slot("right", max_queue_length=3)
        self.define_event("out")
        self.set_logic(self.gather)
        policies = {
            "batch": batch_size_policy(3),
            "join": all_slots_ready_policy(),
            "interval": time_interval_policy(5.0),
        }
        if policy in policies:
            self.set_activation_policy(policies[policy])
        self.fails_at = fails_at

    def gather(self, slot_data: dict[str, list[Any]], _message: Any, _job_state: Any) -> None:
        size = sum(map(len, slot_data.values()))
        self.emit("out", n=size)
        if size == self.fails_at:
            raise LookupError


class Sink(Routine):
    def __init__(self) -> None:
        super().__init__()
        self.define_slot("input", handler=lambda n: None)


def build(sides: list[bool], policy: str, fails_at: int) -> Flow:
    flow = Flow("flow", error_handler=ErrorHandler("skip"))
    flow.add_routine(Source(sides), "source")
    flow.add_routine(Gatherer(policy, fails_at), "gatherer")
    flow.add_routine(Sink(), "sink")
    flow.connect("source.left", "gatherer.left")
    flow.connect("source.right", "gatherer.right")
    flow.connect("gatherer.out", "sink.input")
    return flow


def in_flight_at_each_completion(job: JobState) -> list[int]:
    """Folds the records: what was in flight whenever one says that the job is completed."""
    in_flight = 0
    seen: list[int] = []
    for record in job.view.history:
        if isinstance(record, JobStarted | StepCommitted):
            in_flight += len(record.deliveries)
        if isinstance(record, MessagePosted):
            in_flight += 1
        if isinstance(record, MessageGivenUp) or (isinstance(record, StepCommitted) and record.is_final):
            in_flight -= len(record.messages)
        if isinstance(record, JobMoved) and record.status == "completed":
            seen.append(in_flight)
    return seen


sides = st.lists(st.booleans(), max_size=8)
policies = st.sampled_from(["batch", "join", "interval", "immediate"])
choices = st.lists(st.integers(0, 9), max_size=80)


@given(sides, policies, st.integers(0, 3), choices)
def test_a_job_completes_exactly_once_with_nothing_in_flight(
    sides: list[bool], policy: str, fails_at: int, choices: list[int]
) -> None:
    dispatcher = SteppedDispatcher()
    with Runtime(dispatcher=dispatcher) as runtime:
        job = runtime.exec(build(sides, policy, fails_at), "source")
        for choice in choices:
            ready = len(dispatcher.choices())
            if ready:
                dispatcher.step(choice % ready)
        assert job.wait()
        dispatcher.run_until_idle()

    assert job.status == "completed"
    assert in_flight_at_each_completion(job) == [0]
    assert isinstance(job.view.history[-1], JobMoved)


@given(sides, policies, choices, st.integers(0, 5))
def test_a_job_kept_alive_completes_once_it_is_closed(
    sides: list[bool], policy: str, choices: list[int], posts: int
) -> None:
    dispatcher = SteppedDispatcher()
    with Runtime(dispatcher=dispatcher) as runtime:
        job = runtime.exec(build(sides, policy, 0), "source", keep_alive=True)
        for number, choice in enumerate(choices):
            ready = len(dispatcher.choices())
            if ready:
                dispatcher.step(choice % ready)
            if number < posts:
                with contextlib.suppress(SlotQueueFullError):
                    runtime.post(job, "gatherer", "left", {"n": number}, timeout=0)
        assert job.status == "running"
        job.close()
        assert job.wait()

    assert in_flight_at_each_completion(job) == [0]


@given(sides, policies, choices)
def test_letters_given_back_reopen_and_complete_once_per_epoch(
    sides: list[bool], policy: str, choices: list[int]
) -> None:
    dispatcher = SteppedDispatcher()
    with Runtime(dispatcher=dispatcher) as runtime:
        job = runtime.exec(build(sides, policy, 1), "source")
        assert job.wait()
        for letter in job.dead_letters:
            job.requeue_dead_letter(letter.id)
            for choice in choices:
                if dispatcher.choices():
                    dispatcher.step(choice % len(dispatcher.choices()))
        assert job.wait()

    ends = [
        record.epoch for record in job.view.history if isinstance(record, JobMoved) and record.status == "completed"
    ]
    assert job.status == "completed"
    assert len(set(ends)) == len(ends)
