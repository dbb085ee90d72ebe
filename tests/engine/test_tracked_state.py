"""What a step may do to its routine's state, and what a failed step leaves of it: nothing."""

from __future__ import annotations

import copy
import json
import pickle
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from enum import Enum
from typing import Any

import pytest

from flowforge._engine.state_errors import (
    InvalidStateKeyError,
    StateChangedOutsideStepError,
    StateContainsItselfError,
    StateTooDeepError,
)
from flowforge._engine.tracked import TrackedState
from flowforge.errors import FlowForgeError


class Colour(Enum):
    RED = 1


@dataclass
class Order:
    items: list[int] = field(default_factory=list)


def accept(value: object, path: str) -> None:
    if not isinstance(value, str | datetime | Decimal | Colour | Order):
        raise TypeError(path)
    if isinstance(value, str):
        value.encode()


def make_state(**initial: object) -> TrackedState:
    return TrackedState(initial, accept=accept, encode=pickle.dumps, decode=pickle.loads)


def committed(state: TrackedState, change: Callable[[Any], object]) -> Any:
    state.begin()
    change(state.root)
    return state.commit()


def rolled_back(state: TrackedState, change: Callable[[Any], object]) -> Any:
    state.begin()
    change(state.root)
    state.rollback()
    return state.plain()


def test_the_root_reads_like_a_dict() -> None:
    state = make_state(n=1, items=[{"x": 1}], tags={"a"})

    assert isinstance(state.root, dict)
    assert state.root == {"n": 1, "items": [{"x": 1}], "tags": {"a"}}
    assert repr(state.root) == "{'n': 1, 'items': [{'x': 1}], 'tags': {'a'}}"
    assert json.dumps(state.root["items"]) == '[{"x": 1}]'


def test_reads_of_the_containers_are_not_overridden() -> None:
    state = make_state(a=[1], b={1})

    for container in (state.root, state.root["a"], state.root["b"]):
        own = set(vars(type(container)))
        assert not own & {"__getitem__", "__iter__", "__contains__", "__len__", "__eq__", "get", "items"}


def test_the_initial_mapping_is_copied() -> None:
    items = [1]
    state = make_state(items=items)

    items.append(2)

    assert state.plain() == {"items": [1]}


@pytest.mark.parametrize("duplicate", [copy.copy, copy.deepcopy, lambda value: pickle.loads(pickle.dumps(value))])
def test_copies_of_every_kind_are_plain_containers(duplicate: Callable[[Any], Any]) -> None:
    state = make_state(d={"x": [1]}, l=[1], s={1})

    for value in (state.root["d"], state.root["l"], state.root["s"]):
        twin = duplicate(value)
        assert twin == value
        assert type(twin) in {dict, list, set}


def test_results_of_operators_are_plain_containers() -> None:
    root = make_state(d={"x": 1}, l=[1], s={1}).root

    assert type(root["d"] | {}) is type({} | root["d"]) is type(root["d"].copy()) is dict
    assert type(root["l"] + []) is type(root["l"][:]) is type(root["l"] * 2) is type(root["l"].copy()) is list
    assert type(root["s"] | {2}) is type(root["s"] & {1}) is type(root["s"].copy()) is set


def test_plain_gives_a_deep_copy_of_plain_types() -> None:
    state = make_state(a={"b": [{1}, ({"c": 1},)]}, order=Order([1]))

    plain = state.plain()
    plain["a"]["b"][1][0]["c"] = 2
    plain["order"].items.append(2)

    assert [type(item) for item in (plain["a"], plain["a"]["b"], plain["a"]["b"][0])] == [dict, list, set]
    assert state.plain() == {"a": {"b": [{1}, ({"c": 1},)]}, "order": Order([1])}


def test_a_plain_container_put_in_stays_itself_until_commit() -> None:
    state = make_state()
    items: list[int] = []

    state.begin()
    state.root["items"] = items
    items.append(1)
    assert state.root["items"] is items
    state.commit()
    items.append(2)

    assert state.root == {"items": [1]}


def test_a_container_put_in_two_places_becomes_two() -> None:
    state = make_state(a=[1])
    committed(state, lambda root: root.update(b=root["a"], c=[root["a"], root["a"]]))

    committed(state, lambda root: root["a"].append(2))

    assert state.root == {"a": [1, 2], "b": [1], "c": [[1], [1]]}


def test_a_removed_container_may_be_changed_later() -> None:
    state = make_state(a={"b": [1]}, l=[{"x": 1}])
    inner, item = state.root["a"]["b"], state.root["l"][0]
    committed(state, lambda root: (root.pop("a"), root["l"].pop()))

    inner.append(2)
    item["x"] = 2

    assert (inner, item) == ([1, 2], {"x": 2})
    assert state.root == {"l": []}


def test_a_container_removed_by_a_failed_step_is_still_guarded() -> None:
    state = make_state(a=[1])
    rolled_back(state, lambda root: root.pop("a"))

    with pytest.raises(StateChangedOutsideStepError):
        state.root["a"].append(2)


@pytest.mark.parametrize(
    ("change", "path"),
    [
        (lambda root: root.update(n=2), "state"),
        (lambda root: root["d"].pop("x"), "state['d']"),
        (lambda root: root["l"].append(1), "state['l']"),
        (lambda root: root["l"].sort(), "state['l']"),
        (lambda root: root["s"].add(1), "state['s']"),
        (lambda root: root["s"].clear(), "state['s']"),
        (lambda root: root["t"][0].append(1), "state['t']"),
    ],
)
def test_a_change_outside_a_step_is_refused(change: Callable[[Any], object], path: str) -> None:
    state = make_state(n=1, d={"x": 1}, l=[2, 1], s={1}, t=([],))
    before = state.plain()

    message = r"was changed outside a step\. Change state inside a handler, or take a copy first"
    with pytest.raises(StateChangedOutsideStepError, match=message) as caught:
        change(state.root)

    assert caught.value.path == path
    assert state.plain() == before


@pytest.mark.parametrize(
    ("value", "path"),
    [
        (object(), "state['new']"),
        ([1, {"price": object()}], "state['new'][1]['price']"),
        (({"x": object()},), "state['new'][0]['x']"),
        ({object()}, "state['new']"),
        (frozenset({object()}), "state['new']"),
        ({("k", object()): 1}, "state['new']"),
        (type("SubDict", (dict,), {})(), "state['new']"),
    ],
)
def test_commit_names_the_path_of_what_is_refused(value: object, path: str) -> None:
    state = make_state(old=1, l=[1])
    state.begin()
    state.root["l"].append(2)
    state.root["new"] = value

    with pytest.raises(TypeError) as caught:
        state.commit()

    assert caught.value.args == (path,)
    state.rollback()
    assert state.plain() == {"old": 1, "l": [1]}


def test_commit_names_the_path_inside_nested_containers() -> None:
    state = make_state(orders=[{"x": 1}, {"lines": [1]}])
    state.begin()
    state.root["orders"][1]["lines"].append(object())

    with pytest.raises(TypeError, match=r"state\['orders'\]\[1\]\['lines'\]\[1\]"):
        state.commit()


def test_a_lone_surrogate_is_shown_to_the_codec() -> None:
    state = make_state()
    state.begin()
    state.root["text"] = "\ud800"

    with pytest.raises(UnicodeEncodeError):
        state.commit()


def test_the_initial_mapping_is_checked_too() -> None:
    with pytest.raises(TypeError, match=r"state\['a'\]\[0\]"):
        make_state(a=[object()])


def test_a_container_in_itself_is_refused_with_its_path() -> None:
    state = make_state(a={"b": 1})
    state.begin()
    state.root["a"]["self"] = [state.root["a"]]

    message = r"contains itself\. Keep a key or an id in place of the container that leads back\."
    with pytest.raises(StateContainsItselfError, match=message) as caught:
        state.commit()

    assert caught.value.path == "state['a']['self'][0]['self']"
    assert isinstance(caught.value, FlowForgeError)
    state.rollback()
    assert state.plain() == {"a": {"b": 1}}


def test_nesting_beyond_the_codec_is_refused() -> None:
    state = make_state()
    deep: list[Any] = []
    for _ in range(3000):
        deep = [deep]
    state.begin()
    state.root["deep"] = deep

    message = r"is nested deeper than 90 levels\. Keep a flat dict keyed by id instead\."
    with pytest.raises(StateTooDeepError, match=message):
        state.commit()


def test_nesting_grown_step_by_step_is_refused_as_well() -> None:
    state = make_state(deep=[])

    def deepen(root: Any) -> None:
        inner = root["deep"]
        while inner:
            inner = inner[0]
        inner.append([])

    for _ in range(89):
        committed(state, deepen)

    with pytest.raises(StateTooDeepError):
        committed(state, deepen)


@pytest.mark.parametrize("key", [float("nan"), ("a", float("nan"))])
def test_a_key_that_cannot_be_found_again_is_refused(key: object) -> None:
    state = make_state()
    state.begin()
    state.root["d"] = {key: 1}

    message = r"The key .*nan.* of \"state\['d'\]\" does not equal itself\. Use a key that can be looked up"
    with pytest.raises(InvalidStateKeyError, match=message):
        state.commit()


def test_leaves_of_known_immutable_types_keep_their_identity() -> None:
    when = datetime(2024, 1, 1, tzinfo=UTC)
    price = Decimal("1.5")
    state = make_state()

    committed(state, lambda root: root.update(when=when, price=price, colour=Colour.RED))

    assert state.root["when"] is when
    assert state.root["price"] is price
    assert state.root["colour"] is Colour.RED


def test_no_leaf_is_encoded_when_all_are_immutable() -> None:
    def never(_value: object) -> Any:
        raise AssertionError

    state = TrackedState({"when": [Decimal(1)]}, accept=accept, encode=never, decode=never)
    committed(state, lambda root: root["when"].append(Decimal(2)))
    rolled_back(state, lambda root: root["when"].append(Decimal(3)))

    assert state.plain() == {"when": [Decimal(1), Decimal(2)]}
