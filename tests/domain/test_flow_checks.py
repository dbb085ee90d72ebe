"""What validate finds."""

from collections.abc import Callable
from typing import Any

import pytest

from flowforge.activation_policies import immediate_policy
from flowforge.flow_checks import find_mistakes
from flowforge.flow_graph import FlowGraph
from flowforge.routine import Routine
from flowforge.slot import MergeStrategy


def routine_with(handler: Callable[..., object] | None = None, merge_strategy: MergeStrategy = "override") -> Routine:
    routine = Routine()
    routine.define_slot("input", handler, merge_strategy)
    routine.define_event("output", ["result", "size"])
    return routine


def mistakes_between(
    target: Routine, mapping: dict[str, str] | None = None, declared: tuple[str, ...] = ("result", "size")
) -> list[str]:
    source = Routine()
    source.define_slot("input", lambda: None)
    source.define_event("output", declared)
    flow = FlowGraph()
    flow.add_routine(source, "a")
    flow.add_routine(target, "b")
    flow.connect("a.output", "b.input", param_mapping=mapping or {})
    return find_mistakes(flow.routines, flow.connections)


def test_an_empty_flow_is_a_mistake() -> None:
    assert find_mistakes({}, []) == ["It has no routines. Call add_routine first."]


def test_a_slot_with_neither_handler_nor_logic_is_a_mistake() -> None:
    assert find_mistakes({"a": routine_with()}, []) == [
        ("The slot 'a.input' has no handler and its routine no logic. Give the slot a handler, or call set_logic.")
    ]


def test_a_logic_serves_slots_without_handler() -> None:
    routine = routine_with()
    routine.set_logic(lambda slot_data, policy_message, job_state: None)
    routine.set_activation_policy(immediate_policy())

    assert find_mistakes({"a": routine}, []) == []


def test_a_policy_without_logic_is_a_mistake() -> None:
    routine = routine_with(lambda data: data)
    routine.set_activation_policy(immediate_policy())

    assert find_mistakes({"a": routine}, []) == [
        "The routine 'a' has an activation policy but no logic. Call set_logic, or drop the policy."
    ]


def test_a_routine_that_nothing_can_start_is_a_mistake() -> None:
    assert find_mistakes({"a": Routine()}, []) == [
        (
            "The routine 'a' has no slot, so nothing can ever start it. "
            "Define a slot, or give its class a __call__ method."
        )
    ]


def test_a_callable_routine_has_a_slot_of_its_own() -> None:
    class Source(Routine):
        def __call__(self) -> None: ...

    assert find_mistakes({"a": Source()}, []) == []


def test_parameters_that_an_event_cannot_meet_are_a_mistake() -> None:
    assert mistakes_between(routine_with(lambda result, limit, scale: None)) == [
        (
            "The connection 'a.output -> b.input' brings 'result', 'size', "
            "but the handler of its slot also requires 'limit', 'scale'. Emit and declare what is lacking, "
            "rename a key with param_mapping, or give the parameter a default."
        )
    ]


def test_parameters_may_be_met_by_renaming() -> None:
    assert mistakes_between(routine_with(lambda result, limit: None), {"size": "limit"}) == []


def test_parameters_may_be_lost_by_renaming() -> None:
    (mistake,) = mistakes_between(routine_with(lambda result, size: None), {"size": "limit"})

    assert "brings 'result', 'limit', but the handler of its slot also requires 'size'" in mistake


def test_renaming_what_is_not_declared_is_a_mistake() -> None:
    assert mistakes_between(routine_with(lambda data: None), {"sise": "data"}) == [
        (
            "The connection 'a.output -> b.input' renames 'sise', but its event declares only 'result', 'size'. "
            "Correct the param_mapping or the output_params."
        )
    ]


@pytest.mark.parametrize(
    "handler", [lambda anything: None, lambda **rest: None, lambda: None, lambda result, limit=1: None]
)
def test_handlers_that_can_be_called_are_no_mistake(handler: Callable[..., object]) -> None:
    assert mistakes_between(routine_with(handler)) == []


def test_an_event_that_declares_nothing_promises_anything() -> None:
    assert mistakes_between(routine_with(lambda x, y: None), {"p": "q"}, declared=()) == []


def test_a_merge_function_may_supply_what_an_event_lacks() -> None:
    def merge(old: dict[str, Any] | None, new: dict[str, Any]) -> dict[str, Any]:
        return {**new, "limit": 1}

    assert mistakes_between(routine_with(lambda result, limit: None, merge)) == []


def test_a_logic_takes_whatever_comes() -> None:
    routine = routine_with(lambda x, y: None)
    routine.set_logic(lambda slot_data, policy_message, job_state: None)

    assert mistakes_between(routine) == []


def test_every_mistake_is_listed_routines_first() -> None:
    target = routine_with(lambda result, limit: None)
    target.define_slot("second")

    assert ["slot 'b.second'" in mistake for mistake in mistakes_between(target)] == [True, False]
