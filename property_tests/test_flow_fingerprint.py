"""Fingerprints of random flows: equal exactly if version and structure are, however the flows were built."""

from collections.abc import Callable
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from flowforge.flow import Flow
from flowforge.flow_fingerprint import changes_between, fingerprint_of
from flowforge.testing.flow_shapes import FlowShape
from flowforge.testing.flow_strategies import flows


def structure(flow: Flow) -> tuple[Any, ...]:
    """What fingerprints are to tell apart, as sets and dicts, which know no order."""
    routines = {name: (set(r.slots), set(r.events), r.concurrency) for name, r in flow.routines.items()}
    return flow.version, routines, {made.key: dict(made.param_mapping) for made in flow.connections}


def rebuilt(flow: Flow, random: Any) -> Flow:
    """The same structure, built in another order."""
    again = Flow(flow.flow_id, version=flow.version)
    names, connections = list(flow.routines), flow.connections
    random.shuffle(names)
    random.shuffle(connections)
    routines = {name: flow.remove_routine(name) for name in names}
    for name in names:
        again.add_routine(routines[name], name)
    for made in connections:
        again.connect(*made.key, made.param_mapping)
    return again


def without_a_connection(flow: Flow) -> None:
    for made in flow.connections[:1]:
        flow.disconnect(*made.key)


def with_a_mapping(flow: Flow) -> None:
    for made in flow.connections[:1]:
        flow.disconnect(*made.key)
        flow.connect(*made.key, {"n": "m"})


def with_another_version(flow: Flow) -> None:
    flow.version += 1


CHANGES: list[Callable[[Flow], object]] = [
    without_a_connection,
    with_a_mapping,
    with_another_version,
    lambda flow: flow.remove_routine("r0"),
    lambda flow: flow.routines["r0"].define_slot("more"),
    lambda flow: flow.routines["r0"].define_event("more"),
    lambda flow: flow.routines["r0"].set_concurrency(flow.routines["r0"].concurrency + 1),
    lambda flow: flow.set_error_handler(None),
]


@given(flows(), flows())
def test_fingerprints_are_equal_exactly_if_structures_are(one: FlowShape, other: FlowShape) -> None:
    first, second = one.build(), other.build()

    is_same = fingerprint_of(first) == fingerprint_of(second)

    assert is_same == (structure(first) == structure(second))
    assert is_same == (not changes_between(fingerprint_of(first), fingerprint_of(second)))


@given(flows(), st.randoms())
def test_the_order_of_building_makes_no_difference(shape: FlowShape, random: Any) -> None:
    expected = fingerprint_of(shape.build())

    assert fingerprint_of(rebuilt(shape.build(), random)) == expected


@given(flows(), st.lists(st.sampled_from(CHANGES), max_size=3, unique=True))
def test_a_change_of_the_structure_changes_the_fingerprint(
    shape: FlowShape, changes: list[Callable[[Flow], object]]
) -> None:
    flow = shape.build()
    before, was = fingerprint_of(flow), structure(flow)
    for change in changes:
        if "r0" in flow.routines:
            change(flow)

    assert (fingerprint_of(flow) == before) == (structure(flow) == was)
