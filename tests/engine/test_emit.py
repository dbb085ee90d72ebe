"""`emit` resolves to the current step, and to nothing else."""

import contextvars
import threading
from collections.abc import Callable
from typing import Any

import pytest

from flowforge.flow import Flow
from flowforge.job_state import JobState
from flowforge.routine import Routine
from flowforge.routine_errors import ForeignStepError, OutsideStepError

Graph = Callable[..., Flow]
Run = Callable[..., JobState]


def pass_on(self: Routine, **payload: Any) -> None:
    self.emit("out", **payload)


def error_of(job: JobState) -> str:
    assert job.error is not None
    return f"{job.error.type}: {job.error.text}"


def test_one_event_reaches_every_slot_it_is_connected_to(run: Run, graph: Graph) -> None:
    edges = ["a.out -> b.input", "a.out -> c.input"]

    job = run(graph(dict.fromkeys("abc", pass_on), *edges), n=1)

    assert job.outputs == {"b.out": [{"n": 1}], "c.out": [{"n": 1}]}


def test_one_slot_hears_every_event_connected_to_it(run: Run, graph: Graph) -> None:
    edges = ["a.out -> c.input", "b.out -> c.input"]

    job = run(graph(dict.fromkeys("abc", pass_on), *edges), n=1)

    assert job.outputs == {"c.out": [{"n": 1}, {"n": 1}]}


def test_param_mapping_renames_and_the_rest_passes(run: Run, graph: Graph) -> None:
    flow = graph(dict.fromkeys("ab", pass_on))
    flow.connect("a", "out", "b", "input", param_mapping={"n": "count"})

    job = run(flow, n=1, other=2)

    assert job.outputs == {"b.out": [{"count": 1, "other": 2}]}


def test_an_unmapped_key_whose_name_is_taken_gives_way(run: Run, graph: Graph) -> None:
    flow = graph(dict.fromkeys("ab", pass_on))
    flow.connect("a", "out", "b", "input", param_mapping={"n": "count"})

    job = run(flow, n=1, count=2)

    assert job.outputs == {"b.out": [{"count": 1}]}


def test_each_connection_of_an_event_has_its_own_mapping(run: Run, graph: Graph) -> None:
    flow = graph(dict.fromkeys("abc", pass_on))
    flow.connect("a", "out", "b", "input", param_mapping={"n": "x"})
    flow.connect("a", "out", "c", "input", param_mapping={"n": "y"})

    job = run(flow, n=1)

    assert job.outputs == {"b.out": [{"x": 1}], "c.out": [{"y": 1}]}


def test_a_missing_parameter_names_slot_parameters_and_keys(run: Run, graph: Graph) -> None:
    def needs(self: Routine, x: int, y: int) -> None: ...

    job = run(graph({"a": pass_on, "b": needs}, "a.out -> b.input"), x=1, z=2)

    assert "'b.input' has the parameters 'x', 'y'" in error_of(job)
    assert "with the keys 'x', 'z' lacks 'y'" in error_of(job)


def test_an_undeclared_event_fails_the_step_naming_the_declared(run: Run, graph: Graph) -> None:
    def wrong(self: Routine) -> None:
        self.emit("ouput")

    job = run(graph({"a": wrong}))

    assert "UnknownEventError: The routine 'a' has no event 'ouput'. Did you mean 'out'? It has: 'out'." in error_of(
        job
    )


def test_emit_outside_a_step_is_an_error_that_says_so(node: type[Routine]) -> None:
    routine = node(pass_on)  # type: ignore[call-arg]  # its subclass takes a handler

    with pytest.raises(OutsideStepError, match=r"The event 'out' of the routine 'Node' was used outside a step\."):
        routine.emit("out")


def test_emit_from_a_thread_is_outside_of_the_step(run: Run, graph: Graph) -> None:
    errors: list[BaseException] = []

    def hand_out(self: Routine) -> None:
        def work() -> None:
            try:
                self.emit("out")
            except OutsideStepError as error:
                errors.append(error)

        thread = threading.Thread(target=work)
        thread.start()
        thread.join()

    job = run(graph({"a": hand_out}))

    assert job.outputs == {}
    assert "hand its result back to the handler" in str(errors[0])


def test_emit_after_the_step_ended_is_an_error_in_a_copied_context(run: Run, graph: Graph) -> None:
    left: list[tuple[contextvars.Context, Routine]] = []

    def leave(self: Routine) -> None:
        left.append((contextvars.copy_context(), self))

    run(graph({"a": leave}))
    context, routine = left[0]

    with pytest.raises(OutsideStepError, match=r"The event 'out' of the routine 'a' was used outside a step"):
        context.run(routine.emit, "out")


def test_a_helper_thread_with_the_steps_context_may_emit(run: Run, graph: Graph) -> None:
    def hand_out(self: Routine) -> None:
        context = contextvars.copy_context()
        thread = threading.Thread(target=lambda: context.run(self.emit, "out", n=1))
        thread.start()
        thread.join()

    job = run(graph({"a": hand_out}))

    assert job.outputs == {"a.out": [{"n": 1}]}


def test_emit_of_another_routine_is_an_error_naming_both(run: Run, graph: Graph) -> None:
    flow = graph({"a": pass_on, "b": pass_on})

    def meddle(self: Routine) -> None:
        flow.routines["b"].emit("out")

    flow.add_routine(type(flow.routines["a"])(meddle), "c")  # type: ignore[call-arg]  # a Node
    flow.routines["c"].set_as_optional()
    job = run(flow)

    (letter,) = job.dead_letters
    assert letter.error is not None
    assert letter.error.type == ForeignStepError.__name__
    assert "The event 'out' of the routine 'b' was emitted inside a step of 'c'." in letter.error.text


def test_a_closure_over_the_template_emits_for_the_current_job(run: Run) -> None:
    template = Routine()
    template.define_slot("trigger", handler=lambda n: template.emit("out", n=n + template.increment_stat("calls")))
    template.define_event("out")
    flow = Flow("flow")
    flow.add_routine(template, "a")

    jobs = [run(flow, n=n) for n in (10, 20)]

    assert [job.outputs["a.out"] for job in jobs] == [[{"n": 11}], [{"n": 21}]]


def test_a_handler_bound_to_the_template_is_bound_to_the_instance(run: Run) -> None:
    class Named(Routine):
        def work(self, n: int) -> None:
            self.emit("out", is_template=self is template, n=n)

    template = Named()
    template.define_slot("input", handler=template.work)
    template.define_event("out")
    flow = Flow("flow")
    flow.add_routine(template, "a")

    assert run(flow, n=1).outputs["a.out"] == [{"is_template": False, "n": 1}]


def test_a_payload_keeps_what_the_state_was_when_emitted(run: Run, graph: Graph) -> None:
    def gather(self: Routine) -> None:
        items = self.state.setdefault("items", [])
        for n in range(2):
            items.append(n)
            self.emit("out", items=items)

    job = run(graph({"a": gather}))

    assert job.outputs["a.out"] == [{"items": [0]}, {"items": [0, 1]}]


def test_an_isolated_flow_copies_payloads_in_depth(run: Run, graph: Graph) -> None:
    def start(self: Routine) -> None:
        self.emit("out", items=[1])

    def change(self: Routine, items: list[int]) -> None:
        items.append(2)
        self.emit("out", items=items)

    edges = ["a.out -> b.input", "a.out -> c.input"]
    job = run(graph({"a": start, "b": change, "c": change}, *edges, isolate=True))

    assert job.outputs == {"b.out": [{"items": [1, 2]}], "c.out": [{"items": [1, 2]}]}


def test_send_output_reaches_the_log_with_its_routine_and_type(run: Run, graph: Graph) -> None:
    def report(self: Routine) -> None:
        self.send_output("progress", done=3)

    (entry,) = run(graph({"a": report})).output_log

    assert (entry["routine_id"], entry["output_type"], entry["data"]) == ("a", "progress", {"done": 3})
