"""What a handler may not do to a routine: no rollback would put it back."""

from collections.abc import Callable
from typing import Any

import pytest

from flowforge.error_handler import ErrorHandler
from flowforge.flow import Flow
from flowforge.job_state import JobState
from flowforge.routine import Routine
from flowforge.routine_errors import (
    AttributeSetInStepError,
    DefinedInStepError,
    ForeignStateError,
    ForeignStepError,
    OutsideStepError,
    RoutineOptionError,
)
from flowforge.runtime import Runtime

Graph = Callable[..., Flow]
Run = Callable[..., JobState]


def test_an_attribute_cannot_be_assigned_in_a_step(graph: Graph, run: Run) -> None:
    def handler(self: Any) -> None:
        with pytest.raises(
            AttributeSetInStepError,
            match=r"^The attribute 'n' of the routine 'a' was assigned inside a step\. Keep what counts in self\.state"
            r"\['n'\], or name it in a class-level transient = \{'n'\} if it may be lost",
        ):
            self.n = 1

    assert run(graph({"a": handler})).status == "completed"


def test_an_attribute_cannot_be_deleted_in_a_step(graph: Graph, run: Run) -> None:
    def handler(self: Any) -> None:
        with pytest.raises(AttributeSetInStepError, match=r"^The attribute 'logic' of the routine 'a' was assigned"):
            del self.logic

    assert run(graph({"a": handler})).status == "completed"


def test_transient_attributes_may_be_set_and_deleted(graph: Graph, run: Run, node: type[Routine]) -> None:
    class Open(node):  # type: ignore[misc,valid-type]  # a fixture's class
        transient = ("client",)

    def handler(self: Any) -> None:
        self.client = 3
        self.send_output("client", value=self.client)
        del self.client

    job = run(graph({"a": Open(handler)}))

    assert [output["data"] for output in job.output_log] == [{"value": 3}]


@pytest.mark.parametrize(
    ("what", "call"),
    [
        ("define_slot", lambda self: self.define_slot("late")),
        ("define_event", lambda self: self.define_event("late")),
        ("set_config", lambda self: self.set_config(unit="m")),
        ("set_logic", lambda self: self.set_logic(lambda a, b, c: None)),
        ("set_activation_policy", lambda self: self.set_activation_policy(None)),
        ("set_error_handler", lambda self: self.set_error_handler(ErrorHandler("skip"))),
        ("set_timeout", lambda self: self.set_timeout(1.0)),
        ("set_concurrency", lambda self: self.set_concurrency(2)),
    ],
)
def test_a_routine_cannot_be_redefined_in_a_step(graph: Graph, run: Run, what: str, call: Callable[..., Any]) -> None:
    def handler(self: Any) -> None:
        with pytest.raises(
            DefinedInStepError, match=f"^{what} of the routine 'a' was called inside a step. Call it in"
        ):
            call(self)

    assert run(graph({"a": handler})).status == "completed"


def test_the_event_of_another_routine_cannot_be_emitted(graph: Graph, run: Run, node: type[Routine]) -> None:
    other = node(lambda self: None)  # type: ignore[call-arg]  # a fixture's class

    def handler(self: Any) -> None:
        with pytest.raises(
            ForeignStepError,
            match=r"^The event 'out' of the routine 'b' was emitted inside a step of 'a'\. Emit an event of 'a' and",
        ):
            other.emit("out", n=1)

    assert run(graph({"a": handler, "b": other})).status == "completed"


def test_the_state_of_another_routine_cannot_be_changed(graph: Graph, run: Run) -> None:
    def handler(self: Any) -> None:
        with pytest.raises(
            ForeignStateError,
            match=r"^The state of the routine 'b' was changed inside a step of 'a'\. Use shared_data for what",
        ):
            self.job_state.update_routine_state("b", {"n": 1})

    assert run(graph({"a": handler})).status == "completed"


def test_state_cannot_be_changed_from_outside_of_the_steps(graph: Graph, run: Run) -> None:
    job = run(graph({"a": lambda self: None}))

    with pytest.raises(OutsideStepError, match=r"^The state of the routine 'a' was used outside a step\. Change it in"):
        job.update_routine_state("a", {"n": 1})


def test_state_cannot_be_used_in_on_start(graph: Graph, run: Run, node: type[Routine]) -> None:
    seen: list[str] = []

    class Early(node):  # type: ignore[misc,valid-type]  # a fixture's class
        def on_start(self) -> None:
            with pytest.raises(OutsideStepError, match=r"^The state of the routine 'a' was used outside a step") as got:
                self.state["n"] = 1
            seen.append(str(got.value))

    assert run(graph({"a": Early(lambda self: None)})).status == "completed"
    assert seen[0].endswith("Change it in a handler; give it its first values in the constructor.")


def test_a_wrong_option_says_the_routines_id_in_a_flow(runtime: Runtime) -> None:
    routine = Routine()
    Flow("flow").add_routine(routine, "named")

    with pytest.raises(RoutineOptionError, match=r"^The timeout of the routine 'named' cannot be -1"):
        routine.set_timeout(-1)
