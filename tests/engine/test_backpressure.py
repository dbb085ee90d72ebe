"""An actor whose downstream slot is over its watermark gets no turns; nothing blocks, nothing deadlocks."""

import logging
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from actors.testing.stepped_dispatcher import SteppedDispatcher
from flowforge.activation_policies import all_slots_ready_policy
from flowforge.flow import Flow
from flowforge.job_state import JobState
from flowforge.routine import Routine
from flowforge.runtime import Runtime

Run = Callable[..., JobState]
Ready = Callable[[], list[str]]


class Gauge:
    """Counts what has been sent and not yet worked on."""

    def __init__(self) -> None:
        self.waiting = 0
        self.most = 0

    def put(self) -> None:
        self.waiting += 1
        self.most = max(self.most, self.waiting)


class Source(Routine):
    """Emits `count` numbers on each of its events in turn, all of the first event first, one per yield."""

    def __init__(self, count: int, gauge: Gauge | None = None, events: tuple[str, ...] = ("out",)) -> None:
        super().__init__()
        self.define_slot("trigger", handler=self.produce)
        for event in events:
            self.define_event(event)
        self.count = count
        self.gauge = gauge or Gauge()

    def produce(self) -> Iterator[None]:
        for event in list(self.events):
            for number in range(self.count):
                self.state["sent"] = self.state.get("sent", 0) + 1
                self.emit(event, n=number)
                self.gauge.put()
                yield


class Sink(Routine):
    """Works on numbers from a slot with a small bound."""

    def __init__(self, bound: int, gauge: Gauge | None = None) -> None:
        super().__init__()
        self.define_slot("input", handler=self.work, max_queue_length=bound)
        self.define_event("out")
        self.gauge = gauge or Gauge()

    def work(self, n: int) -> None:
        self.gauge.waiting -= 1
        self.emit("out", n=n)


def pipeline(count: int, bound: int, gauge: Gauge) -> Flow:
    flow = Flow("flow")
    flow.add_routine(Source(count, gauge), "a")
    flow.add_routine(Sink(bound, gauge), "b")
    flow.connect("a.out", "b.input")
    return flow


def test_a_source_gets_no_turns_while_its_receiver_is_over_the_watermark(
    stepped: Runtime, dispatcher: SteppedDispatcher, ready: Ready
) -> None:
    gauge = Gauge()
    stepped.exec(pipeline(100, 10, gauge))

    while "a" in ready():
        dispatcher.step(ready().index("a"))

    assert gauge.waiting == 8
    assert "b" in ready()


@pytest.mark.parametrize("prefer", ["a", "b"])
def test_the_bound_between_two_stages_is_respected(
    stepped: Runtime, dispatcher: SteppedDispatcher, ready: Ready, prefer: str
) -> None:
    gauge = Gauge()
    job = stepped.exec(pipeline(100, 10, gauge))

    while names := ready():
        dispatcher.step(names.index(prefer) if prefer in names else 0)

    assert gauge.most <= 10
    assert [payload["n"] for payload in job.outputs["b.out"]] == list(range(100))


def test_the_bound_is_respected_on_threads_too(run: Run) -> None:
    gauge = Gauge()

    job = run(pipeline(2000, 10, gauge))

    assert gauge.most <= 10
    assert len(job.outputs["b.out"]) == 2000


def test_a_held_source_goes_on_at_half_its_receivers_watermark(
    stepped: Runtime, dispatcher: SteppedDispatcher, ready: Ready
) -> None:
    gauge = Gauge()
    stepped.exec(pipeline(100, 10, gauge))
    while "a" in ready():
        dispatcher.step(ready().index("a"))

    while "a" not in ready():
        dispatcher.step(ready().index("b"))

    assert gauge.waiting <= 4


def test_backpressure_reaches_back_through_every_stage(
    stepped: Runtime, dispatcher: SteppedDispatcher, ready: Ready
) -> None:
    flow = Flow("flow")
    flow.add_routine(Source(1000), "a")
    for name in "bcd":
        flow.add_routine(Sink(10), name)
    for one, other in ("ab", "bc", "cd"):
        flow.connect(f"{one}.out", f"{other}.input")
    job = stepped.exec(flow)

    while names := [name for name in ready() if name != "d"]:
        dispatcher.step(ready().index(names[-1]))

    assert job.get_routine_state("a")["sent"] <= 3 * 10
    assert "d" in ready()


def test_a_slot_fed_from_a_step_in_one_burst_keeps_it_all(run: Run, graph: Callable[..., Flow]) -> None:
    def burst(self: Routine) -> None:
        for number in range(100):
            self.emit("out", n=number)

    job = run(graph({"a": burst, "b": Sink(5)}, "a.out -> b.input"))

    assert len(job.outputs["b.out"]) == 100


def test_an_async_source_is_held_back_like_any_other(stepped: Runtime, dispatcher: SteppedDispatcher) -> None:
    gauge = Gauge()

    class AsyncSource(Source):
        async def produce(self) -> Any:
            for number in range(self.count):
                self.state["sent"] = number
                self.emit("out", n=number)
                self.gauge.put()
                yield

    flow = Flow("flow")
    flow.add_routine(AsyncSource(50, gauge), "a")
    flow.add_routine(Sink(10, gauge), "b")
    flow.connect("a.out", "b.input")
    job = stepped.exec(flow)
    while dispatcher.choices():
        dispatcher.step(-1)

    assert job.status == "completed"
    assert gauge.most <= 10


class Cycling(Routine):
    """Passes a number on, one lower each time, until 0."""

    def __init__(self, bound: int) -> None:
        super().__init__()
        self.define_slot("entry", handler=self.work, max_queue_length=bound)
        self.define_slot("again", handler=self.work, max_queue_length=bound)
        self.define_event("out")
        self.define_event("done")

    def work(self, n: int) -> None:
        if n:
            self.emit("out", n=n - 1)
        else:
            self.emit("done")


def test_edges_inside_a_cycle_are_not_bounded_by_each_other(run: Run, graph: Callable[..., Flow]) -> None:
    def burst(self: Routine) -> None:
        for _ in range(50):
            self.emit("out", n=20)

    flow = graph({"a": burst, "b": Cycling(3), "c": Cycling(3)}, "a.out -> b.entry", "b.out -> c.entry")
    flow.connect("c.out", "b.again")
    job = run(flow)

    assert job.status == "completed"
    assert len(job.outputs.get("b.done", [])) + len(job.outputs.get("c.done", [])) == 50


def test_the_entry_into_a_cycle_is_bounded(
    stepped: Runtime, dispatcher: SteppedDispatcher, graph: Callable[..., Flow], ready: Ready
) -> None:
    gauge = Gauge()
    flow = graph({"a": Source(100, gauge), "b": Cycling(10)}, "a.out -> b.entry", "b.out -> b.again")
    job = stepped.exec(flow)

    while "a" in ready():
        dispatcher.step(ready().index("a"))
    held_at = gauge.waiting
    job.wait()

    assert held_at == 8
    assert len(job.outputs["b.done"]) == 100


def join_of(bound: int) -> Routine:
    join = Routine()
    join.define_slot("left", max_queue_length=bound)
    join.define_slot("right", max_queue_length=bound)
    join.define_event("out")
    join.set_logic(lambda data, message, job: join.emit("out", n=data["left"][0]["n"], m=data["right"][0]["n"]))
    join.set_activation_policy(all_slots_ready_policy())
    return join


def unbalanced(count: int, bound: int) -> Flow:
    """All that goes left is sent before anything goes right."""
    flow = Flow("flow")
    flow.add_routine(Source(count, events=("left", "right")), "a")
    flow.add_routine(join_of(bound), "j")
    flow.connect("a.left", "j.left")
    flow.connect("a.right", "j.right")
    return flow


def test_a_join_whose_bounds_are_too_small_does_not_deadlock(run: Run) -> None:
    job = run(unbalanced(50, 10))

    assert job.status == "completed"
    assert job.outputs["j.out"] == [{"n": n, "m": n} for n in range(50)]


def test_the_smallest_full_bound_is_raised_and_reported(run: Run, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, logger="flowforge"):
        run(unbalanced(10, 10))

    (record,) = caplog.records
    assert "could not go on with the bound of the slot 'j.left'; it is now 16 messages." in record.getMessage()


def test_of_two_full_bounds_the_smaller_one_is_raised(run: Run, caplog: pytest.LogCaptureFixture) -> None:
    flow = unbalanced(9, 10)
    flow.add_routine(join_of(20), "k")
    flow.add_routine(Source(20, events=("left", "right")), "b")
    flow.connect("b.left", "k.left")
    flow.connect("b.right", "k.right")

    with caplog.at_level(logging.WARNING, logger="flowforge"):
        run(flow)

    raised = [record.getMessage().partition("the slot ")[2].partition(";")[0] for record in caplog.records]
    assert raised[0] == "'j.left'"
    assert "'k.left'" in raised


def test_a_diamond_with_a_slow_join_completes(run: Run, graph: Callable[..., Flow]) -> None:
    def every_tenth(self: Routine, n: int) -> None:
        if n % 10 == 9:
            for number in range(n - 9, n + 1):
                self.emit("out", n=number)

    flow = graph(
        {"a": Source(100), "b": Sink(10), "c": every_tenth, "j": join_of(4)},
        "a.out -> b.input",
        "a.out -> c.input",
        "b.out -> j.left",
        "c.out -> j.right",
    )
    job = run(flow)

    assert job.outputs["j.out"] == [{"n": n, "m": n} for n in range(100)]


def test_no_bound_is_raised_while_something_can_run(
    stepped: Runtime, dispatcher: SteppedDispatcher, caplog: pytest.LogCaptureFixture
) -> None:
    job = stepped.exec(pipeline(200, 4, Gauge()))
    with caplog.at_level(logging.WARNING, logger="flowforge"):
        while dispatcher.choices():
            dispatcher.step(-1)

    assert (job.status, caplog.records) == ("completed", [])


def test_a_receiver_that_waits_for_a_retry_holds_its_source_back(
    stepped: Runtime, dispatcher: SteppedDispatcher
) -> None:
    gauge = Gauge()
    failures = [1]

    class Failing(Sink):
        def work(self, n: int) -> None:
            if failures:
                failures.pop()
                raise LookupError
            super().work(n)

    flow = Flow("flow")
    flow.add_routine(Source(100, gauge), "a")
    flow.add_routine(Failing(10, gauge), "b")
    flow.routines["b"].set_as_critical()
    flow.connect("a.out", "b.input")
    job = stepped.exec(flow)
    while dispatcher.step():
        pass

    assert gauge.waiting == 8
    assert job.wait()
    assert (len(job.outputs["b.out"]), gauge.most <= 10) == (100, True)
