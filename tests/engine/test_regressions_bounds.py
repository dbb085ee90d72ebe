"""Faults that were found where full slots, waiting posts, drains and replicas meet."""

import random
import threading
from collections.abc import Callable, Iterator
from types import MethodType
from typing import Any

import pytest

from actors.testing.stepped_dispatcher import SteppedDispatcher
from flowforge._engine import control
from flowforge._engine.orders import Drain
from flowforge.activation_policies import (
    ActivationPolicy,
    all_slots_ready_policy,
    batch_size_policy,
    time_interval_policy,
)
from flowforge.error_handler import ErrorHandler
from flowforge.flow import Flow
from flowforge.job_errors import FlowChangedError
from flowforge.job_state import JobState
from flowforge.job_status import JobStatus
from flowforge.routine import Routine
from flowforge.runtime import Runtime
from tests.handlers import refuse

Graph = Callable[..., Flow]


class Bounded(Routine):
    """A slot that holds so many messages, in front of a handler."""

    def __init__(self, handler: Callable[..., Any], limit: int) -> None:
        super().__init__()
        self.define_slot("input", handler=MethodType(handler, self), max_queue_length=limit)
        self.define_event("out")


class Gathering(Routine):
    """Logic behind a policy, over the slots with their limits; emits how much it got of each."""

    def __init__(self, policy: ActivationPolicy, **limits: int) -> None:
        super().__init__()
        for slot, limit in limits.items():
            self.define_slot(slot, max_queue_length=limit, watermark=1.0)
        self.define_event("out")
        self.set_activation_policy(policy)
        self.set_logic(lambda data, _message, _job: self.emit("out", **{slot: len(got) for slot, got in data.items()}))


def numbers(self: Routine, n: int) -> Iterator[None]:
    for number in range(self.state.get("next", 0), n):
        self.state["next"] = number + 1
        self.emit("out", n=number)
        yield


def full_job(runtime: Runtime, graph: Graph, routine: Routine, limit: int) -> JobState:
    job = runtime.exec(graph({"a": routine}), keep_alive=True)
    for number in range(limit):
        runtime.post(job, "a", "input", {"n": number})
    return job


def test_a_batch_that_frees_many_places_wakes_all_who_wait(stepped: Runtime, graph: Graph) -> None:
    job = full_job(stepped, graph, Gathering(batch_size_policy(4), input=4), 4)
    assert job.live is not None
    waiters = [control.try_post(job.live, "a", "input", {"n": 9}, None) for _ in range(3)]

    job.wait(1.0)

    assert [waiter is not None and waiter.is_set() for waiter in waiters] == [True, True, True]


def test_a_waiter_that_gives_up_takes_no_place_from_another(stepped: Runtime, graph: Graph) -> None:
    job = full_job(stepped, graph, Bounded(lambda self, n: None, 1), 1)
    assert job.live is not None
    impatient = control.try_post(job.live, "a", "input", {"n": 1}, None)
    patient = control.try_post(job.live, "a", "input", {"n": 2}, None)
    assert impatient is not None
    assert patient is not None

    job.wait(1.0)
    control.forget_waiter(job.live, impatient)

    assert patient.is_set()


def test_posts_of_many_threads_into_one_place_all_arrive(graph: Graph) -> None:
    def post_all() -> None:
        for number in range(50):
            runtime.post(job, "a", "input", {"n": number}, timeout=30.0)

    arrived: list[int] = []
    with Runtime(4) as runtime:
        job = runtime.exec(graph({"a": Bounded(lambda self, n: arrived.append(n), 1)}), keep_alive=True)
        threads = [threading.Thread(target=post_all) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        job.close()
        assert job.wait(30)

    assert sorted(arrived) == sorted([*range(50)] * 4)


def is_ordered_to_drain(job: JobState) -> bool:
    assert job.live is not None
    return any(isinstance(order, Drain) for worker in job.live.everyone() for order in worker.mailbox.control)


@pytest.mark.parametrize("replicas", [1, 2])
def test_a_partner_that_comes_between_the_order_to_drain_and_the_drain_is_joined(
    stepped: Runtime, dispatcher: SteppedDispatcher, graph: Graph, replicas: int
) -> None:
    join = Gathering(all_slots_ready_policy(), x=10, y=10)
    join.set_concurrency(replicas)
    flow = graph({"s": lambda self: self.emit("out", n=1), "j": join}, "s.out -> j.x")
    job = stepped.exec(flow, "s", {})
    while not is_ordered_to_drain(job):
        assert dispatcher.step()

    stepped.post(job, "j", "y", {"n": 2})
    job.wait()

    assert (job.status, job.outputs, job.dead_letters) == ("completed", {"j.out": [{"x": 1, "y": 1}]}, [])


def test_a_bound_that_stops_the_flow_is_raised_while_a_timer_waits(stepped: Runtime, graph: Graph) -> None:
    def split(self: Routine) -> Iterator[None]:
        for n in range(6):
            self.state["n"] = n
            self.emit("x" if n < 3 else "y", n=n)
            yield

    def fail(self: Routine) -> None:
        raise ValueError(self)

    source = Bounded(split, 10)
    source.define_event("x")
    source.define_event("y")
    failing = Bounded(fail, 10)
    failing.set_error_handler(ErrorHandler("retry", retry_delay=3600, max_retries=1, on_exhausted="skip"))
    routines = {"s": source, "j": Gathering(all_slots_ready_policy(), x=2, y=100), "f": failing}
    job = stepped.exec(graph(routines, "s.x -> j.x", "s.y -> j.y"))

    job.wait(1.0)

    assert len(job.outputs.get("j.out", [])) == 3


def test_no_bound_is_raised_while_its_owner_waits_for_time_to_pass(stepped: Runtime, graph: Graph) -> None:
    interval = Gathering(time_interval_policy(1.0), input=10)
    job = stepped.exec(graph({"s": numbers, "t": interval}, "s.out -> t.input"), "s", {"n": 200})
    live = job.live
    job.wait()

    assert live is not None
    assert (job.status, live.raised_bounds) == ("completed", 0)
    assert max(output["input"] for output in job.outputs["t.out"]) == 10


def test_no_bound_is_raised_while_a_routine_downstream_waits_for_its_retry(stepped: Runtime, graph: Graph) -> None:
    failures = [ValueError("once")]

    def fail_once(self: Routine, n: int) -> None:
        if failures:
            raise failures.pop()

    last = Bounded(fail_once, 10)
    last.set_error_handler(ErrorHandler("retry", retry_delay=60, max_retries=1))
    middle = Bounded(lambda self, n: self.emit("out", n=n), 10)
    flow = graph({"s": numbers, "b": middle, "c": last}, "s.out -> b.input", "b.out -> c.input")
    job = stepped.exec(flow, "s", {"n": 200})
    live = job.live
    job.wait()

    assert live is not None
    assert (job.status, live.raised_bounds) == ("completed", 0)


@pytest.mark.parametrize("ordered", [True, False])
@pytest.mark.parametrize("replicas", [2, 3, 4])
def test_a_join_is_not_drained_while_a_replica_holds_its_partner(graph: Graph, replicas: int, *, ordered: bool) -> None:
    def split(self: Routine, n: int) -> None:
        self.emit("x" if n < 2 else "y", n=n)

    def four(self: Routine) -> None:
        for n in range(4):
            self.emit("out", n=n)

    for seed in range(40):
        splitting = Bounded(split, 10)
        splitting.define_event("x")
        splitting.define_event("y")
        splitting.set_concurrency(replicas, ordered=ordered)
        routines = {"s": four, "a": splitting, "j": Gathering(all_slots_ready_policy(), x=2, y=100)}
        job = run_by_chance(graph(routines, "s.out -> a.input", "a.x -> j.x", "a.y -> j.y"), seed)

        assert (job.status, len(job.outputs["j.out"]), job.dead_letters) == ("completed", 2, []), seed


def run_by_chance(flow: Flow, seed: int) -> JobState:
    chance, dispatcher = random.Random(seed), SteppedDispatcher()
    with Runtime(dispatcher=dispatcher) as runtime:
        job = runtime.exec(flow, "s", {})
        while choices := dispatcher.choices():
            dispatcher.step(chance.randrange(len(choices)))
    return job


@pytest.mark.parametrize("kept", ["routine", "slot"])
def test_a_letter_for_what_the_flow_no_longer_has_stays_a_letter(stepped: Runtime, graph: Graph, kept: str) -> None:
    failing = Bounded(refuse, 10)
    failing.set_as_optional()
    job = stepped.exec(graph({"a": lambda self, n: None, "b": failing}), keep_alive=True)
    stepped.post(job, "b", "input", {"n": 1})
    job.wait(1.0)
    job.pause()
    changed: dict[str, Any] = {"a": lambda self, n: None}
    if kept == "routine":
        changed["b"] = Gathering(all_slots_ready_policy(), other=10)
    stepped.exec(graph(changed), job_state=job)

    with pytest.raises(FlowChangedError, match=r"is gone.*, and the dead letter '.*' comes from there"):
        job.requeue_dead_letter(job.dead_letters[0].id)
    job.close()

    assert len(job.dead_letters) == 1
    assert job.wait(100.0)
    assert job.status is JobStatus.COMPLETED


def test_a_routine_that_feeds_two_full_slots_is_freed_by_raising_both(stepped: Runtime, graph: Graph) -> None:
    def count_down(self: Routine, n: int) -> None:
        self.emit("out", n=n)
        if n:
            self.emit("again", n=n - 1)

    source = Bounded(count_down, 1000)
    source.define_event("again")
    flow = graph(
        {"a": source, "b": Gathering(batch_size_policy(3), left=1, right=1)},
        "a.out -> b.left",
        "a.out -> b.right",
        "a.again -> a.input",
    )
    job = stepped.exec(flow, "a", {"n": 1})

    assert job.wait(10.0)
    assert job.status is JobStatus.COMPLETED
