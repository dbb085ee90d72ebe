"""A failed step puts back values, key order, lists, sets and leaves changed in place."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest

from flowforge._engine.tracked import TrackedState


@dataclass
class Order:
    items: list[int] = field(default_factory=list)


def make_state(**initial: object) -> TrackedState:
    return TrackedState(initial, accept=lambda *_: None, encode=pickle.dumps, decode=pickle.loads)


def tree() -> dict[str, Any]:
    return {"a": 1, "b": 2, "c": 3, "l": [3, 1, 2], "s": {1, 2}, "d": {"x": 1, "y": {"z": [1]}}, "last": 9}


CHANGES: dict[str, Callable[[Any], object]] = {
    "d[k] = v": lambda root: root.update(a=2, new=1),
    "del first": lambda root: root.__delitem__("a"),
    "del middle": lambda root: root.__delitem__("c"),
    "del last": lambda root: root.__delitem__("last"),
    "del from both ends": lambda root: [root.pop(key) for key in ("last", "a", "d", "b", "l")],
    "del and add again": lambda root: root.update(b=root.pop("b"), a=root.pop("a")),
    "add and del": lambda root: (root.update(new=1), root.pop("new")),
    "popitem": lambda root: root.popitem(),
    "clear": lambda root: root.clear(),
    "clear and refill": lambda root: (root.clear(), root.update(last=1, a=2)),
    "setdefault": lambda root: root.setdefault("new", []).append(1),
    "|=": lambda root: root.__ior__({"a": 5, "n": 1}),
    "nested": lambda root: root["d"]["y"]["z"].append(root.pop("d")),
    "append": lambda root: root["l"].append(4),
    "extend": lambda root: root["l"].extend([4, 5]),
    "+=": lambda root: root["l"].__iadd__([4]),
    "*=": lambda root: root["l"].__imul__(2),
    "insert": lambda root: root["l"].insert(0, 1),
    "list pop": lambda root: root["l"].pop(),
    "list remove": lambda root: root["l"].remove(1),
    "list clear": lambda root: root["l"].clear(),
    "sort": lambda root: root["l"].sort(reverse=True),
    "reverse": lambda root: root["l"].reverse(),
    "l[i] = v": lambda root: root["l"].__setitem__(0, 7),
    "l[i:j] = v": lambda root: root["l"].__setitem__(slice(0, 2), []),
    "del l[i]": lambda root: root["l"].__delitem__(0),
    "append then del": lambda root: (root["l"].append(4), root["l"].__delitem__(slice(None))),
    "add": lambda root: root["s"].add(3),
    "discard": lambda root: root["s"].discard(1),
    "set remove": lambda root: root["s"].remove(1),
    "set pop": lambda root: root["s"].pop(),
    "set clear": lambda root: root["s"].clear(),
    "set update": lambda root: root["s"].update({3}, {4}),
    "set |=": lambda root: root["s"].__ior__({3}),
    "set &=": lambda root: root["s"].__iand__({1}),
    "set -=": lambda root: root["s"].__isub__({1}),
    "set ^=": lambda root: root["s"].__ixor__({1, 3}),
    "intersection_update": lambda root: root["s"].intersection_update({1}),
    "difference_update": lambda root: root["s"].difference_update({1}),
    "symmetric_difference_update": lambda root: root["s"].symmetric_difference_update({1}),
}


@pytest.mark.parametrize("name", CHANGES)
def test_rollback_undoes_every_kind_of_change(name: str) -> None:
    state = make_state(**tree())

    state.begin()
    CHANGES[name](state.root)
    state.rollback()

    assert repr(state.plain()) == repr(tree())
    state.begin()
    assert state.commit() == ()


@pytest.mark.parametrize("name", CHANGES)
def test_every_kind_of_change_acts_as_on_plain_data(name: str) -> None:
    state, plain = make_state(**tree()), tree()

    state.begin()
    CHANGES[name](state.root)
    if name != "nested":
        CHANGES[name](plain)
        assert state.root == plain
        assert list(state.root) == list(plain)


@pytest.mark.parametrize("change", [lambda root: root.pop("x"), lambda root: root["l"].remove(8)])
def test_an_operation_that_fails_changes_nothing(change: Callable[[Any], object]) -> None:
    state = make_state(**tree())

    state.begin()
    with pytest.raises((KeyError, ValueError), match=r"x|not in list"):
        change(state.root)
    state.commit()

    assert state.plain() == tree()


def test_a_key_deleted_as_another_type_comes_back_as_it_was() -> None:
    state = make_state(d={1: "a"})

    state.begin()
    del state.root["d"][True]
    state.rollback()

    assert repr(state.plain()) == "{'d': {1: 'a'}}"


@pytest.mark.parametrize("wrap", [lambda leaf: leaf, lambda leaf: [leaf], lambda leaf: ([], (leaf,))])
def test_a_leaf_changed_in_place_is_put_back(wrap: Callable[[Any], Any]) -> None:
    state = make_state(order=wrap(Order([1])))
    expected = state.plain()

    def leaf() -> Any:
        found = state.root["order"]
        while not isinstance(found, Order):
            found = found[-1]
        return found

    for _ in range(2):
        state.begin()
        leaf().items.append(2)
        state.rollback()
        assert state.plain() == expected


def test_a_leaf_that_is_put_in_is_copied_at_commit() -> None:
    state, order = make_state(), Order([1])

    state.begin()
    state.root["order"] = order
    state.commit()
    order.items.append(2)

    assert state.plain() == {"order": Order([1])}


def test_undo_of_an_append_touches_nothing_before_it() -> None:
    state = make_state(l=[{"x": 1}])
    item = state.root["l"][0]

    state.begin()
    state.root["l"].append({"x": 2})
    state.rollback()

    assert state.root["l"][0] is item
    assert state.plain() == {"l": [{"x": 1}]}


def test_leaves_around_a_nested_container_are_put_back() -> None:
    state = make_state(t=(Order([1]), [Order([2])]))

    state.begin()
    state.root["t"][0].items.append(3)
    state.root["t"][1][0].items.append(4)
    state.rollback()

    assert state.plain() == {"t": (Order([1]), [Order([2])])}


def test_a_leaf_that_left_the_state_is_no_longer_watched() -> None:
    state = make_state(l=[Order([1]), 2], d={"o": Order([1])})
    gone = [state.root["l"][0], state.root["d"]["o"]]

    state.begin()
    del state.root["l"][0]
    del state.root["d"]
    state.commit()
    for order in gone:
        order.items.append(2)

    state.begin()
    assert state.commit() == ()


def test_a_leaf_changed_and_then_removed_leaves_only_the_deletion() -> None:
    state = make_state(d={"inner": {"o": Order([1])}})

    state.begin()
    state.root["d"]["inner"]["o"].items.append(2)
    del state.root["d"]

    assert state.commit() == (("del", ("d",)),)


def test_a_container_put_into_a_removed_one_stays_in_the_state() -> None:
    state = make_state(a={}, b=[1])

    state.begin()
    state.root["a"]["k"] = state.root["b"]
    del state.root["a"]
    state.root["b"].append(2)

    assert state.commit() == (("del", ("a",)), ("append", ("b",), [2]))
