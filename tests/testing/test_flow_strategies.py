"""What is drawn is valid and bounded, can be read and pasted, and leaves nothing out."""

from collections.abc import Callable
from datetime import date, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from hypothesis import HealthCheck, Phase, find, given, settings
from hypothesis import strategies as st

from flowforge.option_errors import OptionError, UnknownChoiceError
from flowforge.stores.codec import Codec
from flowforge.testing.flow_routines import ToldToFailError
from flowforge.testing.flow_shapes import FlowShape
from flowforge.testing.flow_strategies import MAX_CALLS, MAX_N, flows, payloads
from flowforge.testing.routine_shape import ALWAYS, ANSWERS, KINDS, MERGES, RoutineShape

Question = Callable[[FlowShape], bool]

# Time must not fail a test, and the same examples each time keep it from being flaky.
steady = settings(
    max_examples=100, deadline=None, derandomize=True, database=None, suppress_health_check=[HealthCheck.too_slow]
)
searching = settings(steady, max_examples=600)


def has(**wanted: Any) -> Question:
    """Whether a shape has a routine with all these values."""
    return lambda shape: any(
        all(getattr(routine, name) == value for name, value in wanted.items()) for routine in shape.routines
    )


def leads(*pairs: tuple[int, int]) -> Question:
    """Whether a shape has an edge for each of these pairs."""
    return lambda shape: set(pairs) <= {(source, target) for source, target, _ in shape.edges}


def answers(answer: str) -> Question:
    """Whether the flow itself answers like that."""
    return lambda shape: shape.on_error == answer


FEATURES: dict[str, Question] = {
    **{f"kind {kind}": has(kind=kind) for kind in KINDS},
    **{f"merge {merge}": has(merge=merge) for merge in MERGES},
    **{f"answer {answer}": has(on_error=answer) for answer in ANSWERS},
    **{f"flow's answer {answer}": answers(answer) for answer in ANSWERS},
    "fails always": has(fails_at=(1,), fails=ALWAYS),
    "fails twice": has(fails=2, on_error="retry", retry_delay=5.0),
    "ordered replicas": has(replicas=3, ordered=True),
    "unordered replicas": has(replicas=2, ordered=False),
    "small bound": has(bound=1),
    "chain": leads((0, 1), (1, 2), (2, 3)),
    "diamond": leads((0, 1), (0, 2), (1, 3), (2, 3)),
    "two into one slot": lambda shape: {(0, 2, "input"), (1, 2, "input")} <= set(shape.edges),
    "join of two": lambda shape: {(0, 2, "left"), (1, 2, "right")} <= set(shape.edges),
    "self loop": lambda shape: any(source == target for source, target, _ in shape.edges),
    "longer cycle": lambda shape: any(source > target for source, target, _ in shape.edges),
}
IN_CONFLUENT_FLOWS = sorted(
    FEATURES.keys() - {"kind recorder", "answer stop", "flow's answer stop", "flow's answer retry"}
)


def many_of(strategy: st.SearchStrategy[Any]) -> list[Any]:
    """What a search sees of a strategy."""
    drawn: list[Any] = []

    @settings(searching, phases=[Phase.generate])
    @given(strategy)
    def collect(value: Any) -> None:
        drawn.append(value)

    collect()
    return drawn


@pytest.fixture(scope="module")
def shapes() -> list[FlowShape]:
    return many_of(flows())


@pytest.fixture(scope="module")
def confluent_shapes() -> list[FlowShape]:
    return many_of(flows(confluent=True))


@pytest.fixture(scope="module")
def values() -> list[Any]:
    return [value for payload in many_of(payloads()) for value in payload.values()]


@pytest.mark.parametrize("feature", FEATURES)
def test_each_feature_can_be_drawn(feature: str, shapes: list[FlowShape]) -> None:
    assert any(map(FEATURES[feature], shapes))


@pytest.mark.parametrize("feature", IN_CONFLUENT_FLOWS)
def test_each_confluent_feature_can_be_drawn(feature: str, confluent_shapes: list[FlowShape]) -> None:
    assert any(map(FEATURES[feature], confluent_shapes))


@pytest.mark.parametrize("feature", sorted(FEATURES.keys() - set(IN_CONFLUENT_FLOWS)))
def test_what_is_up_to_the_schedule_is_not_confluent(feature: str, confluent_shapes: list[FlowShape]) -> None:
    assert not any(map(FEATURES[feature], confluent_shapes))


@steady
@given(flows(max_routines=20))
def test_every_drawn_flow_is_valid_and_bounded(shape: FlowShape) -> None:
    shape.build().validate()

    assert shape.most_calls(MAX_N) <= MAX_CALLS
    assert 1 <= len(shape.routines) <= 20


@steady
@given(flows())
def test_what_is_printed_of_a_shape_can_be_pasted(shape: FlowShape) -> None:
    assert eval(repr(shape), {"FlowShape": FlowShape, "RoutineShape": RoutineShape}) == shape


@steady
@given(
    flows(
        cycles=False,
        joins=False,
        policies=False,
        replicas=False,
        merging=False,
        generators=False,
        errors=False,
        bounds=False,
        coroutines=False,
    )
)
def test_flags_keep_out_what_they_name(shape: FlowShape) -> None:
    assert {routine.kind for routine in shape.routines} <= {"plain", "burst", "recorder"}
    assert all(routine == RoutineShape(routine.kind) for routine in shape.routines)
    assert all(source < target for source, target, _ in shape.edges)
    assert shape.on_error is None


@pytest.mark.parametrize("max_routines", [0, 21, 2.0, True])
def test_too_few_or_too_many_routines_are_refused(max_routines: Any) -> None:
    with pytest.raises(OptionError, match=r"^flows cannot take max_routines=.*\. Give a whole number from 1 to 20\.$"):
        flows(max_routines=max_routines)


@pytest.mark.parametrize("option", ["kind", "merge", "on_error"])
def test_a_shape_refuses_choices_that_there_are_not(option: str) -> None:
    options: dict[str, Any] = {option: "other"}

    with pytest.raises(UnknownChoiceError, match=rf"^RoutineShape cannot take {option}='other'\. Choose one of "):
        RoutineShape(**options)


def test_a_flow_shape_refuses_an_answer_that_there_is_not() -> None:
    with pytest.raises(
        UnknownChoiceError, match=r"^FlowShape cannot take on_error='other'\. Choose one of 'None', 'stop'"
    ):
        FlowShape(on_error="other")


def test_flows_shrink_to_one_plain_routine() -> None:
    assert find(flows(), lambda _: True, settings=searching) == FlowShape()


def test_flows_shrink_to_what_a_property_needs() -> None:
    shape = find(flows(), has(kind="join", fails_at=(2,)), settings=searching)

    join = RoutineShape("join", fails_at=(2,))
    assert shape == FlowShape((RoutineShape(), join), ((0, 1, "left"), (0, 1, "right")))


def test_a_shape_prints_only_what_is_unusual() -> None:
    shape = FlowShape((RoutineShape(), RoutineShape("burst", fails_at=(1,), replicas=2)), ((0, 1, "input"),))

    assert repr(shape) == (
        "FlowShape(routines=(RoutineShape('plain'), RoutineShape('burst', fails_at=(1,), replicas=2)), "
        "edges=((0, 1, 'input'),))"
    )


def test_calls_are_counted_with_numbers_that_shrink_around_a_cycle() -> None:
    shape = FlowShape((RoutineShape("burst"), RoutineShape()), ((0, 1, "input"), (1, 1, "input")))

    # 3, 2, 1 and 0 arrive, and each goes round until it is 0.
    assert shape.most_calls(3) == 1 + 4 + 3 + 2 + 1


def test_a_job_of_a_shape_does_what_the_shape_says() -> None:
    shape = FlowShape(
        (RoutineShape("burst"), RoutineShape("plain", fails_at=(1,), on_error="skip")), ((0, 1, "input"),)
    )

    job = shape.build().execute("r0", {"n": 2, "data": "x"})

    assert job.outputs["r1.out"] == [{"n": 2, "data": "x"}, {"n": 0, "data": "x"}]
    assert [letter.payload["n"] for letter in job.dead_letters] == [1]


def test_a_flaky_routine_fails_as_often_as_its_shape_says() -> None:
    flaky = RoutineShape("plain", fails_at=(1,), fails=2, on_error="retry")

    job = FlowShape((flaky,)).build().execute("r0", {"n": 1})

    assert job.status == "completed"
    assert job.routine_status("r0")["errors"] == 2


def test_the_error_of_a_drawn_flow_tells_its_number() -> None:
    job = FlowShape((RoutineShape("plain", fails_at=(3,)),)).build().execute("r0", {"n": 3})

    assert job.error is not None
    assert job.error.text == str(ToldToFailError(3)) == "The shape says that 3 fails."


@steady
@given(payloads())
def test_each_payload_comes_back_from_a_store(payload: dict[str, Any]) -> None:
    assert Codec().decode(Codec().encode(payload)) == payload


SORTS = (type(None), bool, int, float, str, bytes, list, dict, tuple, set, Decimal, UUID, date, datetime)


@pytest.mark.parametrize("kind", SORTS, ids=lambda kind: kind.__name__)
def test_each_sort_of_value_can_be_drawn(kind: type, values: list[Any]) -> None:
    assert kind in map(type, values)


def test_integers_beyond_64_bits_can_be_drawn(values: list[Any]) -> None:
    assert any(type(value) is int and value >= 2**64 for value in values)


@steady
@given(payloads(st.booleans()))
def test_payloads_may_be_of_given_values(payload: dict[str, Any]) -> None:
    assert {type(value) for value in payload.values()} <= {bool}
