"""Defining a routine: what it refuses at once, in sentences that name the value and the remedy."""

from typing import Any, get_type_hints

import pytest

from flowforge.activation_policies import immediate_policy
from flowforge.flow import Flow
from flowforge.graph_errors import UnknownNameError, UnknownSlotError
from flowforge.option_errors import OptionError
from flowforge.routine import Routine
from flowforge.routine_errors import (
    DuplicateNameError,
    OutsideStepError,
    RoutineOptionError,
    UninitialisedRoutineError,
)
from flowforge.slot import Slot


class Forgetful(Routine):
    def __init__(self) -> None:
        self.size = 3


def test_a_second_slot_of_one_name_is_refused() -> None:
    routine = Routine()
    routine.define_slot("input")

    with pytest.raises(
        DuplicateNameError, match=r"^The routine 'Routine' already has a slot 'input'\. Give the second"
    ):
        routine.define_slot("input")


def test_a_second_event_of_one_name_is_refused() -> None:
    routine = Routine()
    routine.define_event("out")

    with pytest.raises(
        DuplicateNameError, match=r"^The routine 'Routine' already has an event 'out'\. Give the second one another"
    ):
        routine.define_event("out")


def test_a_constructor_that_does_not_call_routines_is_refused() -> None:
    text = r"^The constructor of 'Forgetful' did not call Routine's\. Begin its __init__ with super\(\)"

    with pytest.raises(UninitialisedRoutineError, match=text):
        Forgetful()


@pytest.mark.parametrize("timeout", [0, -1, True, "5", float("inf"), float("nan")])
def test_a_timeout_that_is_no_time_is_refused(timeout: Any) -> None:
    with pytest.raises(RoutineOptionError, match=r"^The timeout of the routine 'Routine' cannot be .*\. Give seconds"):
        Routine().set_timeout(timeout)


@pytest.mark.parametrize("count", [0, -1, True, 1.5, "3"])
def test_a_concurrency_that_is_no_count_is_refused(count: Any) -> None:
    with pytest.raises(RoutineOptionError, match=r"concurrency .* cannot be .*\. Give a whole number of replicas, 1"):
        Routine().set_concurrency(count)


def test_a_logic_that_does_not_take_three_arguments_is_refused() -> None:
    logic: Any = lambda payload: None

    with pytest.raises(
        RoutineOptionError, match=r"logic .* Give a function \(slot_data, policy_message, job_state\)\."
    ):
        Routine().set_logic(logic)


def test_an_error_handler_that_is_none_is_refused() -> None:
    handler: Any = "skip"

    with pytest.raises(RoutineOptionError, match=r"^The error handler of .* cannot be 'skip'\. Give an ErrorHandler"):
        Routine().set_error_handler(handler)


def test_a_policy_factory_that_was_not_called_is_refused() -> None:
    with pytest.raises(OptionError, match=r"^set_activation_policy cannot take policy=<function immediate_policy"):
        Routine().set_activation_policy(immediate_policy)


@pytest.mark.parametrize("params", [["u", "u"], [3], "u", 7])
def test_output_params_that_are_no_names_are_refused(params: Any) -> None:
    with pytest.raises(OptionError, match=r"^The event 'out' cannot take output_params=.* Give a list of different"):
        Routine().define_event("out", params)


def test_an_unknown_slot_is_named_with_what_there_is() -> None:
    flow = Flow("flow")
    source, sink = Routine(), Routine()
    source.define_event("out")
    sink.define_slot("input")
    flow.add_routine(source, "a")
    flow.add_routine(sink, "b")

    with pytest.raises(UnknownSlotError, match=r"^The routine 'b' has no slot 'inptu'\. Did you mean 'input'\? It has"):
        flow.connect("a", "out", "b", "inptu")


def test_an_unknown_name_lists_no_more_than_twenty_others() -> None:
    with pytest.raises(UnknownNameError, match=r"^The flow 'f' has no name 'x'\. It has: 'n0', .*'n19' and 5 more\.$"):
        raise UnknownNameError("x", "f", [f"n{number}" for number in range(25)])


@pytest.mark.parametrize(
    ("use", "what"),
    [
        (lambda routine: routine.emit("out"), "The event 'out'"),
        (lambda routine: routine.send_output("done"), "The output 'done'"),
        (lambda routine: routine.job_state, "The job_state"),
        (lambda routine: routine.random, "The random"),
        (lambda routine: routine.idempotency_key(), "The idempotency_key"),
    ],
)
def test_what_belongs_to_a_step_is_refused_outside_of_one(use: Any, what: str) -> None:
    with pytest.raises(OutsideStepError, match=f"^{what} of the routine 'Routine' was used outside a step"):
        use(Routine())


def test_outside_a_step_nothing_is_cancelled_and_time_is_real() -> None:
    routine = Routine()

    assert not routine.cancelled
    assert routine.now() > 0


def test_the_initial_state_can_be_assigned_read_and_emptied() -> None:
    routine = Routine()
    routine.state = {"n": 1}

    assert (routine.stats(), routine.get_stat("n"), routine.increment_stat("n", 2)) == ({"n": 1}, 1, 3)

    routine.reset_stats()
    assert routine.stats() == {}


def test_the_types_of_a_routine_can_be_asked_for() -> None:
    assert get_type_hints(Routine)["slots"] == dict[str, Slot]
