"""Building a flow: routines, connections, options."""

import re
from typing import Any

import pytest

from flowforge.connection import Connection
from flowforge.error_handler import ErrorHandler, ErrorStrategy
from flowforge.flow_graph import FlowGraph
from flowforge.graph_errors import (
    ConnectionTakenError,
    FlowValidationError,
    IllegalEndError,
    IllegalNameError,
    NotARoutineError,
    ParamMappingError,
    RoutineHasIdError,
    RoutineIdTakenError,
    UnknownConnectionError,
    UnknownEventError,
    UnknownNameError,
    UnknownRoutineError,
    UnknownSlotError,
)
from flowforge.option_errors import OptionError
from flowforge.routine import Routine
from flowforge.step_context import CURRENT_STEP, StepContext


class Worker(Routine):
    def __init__(self) -> None:
        super().__init__()
        self.define_slot("input", handler=self.work)
        self.define_slot("control", handler=self.work)
        self.define_event("output", ["result"])
        self.define_event("failed")

    def work(self, data: object) -> None: ...


def flow_of(*routine_ids: str) -> FlowGraph:
    flow = FlowGraph("demo")
    for routine_id in routine_ids:
        flow.add_routine(Worker(), routine_id)
    return flow


def test_a_flow_makes_up_an_id_of_its_own() -> None:
    assert re.fullmatch(r"flow-[0-9a-f]{8}", FlowGraph().flow_id)
    assert FlowGraph().flow_id != FlowGraph().flow_id


def test_a_flow_keeps_the_options_it_is_given() -> None:
    handler = ErrorHandler()
    flow = FlowGraph("demo", handler, 2.5, isolate=True)

    assert (flow.flow_id, flow.error_handler, flow.timeout, flow.isolate) == ("demo", handler, 2.5, True)
    assert repr(flow) == "<FlowGraph 'demo': 0 routines, 0 connections>"


@pytest.mark.parametrize("timeout", [0, -1, True, "soon", float("nan"), float("inf")])
def test_a_flow_timeout_is_a_positive_number(timeout: Any) -> None:
    with pytest.raises(OptionError, match=r"flow 'demo' cannot take timeout=.*Give a positive number of seconds"):
        FlowGraph("demo", timeout=timeout)


def test_a_flow_error_handler_is_an_error_handler() -> None:
    with pytest.raises(OptionError, match=r"cannot take error_handler='retry'\. Give an ErrorHandler"):
        FlowGraph("demo", error_handler="retry")  # type: ignore[arg-type]  # wrong on purpose
    with pytest.raises(OptionError, match="cannot take error_handler=3"):
        FlowGraph("demo").set_error_handler(3)  # type: ignore[arg-type]  # wrong on purpose


def test_a_flow_id_holds_no_dot() -> None:
    with pytest.raises(IllegalNameError, match=r"The flow id 'a\.b' holds a dot"):
        FlowGraph("a.b")


def test_a_routine_gets_the_id_it_is_added_by() -> None:
    flow, worker = FlowGraph(), Worker()

    assert flow.add_routine(worker, "first") == "first"
    assert worker.routine_id == "first"
    assert flow.routines == {"first": worker}
    assert repr(worker.slots["input"]) == "<Slot first.input>"
    assert repr(worker.events["output"]) == "<Event first.output>"


def test_a_routine_without_id_is_named_by_its_class() -> None:
    flow = FlowGraph()

    assert [flow.add_routine(Worker()) for _ in range(3)] == ["worker", "worker_2", "worker_3"]


def test_a_made_up_id_avoids_those_in_use() -> None:
    flow = flow_of("worker", "worker_2")

    assert flow.add_routine(Worker()) == "worker_3"


def test_a_routine_keeps_its_id_in_another_flow() -> None:
    worker = flow_of("first").routines["first"]

    assert FlowGraph().add_routine(worker) == "first"


def test_an_id_is_given_once() -> None:
    with pytest.raises(RoutineIdTakenError, match=r"'demo' already has a routine 'a'\. Give another id, or call rem"):
        flow_of("a").add_routine(Worker(), "a")


def test_a_routine_is_added_once() -> None:
    flow = flow_of("a")

    with pytest.raises(RoutineHasIdError, match=r"'a' is already part of a flow and cannot be 'b'.*another instance"):
        flow.add_routine(flow.routines["a"], "b")
    assert flow.add_routine(flow.routines["a"]) == "a"


@pytest.mark.parametrize("routine_id", ["", "a.b", 3])
def test_a_routine_id_is_a_text_without_dot(routine_id: Any) -> None:
    flow, worker = FlowGraph(), Worker()

    with pytest.raises(IllegalNameError, match="The routine id"):
        flow.add_routine(worker, routine_id)
    assert (flow.routines, worker.routine_id) == ({}, None)


def test_only_routines_can_be_added() -> None:
    with pytest.raises(NotARoutineError, match=r"<class .*Worker'> is not a routine\. Give an instance"):
        FlowGraph().add_routine(Worker)  # type: ignore[arg-type]  # wrong on purpose
    with pytest.raises(NotARoutineError, match=r"'worker' is not a routine\. Derive its class from Routine"):
        FlowGraph().add_routine("worker")  # type: ignore[arg-type]  # wrong on purpose


def test_events_and_slots_connect_many_to_many() -> None:
    flow = flow_of("a", "b", "c")

    made = [
        flow.connect("a", "output", "b", "input"),
        flow.connect("a", "output", "c", "input"),
        flow.connect("b", "output", "c", "input"),
    ]

    assert flow.connections == made
    assert flow.successors("a") == ["b", "c"]
    assert flow.predecessors("c") == ["a", "b"]


def test_connect_takes_keywords_and_a_mapping() -> None:
    connection = flow_of("routine1", "routine2").connect(
        source_routine_id="routine1",
        source_event="output",
        target_routine_id="routine2",
        target_slot="input",
        param_mapping={"result": "data"},
    )

    assert connection == Connection("routine1", "output", "routine2", "input", {"result": "data"})


def test_connect_takes_two_texts() -> None:
    connection = flow_of("a", "b").connect("a.output", "b.input", param_mapping={"result": "data"})

    assert connection == Connection("a", "output", "b", "input", {"result": "data"})


def test_neighbours_are_named_once_each() -> None:
    flow = flow_of("a", "b")
    flow.connect("a.output", "b.input")
    flow.connect("a.failed", "b.control")

    assert (flow.successors("a"), flow.predecessors("b")) == (["b"], ["a"])
    with pytest.raises(UnknownRoutineError, match="no routine 'c'"):
        flow.successors("c")


@pytest.mark.parametrize(
    ("ends", "error", "message"),
    [
        (
            ("aa.output", "bravo.input"),
            UnknownRoutineError,
            r"flow 'demo' has no routine 'aa'\. Did you mean 'a'",
        ),
        (("a.output", "x.input"), UnknownRoutineError, r"no routine 'x'\. It has: 'a', 'bravo'\."),
        (
            ("a.outputs", "bravo.input"),
            UnknownEventError,
            r"routine 'a' has no event 'outputs'\. Did you mean 'outp",
        ),
        (("a.zzz", "bravo.input"), UnknownEventError, r"no event 'zzz'\. It has: 'output', 'failed'\."),
        (
            ("a.output", "bravo.inputs"),
            UnknownSlotError,
            r"routine 'bravo' has no slot 'inputs'\. Did you mean 'inpu",
        ),
    ],
)
def test_connect_says_what_is_unknown_and_what_exists(
    ends: tuple[str, str], error: type[UnknownNameError], message: str
) -> None:
    flow = flow_of("a", "bravo")

    with pytest.raises(error, match=message):
        flow.connect(*ends)
    assert flow.connections == []


def test_an_error_about_a_large_flow_stays_short() -> None:
    flow = flow_of(*(f"w{number}" for number in range(30)))

    with pytest.raises(UnknownRoutineError, match=r"'w19' and 10 more\.$"):
        flow.connect("zzz.output", "w1.input")


def test_a_connection_is_made_once() -> None:
    flow = flow_of("a", "b")
    flow.connect("a.output", "b.input")

    with pytest.raises(ConnectionTakenError, match=r"'demo' already has the connection 'a.output -> b.input'\. Leave"):
        flow.connect("a", "output", "b", "input", {"result": "data"})


def test_connect_refuses_half_an_address_and_unclear_mappings() -> None:
    flow = flow_of("a", "b")

    with pytest.raises(IllegalEndError, match="do not name an event and a slot"):
        flow.connect("a", "output", "b")  # type: ignore[call-overload]  # wrong on purpose
    with pytest.raises(ParamMappingError, match="gives two keys the same name"):
        flow.connect("a.output", "b.input", param_mapping={"x": "z", "y": "z"})


def test_disconnect_takes_the_arguments_of_connect() -> None:
    flow = flow_of("a", "b")
    first = flow.connect("a.output", "b.input", param_mapping={"result": "data"})
    second = flow.connect("a", "failed", "b", "control")

    assert flow.disconnect("a", "output", "b", "input") == first
    assert flow.disconnect("a.failed", "b.control") == second
    assert flow.connections == []


def test_disconnect_names_the_connections_there_are() -> None:
    flow = flow_of("a", "b")
    flow.connect("a.output", "b.input")

    with pytest.raises(UnknownConnectionError, match=r"no connection 'b.output -> a.input'\..*'a.output -> b.input'"):
        flow.disconnect("b.output", "a.input")


def test_removing_a_routine_removes_its_connections() -> None:
    flow = flow_of("a", "b", "c")
    kept = flow.connect("a.output", "c.input")
    flow.connect("a.output", "b.input")
    flow.connect("b.output", "c.input")

    removed = flow.remove_routine("b")

    assert list(flow.routines) == ["a", "c"]
    assert flow.connections == [kept]
    assert flow.add_routine(removed, "d") == "d"


def test_only_a_routine_of_the_flow_can_be_removed() -> None:
    with pytest.raises(UnknownRoutineError, match=r"has no routine 'b'\. It has: 'a'\."):
        flow_of("a").remove_routine("b")


def test_every_change_raises_the_revision() -> None:
    flow = FlowGraph()
    revisions = [flow.revision]
    for change in (
        lambda: flow.add_routine(Worker(), "a"),
        lambda: flow.connect("a.output", "a.input"),
        lambda: flow.set_error_handler(ErrorHandler(ErrorStrategy.SKIP)),
        lambda: flow.disconnect("a.output", "a.input"),
        lambda: flow.remove_routine("a"),
    ):
        change()
        revisions.append(flow.revision)

    assert revisions == [0, 1, 2, 3, 4, 5]


def test_a_refused_change_leaves_the_revision() -> None:
    flow = flow_of("a")

    with pytest.raises(UnknownEventError, match="no event 'x'"):
        flow.connect("a.x", "a.input")
    assert flow.revision == 1


def test_an_error_handler_can_be_set_and_taken_back() -> None:
    flow, handler = FlowGraph(), ErrorHandler(ErrorStrategy.SKIP)

    flow.set_error_handler(handler)
    assert flow.error_handler is handler

    flow.set_error_handler(None)
    assert flow.error_handler is None


def test_the_list_of_connections_is_its_readers_own() -> None:
    flow = flow_of("a")
    flow.connect("a.output", "a.input")
    flow.connections.clear()

    assert len(flow.connections) == 1


def test_validate_raises_with_every_mistake_at_once() -> None:
    flow = flow_of("a", "b")
    flow.routines["a"].define_slot("first")
    flow.routines["b"].define_slot("second")

    with pytest.raises(FlowValidationError, match=r"flow 'demo' has 2 mistakes\.\n- .*a.first.*\n- .*b.second") as err:
        flow.validate()
    assert len(err.value.mistakes) == 2


def test_validate_accepts_a_flow_that_can_work() -> None:
    flow = flow_of("a", "b")
    flow.connect("a.output", "b.input")

    flow.validate()


def test_validate_refuses_an_empty_flow() -> None:
    with pytest.raises(FlowValidationError, match=r"has one mistake\.\n- It has no routines\. Call add_routine first"):
        FlowGraph().validate()


def test_a_flow_draws_itself_in_the_order_it_was_built() -> None:
    flow = flow_of("b", 'a "quoted" <#1>')
    flow.connect("b", "output", 'a "quoted" <#1>', "input", {"result": "data"})
    flow.connect("b.failed", "b.control")

    assert flow.to_mermaid().splitlines() == [
        "flowchart LR",
        '    r0["b"]',
        '    r1["a #quot;quoted#quot; #lt;#35;1#gt;"]',
        '    r0 -->|"output → input (result → data)"| r1',
        '    r0 -->|"failed → control"| r0',
    ]


def test_a_handler_may_build_a_flow_inside_a_step() -> None:
    class OpenStep:
        is_open = True

    token = CURRENT_STEP.set(cast_step(OpenStep()))
    try:
        assert flow_of("a").routines["a"].routine_id == "a"
    finally:
        CURRENT_STEP.reset(token)


def cast_step(step: Any) -> StepContext:
    return step  # type: ignore[no-any-return]  # stands in for the engine's step
