"""Values that are changed after they were emitted or committed are reported, with who emitted them and when."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from flowforge.flow import Flow
from flowforge.routine import Routine
from flowforge.testing.schedule import Schedule
from flowforge.testing.simulation import simulate
from flowforge.testing.simulation_errors import PayloadChangedError

Graph = Callable[..., Flow]
KEPT: dict[str, list[Any]] = {}


def emit_list(self: Routine) -> None:
    values = [1]
    KEPT["values"] = values
    self.emit("out", x=values)


def change(self: Routine, x: list[Any]) -> None:
    x.append(2)


def read(self: Routine, x: list[Any]) -> None:
    self.emit("out", x=list(x))


def change_kept(self: Routine) -> None:
    KEPT["values"].append(3)


def test_a_receiver_that_changes_its_payload_is_reported(chain: Graph) -> None:
    text = (
        r"^The value 'x' of a payload of a\.out, committed by a step of 'a' \(record \d+\), was changed during a step "
        r"of 'b'\. Emit a copy, or change a copy: others may have been given the same object\.\n"
        r"First in, first out\..*\nReplay it with schedule=Schedule\(\)\.$"
    )
    with pytest.raises(PayloadChangedError, match=text) as caught:
        simulate(chain(emit_list, change))

    assert caught.value.changed == "during a step of 'b'"
    assert caught.value.emitted.startswith("by a step of 'a' (record ")


def test_an_input_that_is_changed_is_reported(chain: Graph) -> None:
    with pytest.raises(
        PayloadChangedError, match=r"an input of a\.input, committed from outside \(record 2\), was changed"
    ):
        simulate(chain(change), {"x": [1]})


def test_an_emitter_that_changes_it_later_is_reported(graph: Graph) -> None:
    flow = graph({"a": emit_list, "b": read, "c": change_kept}, "a.out -> b.input")

    with pytest.raises(PayloadChangedError, match=r"a payload of a\.out, .*, was changed during a step of 'c'"):
        simulate(flow, [("a", None, {}), ("c", None, {})], schedule=Schedule(hold=["b"]))


def test_an_output_that_is_changed_later_is_reported(graph: Graph) -> None:
    with pytest.raises(PayloadChangedError, match=r"a payload of a\.out, .*, was changed during a step of 'c'"):
        simulate(graph({"a": emit_list, "c": change_kept}), [("a", None, {}), ("c", None, {})])


def test_a_change_after_the_emit_in_the_same_step_is_reported(chain: Graph) -> None:
    def emit_and_change(self: Routine) -> None:
        values = [1]
        self.emit("out", x=values)
        values.append(2)

    with pytest.raises(
        PayloadChangedError, match=r"The value 'x' of a payload of a\.out, .*, was changed in that step, after its emit"
    ):
        simulate(chain(emit_and_change, read))


def test_a_generator_that_changes_what_it_has_yielded_is_reported(chain: Graph) -> None:
    def emit_and_go_on(self: Routine) -> Iterator[None]:
        values = [1]
        self.emit("out", x=values)
        self.state["at"] = 1
        yield
        values.append(2)

    with pytest.raises(PayloadChangedError, match=r"a payload of a\.out, .*, was changed during a step of 'a'"):
        simulate(chain(emit_and_go_on, read), schedule=Schedule(hold=["b"]))


def test_one_receiver_that_changes_it_for_another_is_reported(graph: Graph) -> None:
    flow = graph({"a": emit_list, "b": change, "c": read}, "a.out -> b.input", "a.out -> c.input")

    for schedule in (Schedule(), Schedule(hold=["b"]), Schedule(hold=["c"])):
        with pytest.raises(PayloadChangedError, match="during a step of 'b'"):
            simulate(flow, schedule=schedule)


def test_a_change_of_a_value_that_is_deep_inside_is_reported(chain: Graph) -> None:
    def emit_deep(self: Routine) -> None:
        self.emit("out", x=[{"deep": [1]}])

    def change_deep(self: Routine, x: list[dict[str, list[int]]]) -> None:
        x[0]["deep"].append(2)

    with pytest.raises(PayloadChangedError, match="The value 'x'"):
        simulate(chain(emit_deep, change_deep))


def test_what_a_copy_would_make_right_is_no_breach(chain: Graph) -> None:
    def change_a_copy(self: Routine, x: list[int]) -> None:
        self.emit("out", x=[*x, 2])

    assert simulate(chain(emit_list, change_a_copy)).outputs == {"b.out": [{"x": [1, 2]}]}


def test_an_emitted_part_of_the_state_is_a_copy(chain: Graph) -> None:
    def gather(self: Routine, n: int) -> None:
        self.state.setdefault("seen", []).append(n)
        self.emit("out", x=self.state["seen"])

    run = simulate(chain(gather, read), [{"n": 1}, {"n": 2}])

    assert run.outputs == {"b.out": [{"x": [1]}, {"x": [1, 2]}]}


def test_a_durable_run_isolates_so_there_is_nothing_to_report(chain: Graph) -> None:
    run = simulate(chain(emit_list, change), is_durable=True)

    assert run.is_completed


def test_values_that_are_no_data_are_passed_over(chain: Graph) -> None:
    def emit_object(self: Routine) -> None:
        self.emit("out", x=object())

    def take(self: Routine, x: object) -> None:
        self.increment_stat("seen")

    assert simulate(chain(emit_object, take)).is_completed
