"""Faults that were found in state, shared data, and in what a template or a flow is changed to."""

import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from actors.testing.stepped_dispatcher import SteppedDispatcher
from flowforge.activation_policies import batch_size_policy, custom_policy
from flowforge.error_handler import ErrorHandler
from flowforge.errors import FlowForgeError
from flowforge.flow import Flow
from flowforge.job_state import JobState
from flowforge.routine import Routine
from flowforge.runtime import Runtime

Chain = Callable[..., Flow]
Graph = Callable[..., Flow]
Run = Callable[..., JobState]


class Gathering(Routine):
    """Logic that emits the number of payloads it got; its policy is given later."""

    def __init__(self) -> None:
        super().__init__()
        self.define_slot("input")
        self.define_event("out")
        self.set_logic(self.gather)

    def gather(self, slot_data: dict[str, list[Any]], _message: object, _job: object) -> None:
        self.emit("out", n=len(slot_data["input"]))


def three(self: Routine) -> None:
    for n in range(3):
        self.emit("out", n=n)


def fail(self: Routine) -> None:
    raise ValueError("no")


def test_a_change_in_place_after_update_with_is_committed(run: Run, chain: Chain) -> None:
    def change(self: Routine) -> None:
        shared = self.job_state.shared_data
        shared.update_with("values", lambda values: [*(values or []), 1])
        shared["values"].append(2)

    assert dict(run(chain(change)).shared_data) == {"values": [1, 2]}


@pytest.mark.parametrize("error", [SystemExit, KeyboardInterrupt, GeneratorExit])
def test_an_update_with_that_exits_at_commit_fails_its_step(run: Run, chain: Chain, error: type[BaseException]) -> None:
    def change(value: int | None) -> int:
        calls.append(1)
        if len(calls) == 2:
            raise error(value)
        return 1

    calls: list[int] = []
    flow = chain(lambda self: self.job_state.shared_data.update_with("n", change))
    flow.routines["a"].set_as_optional()
    job = run(flow)

    assert (job.status, dict(job.shared_data)) == ("completed", {})
    assert [letter.error and letter.error.type for letter in job.dead_letters] == [error.__name__]


def test_a_generator_whose_commit_exits_is_retried_at_its_cursor(run: Run, chain: Chain) -> None:
    def change(value: int | None) -> int:
        calls.append(1)
        if len(calls) == 2:
            raise SystemExit(1)
        return 1

    def count(self: Routine) -> Iterator[None]:
        for n in range(self.state.get("next", 0), 4):
            self.state["next"] = n + 1
            self.emit("out", n=n)
            if n == 1:
                self.job_state.shared_data.update_with("n", change)
            yield

    calls: list[int] = []
    flow = chain(count)
    retry = ErrorHandler("retry", retry_delay=0.0, retryable_exceptions=(BaseException,))
    flow.routines["a"].set_error_handler(retry)
    job = run(flow)

    assert (job.status, [output["n"] for output in job.outputs["a.out"]]) == ("completed", [0, 1, 2, 3])


def test_state_written_in_on_start_is_refused(stepped: Runtime, graph: Graph) -> None:
    class Eager(Gathering):
        def on_start(self) -> None:
            self.state["n"] = 1

    job = stepped.exec(graph({"a": Eager()}))
    job.wait()

    assert job.error is not None
    assert (job.status, job.error.type) == ("failed", "OutsideStepError")
    assert "The state" in job.error.text


def test_state_written_by_a_thread_of_a_handler_is_refused(run: Run, chain: Chain) -> None:
    def write(self: Routine) -> None:
        with pytest.raises(FlowForgeError, match=r"The state of the routine 'a' was used outside a step"):
            self.increment_stat("n")
        refused.append(1)

    def start_thread(self: Routine) -> None:
        thread = threading.Thread(target=write, args=(self,))
        thread.start()
        thread.join(30)

    refused: list[int] = []
    job = run(chain(start_thread))

    assert (job.status, refused, job.get_routine_state("a")) == ("completed", [1], {})


def test_state_written_on_a_template_is_the_initial_state_of_later_jobs(run: Run, chain: Chain) -> None:
    flow = chain(lambda self: self.emit("out", n=self.state["n"]))
    flow.routines["a"].state["n"] = 5

    assert run(flow).outputs == {"a.out": [{"n": 5}]}


def test_stats_of_a_template_need_nobody_to_hold_the_job(chain: Chain) -> None:
    flow = chain(lambda self: self.increment_stat("calls"))
    flow.execute("a", {})

    assert flow.routines["a"].stats() == {"calls": 1}


def test_replicas_that_did_not_work_do_not_change_what_the_state_looks_like(stepped: Runtime, graph: Graph) -> None:
    def keep(self: Routine) -> None:
        self.state["last"] = "one"

    flow = graph({"a": keep})
    flow.routines["a"].set_concurrency(3)
    job = stepped.exec(flow)
    job.wait()

    assert job.get_routine_state("a") == {"last": ["one"]}


def flow_with_an_unknown_policy_slot(graph: Graph) -> Flow:
    routine = Gathering()
    routine.set_activation_policy(batch_size_policy(2, slot="nope"))
    return graph({"a": routine})


def test_a_policy_that_names_an_unknown_slot_is_refused_at_once(stepped: Runtime, graph: Graph) -> None:
    flow = flow_with_an_unknown_policy_slot(graph)

    with pytest.raises(FlowForgeError, match=r"needs a slot 'nope', which its routine does not have"):
        stepped.exec(flow)


def test_validate_names_a_policys_unknown_slot_among_the_mistakes(graph: Graph) -> None:
    with pytest.raises(FlowForgeError, match=r"'nope'"):
        flow_with_an_unknown_policy_slot(graph).validate()


@pytest.mark.parametrize("replicas", [1, 3])
def test_a_policy_that_raises_is_an_error_of_its_routine(stepped: Runtime, graph: Graph, replicas: int) -> None:
    def decide(_waiting: object) -> None:
        raise ValueError("undecided")

    routine = Gathering()
    routine.set_activation_policy(custom_policy(decide))
    routine.set_as_optional()
    routine.set_concurrency(replicas)
    job = stepped.exec(graph({"s": three, "a": routine}, "s.out -> a.input"), "s", {})
    job.wait()

    (letter,) = job.dead_letters
    assert letter.error is not None
    assert (job.status, job.routine_status("a")["errors"]) == ("completed", 1)
    assert (letter.error.text, len(letter.messages)) == ("undecided", 3)


def test_a_job_that_timed_out_has_its_whole_time_again_when_resumed(
    stepped: Runtime, dispatcher: SteppedDispatcher, chain: Chain
) -> None:
    def wait_for_an_hour(self: Routine) -> None:
        raise ValueError(self)

    flow = chain(wait_for_an_hour, timeout=3.0)
    flow.routines["a"].set_error_handler(ErrorHandler("retry", retry_delay=50.0))
    job = stepped.exec(flow)
    job.wait()
    first = (job.status, dispatcher.clock.monotonic())
    stepped.resume_job(job)
    job.wait()

    assert (first, job.status, dispatcher.clock.monotonic()) == (("failed", 3.0), "failed", 6.0)


@pytest.mark.parametrize("way", ["resume_job", "exec", "file"])
def test_the_timeout_given_to_exec_counts_for_the_resume_too(
    stepped: Runtime, dispatcher: SteppedDispatcher, chain: Chain, way: str
) -> None:
    flow = chain(lambda self: None)
    job = stepped.exec(flow, keep_alive=True, timeout=3.0)
    job.wait(1.0)
    job.pause()
    if way == "resume_job":
        stepped.resume_job(job)
    else:
        job = stepped.exec(flow, job_state=JobState.deserialize(job.serialize()) if way == "file" else job)
    job.wait()

    assert (job.status, dispatcher.clock.monotonic()) == ("failed", 3.0)


def test_a_policy_set_after_construction_is_not_silently_left_out_of_a_file() -> None:
    routine = Gathering()
    routine.set_activation_policy(batch_size_policy(3))
    flow = Flow("flow")
    flow.add_routine(routine, "a")

    with pytest.raises(FlowForgeError, match=r"activation policy"):
        flow.serialize()


def test_the_letter_of_a_generator_without_a_cursor_is_not_tried_again(stepped: Runtime, chain: Chain) -> None:
    def forgetful(self: Routine) -> Iterator[None]:
        for n in range(3):
            self.emit("out", n=n)
            yield
        raise ValueError(self)

    flow = chain(forgetful)
    flow.routines["a"].set_as_optional()
    job = stepped.exec(flow)
    job.wait()

    with pytest.raises(FlowForgeError, match=r"cursor"):
        job.requeue_dead_letter(job.dead_letters[0].id)
    job.wait()
    assert (len(job.outputs["a.out"]), len(job.dead_letters)) == (3, 1)


def test_a_flows_error_handler_set_after_a_run_counts_for_the_next(run: Run, chain: Chain) -> None:
    flow = chain(fail)
    first = run(flow)
    flow.error_handler = ErrorHandler("skip")

    assert (first.status, run(flow).status) == ("failed", "completed")


def test_isolation_set_after_a_run_counts_for_the_next(run: Run, chain: Chain) -> None:
    def send(self: Routine) -> None:
        self.emit("out", values=sent)

    sent: list[int] = []
    received: list[list[int]] = []
    flow = chain(send, lambda self, values: received.append(values))
    run(flow)
    flow.isolate = True
    run(flow)

    assert [values is sent for values in received] == [True, False]


CHANGES: dict[str, Callable[[Routine], object]] = {
    "define_slot": lambda routine: routine.define_slot("late"),
    "define_event": lambda routine: routine.define_event("late"),
    "set_config": lambda routine: routine.set_config(late=1),
    "set_timeout": lambda routine: routine.set_timeout(3.0),
    "set_concurrency": lambda routine: routine.set_concurrency(3),
    "set_logic": lambda routine: routine.set_logic(lambda data, message, job: None),
    "set_error_handler": lambda routine: routine.set_error_handler(ErrorHandler("skip")),
    "set_activation_policy": lambda routine: routine.set_activation_policy(batch_size_policy(3)),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_routine_is_not_redefined_inside_a_step(run: Run, chain: Chain, change: str) -> None:
    job = run(chain(CHANGES[change]))

    assert job.error is not None
    assert (job.status, job.error.type) == ("failed", "DefinedInStepError")
    assert change in job.error.text


def test_an_attribute_is_not_deleted_inside_a_step(run: Run, chain: Chain) -> None:
    def forget(self: Routine) -> None:
        delattr(self, "client")

    flow = chain(forget)
    flow.routines["a"].__dict__["client"] = "client"
    job = run(flow)

    assert job.error is not None
    assert (job.status, job.error.type) == ("failed", "AttributeSetInStepError")
