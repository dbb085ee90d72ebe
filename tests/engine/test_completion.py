"""Completion is a fact: written once, in the commit that leaves nothing in flight, never earlier."""

import asyncio
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from actors.testing.stepped_dispatcher import SteppedDispatcher
from flowforge.flow import Flow
from flowforge.graph_errors import FlowValidationError
from flowforge.job_errors import EntryError
from flowforge.job_state import JobState
from flowforge.records import JobMoved, StepCommitted
from flowforge.routine import Routine
from flowforge.runtime import Runtime
from tests.handlers import pass_on

Chain = Callable[..., Flow]
Graph = Callable[..., Flow]
Run = Callable[..., JobState]
Turn = Callable[..., None]


def fan_out(self: Routine, n: int = 1) -> None:
    for number in range(n + 1):
        self.emit("out", n=number)


def completions(job: JobState) -> int:
    return sum(isinstance(record, JobMoved) and record.status == "completed" for record in job.view.history)


def test_a_job_is_completed_when_its_last_message_is_consumed(run: Run, chain: Chain) -> None:
    job = run(chain(pass_on, pass_on, pass_on), n=1)

    assert (job.status, job.outputs) == ("completed", {"c.out": [{"n": 1}]})


def test_the_completion_is_written_in_the_last_commit(run: Run, chain: Chain) -> None:
    job = run(chain(fan_out, pass_on), n=3)

    last, before_last = job.view.history[-1], job.view.history[-2]
    assert isinstance(last, JobMoved)
    assert isinstance(before_last, StepCommitted)
    assert (last.status, last.position) == ("completed", before_last.position + 1)


def test_a_job_is_not_completed_while_a_step_runs(stepped: Runtime, chain: Chain, turn: Turn) -> None:
    job = stepped.exec(chain(pass_on, pass_on))

    statuses = [job.status]
    for name in "aabb":
        turn(name)
        statuses.append(job.status)

    assert statuses == ["running"] * 4 + ["completed"]


def test_a_job_is_not_completed_while_a_source_is_open(stepped: Runtime, chain: Chain, turn: Turn) -> None:
    def source(self: Routine) -> Iterator[None]:
        yield

    job = stepped.exec(chain(source))
    turn("a", "a")
    between = job.status
    turn("a", "a")

    assert (between, job.status) == ("running", "completed")


def test_a_job_is_not_completed_while_a_retry_waits(
    stepped: Runtime, dispatcher: SteppedDispatcher, chain: Chain
) -> None:
    def fail(self: Routine) -> None:
        raise LookupError

    flow = chain(fail)
    flow.routines["a"].set_as_critical()
    job = stepped.exec(flow)
    while dispatcher.step():
        pass

    assert job.status == "running"


@pytest.mark.parametrize("choice", [0, -1], ids=["first ready", "last ready"])
def test_completion_is_written_once_whatever_the_order(
    stepped: Runtime, dispatcher: SteppedDispatcher, graph: Graph, choice: int
) -> None:
    edges = ["a.out -> b.input", "a.out -> c.input", "b.out -> d.input", "c.out -> d.input"]
    job = stepped.exec(graph({"a": fan_out, "b": fan_out, "c": fan_out, "d": pass_on}, *edges), "a", {"n": 1})

    while dispatcher.choices():
        dispatcher.step(choice)

    assert (job.status, completions(job)) == ("completed", 1)
    assert len(job.outputs["d.out"]) == 2 * (2 + 1)


def test_completion_on_threads_is_written_once(run: Run, graph: Graph) -> None:
    edges = ["a.out -> b.input", "a.out -> c.input", "b.out -> d.input", "c.out -> d.input"]

    jobs = [run(graph({"a": fan_out, "b": pass_on, "c": pass_on, "d": pass_on}, *edges), n=20) for _ in range(20)]

    assert [completions(job) for job in jobs] == [1] * 20
    assert [len(job.outputs["d.out"]) for job in jobs] == [42] * 20


def test_a_cycle_runs_until_nobody_emits(run: Run, graph: Graph) -> None:
    def count_down(self: Routine, n: int) -> None:
        self.increment_stat("calls")
        if n:
            self.emit("out", n=n - 1)

    flow = graph({"a": pass_on, "b": count_down, "c": pass_on}, "a.out -> b.input", "b.out -> c.input")
    flow.connect("c.out", "b.input")
    job = run(flow, n=50)

    assert job.status == "completed"
    assert job.get_routine_state("b") == {"calls": 51}


def test_a_routine_connected_to_itself_runs_to_its_end(runtime: Runtime, graph: Graph) -> None:
    def count_down(self: Routine, n: int) -> None:
        if n:
            self.emit("out", n=n - 1)

    job = runtime.exec(graph({"a": count_down}, "a.out -> a.input"), "a", {"n": 1000})

    assert job.wait(30)
    assert job.routine_status("a")["calls"] == 1001


def test_every_routine_without_an_incoming_connection_is_entered(run: Run, graph: Graph) -> None:
    job = run(graph({"a": pass_on, "b": pass_on, "c": pass_on}, "a.out -> c.input"), n=1)

    assert job.outputs == {"b.out": [{"n": 1}], "c.out": [{"n": 1}]}


def test_an_explicit_entry_enters_one_routine_only(runtime: Runtime, graph: Graph) -> None:
    job = runtime.exec(graph({"a": pass_on, "b": pass_on}), "b", {"n": 1})
    job.wait()

    assert job.outputs == {"b.out": [{"n": 1}]}


def test_a_flow_that_is_all_cycle_must_be_told_its_entry(runtime: Runtime, graph: Graph) -> None:
    flow = graph({"a": pass_on, "b": pass_on}, "a.out -> b.input", "b.out -> a.input")

    with pytest.raises(EntryError, match=r"Give an entry_routine_id, .* 'flow'\. Give one of \['a', 'b'\]\."):
        runtime.exec(flow)


class TwoSlots(Routine):
    def __init__(self, *slots: str) -> None:
        super().__init__()
        self.define_event("out")
        for slot in slots:
            self.define_slot(slot, handler=self.handler_of(slot))

    def handler_of(self, slot: str) -> Callable[..., None]:
        return lambda **payload: self.emit("out", slot=slot, **payload)


def entered(runtime: Runtime, routine: Routine, entry_slot: str | None = None) -> Any:
    flow = Flow("flow")
    flow.add_routine(routine, "a")
    job = runtime.exec(flow, "a", {}, entry_slot)
    job.wait()
    return job.outputs["a.out"][0]["slot"]


def test_the_explicit_entry_slot_goes_first(runtime: Runtime) -> None:
    assert entered(runtime, TwoSlots("trigger", "other"), "other") == "other"


def test_without_entry_slot_the_trigger_is_entered(runtime: Runtime) -> None:
    assert entered(runtime, TwoSlots("other", "trigger")) == "trigger"


def test_without_trigger_the_only_slot_is_entered(runtime: Runtime) -> None:
    assert entered(runtime, TwoSlots("other")) == "other"


def test_a_call_method_is_the_handler_of_an_implicit_trigger(runtime: Runtime) -> None:
    class Called(TwoSlots):
        def __call__(self) -> None:
            self.emit("out", slot="call")

    assert entered(runtime, Called()) == "call"


def test_an_unclear_entry_slot_is_an_error_that_lists_the_choices(runtime: Runtime) -> None:
    with pytest.raises(EntryError, match=r"enter the routine 'a'\. Give one of \['left', 'right'\]"):
        entered(runtime, TwoSlots("left", "right"))


def test_a_flow_without_routines_is_refused_at_once(runtime: Runtime) -> None:
    with pytest.raises(FlowValidationError, match=r"It has no routines. Call add_routine first"):
        runtime.exec(Flow("empty"))


def test_execute_returns_when_the_job_rests(chain: Chain) -> None:
    job = chain(pass_on, pass_on).execute("a", {"n": 1})

    assert (job.status, job.outputs) == ("completed", {"b.out": [{"n": 1}]})


def test_execute_returns_when_the_job_is_paused(chain: Chain) -> None:
    flow = chain(pass_on, pass_on)
    flow.routines["a"].set_logic(pause_and_emit(flow))

    job = flow.execute("a", {"n": 1})

    assert (job.status, job.pause_reason) == ("paused", "enough")


def pause_and_emit(flow: Flow) -> Callable[..., None]:
    def logic(slot_data: Any, message: Any, job_state: Any) -> None:
        flow.pause("enough")
        flow.routines["a"].emit("out", n=1)

    return logic


def test_a_wait_that_times_out_cancels_nothing(stepped: Runtime, dispatcher: SteppedDispatcher, chain: Chain) -> None:
    flow = chain(lambda self: 1 / self.state.pop("zero", 1), pass_on)
    job = stepped.exec(flow, entry_params={}, keep_alive=True)

    waited = job.wait(5.0)
    job.close()

    assert (waited, dispatcher.clock.monotonic()) == (False, 5.0)
    assert job.wait()
    assert job.status == "completed"


def test_the_outputs_are_what_unconnected_events_emitted(run: Run, graph: Graph) -> None:
    flow = graph({"a": pass_on, "b": pass_on, "c": fan_out}, "a.out -> b.input")

    assert run(flow, n=2).outputs == {"b.out": [{"n": 2}], "c.out": [{"n": 0}, {"n": 1}, {"n": 2}]}


def test_many_jobs_of_one_flow_all_complete_with_their_own_output(runtime: Runtime, chain: Chain) -> None:
    flow = chain(pass_on, pass_on)
    jobs = [runtime.exec(flow, entry_params={"n": n}) for n in range(100)]

    assert runtime.wait_until_all_jobs_finished(30)
    assert [job.outputs["b.out"] for job in jobs] == [[{"n": n}] for n in range(100)]


def test_wait_async_holds_no_thread_and_tells_of_the_rest(chain: Chain) -> None:
    async def wait(job: JobState) -> list[bool]:
        early = await job.wait_async(0.01)
        job.close()
        return [early, await job.wait_async(30), await job.wait_async()]

    with Runtime(1) as runtime:
        job = runtime.exec(chain(pass_on), entry_params={"n": 1}, keep_alive=True)

        assert asyncio.run(wait(job)) == [False, True, True]
