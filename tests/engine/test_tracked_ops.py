"""The delta of a step: small, detached, and enough to make the state after from the state before."""

from __future__ import annotations

import pickle
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest

from flowforge._engine.state_errors import StateContainsItselfError
from flowforge._engine.tracked import TrackedState
from flowforge._engine.tracked_ops import apply
from flowforge._engine.tracked_plain import detach


@dataclass
class Order:
    items: list[int] = field(default_factory=list)


def tree() -> dict[str, Any]:
    return {"n": 0, "a": {"b": 1}, "l": [[1], 2], "s": {1}, "t": ([1], 2), "o": Order(), "e": {"k": []}}


def make_state() -> TrackedState:
    return TrackedState(tree(), accept=lambda *_: None, encode=pickle.dumps, decode=pickle.loads)


def repeat_append(root: Any) -> None:
    root["e"]["k"].append(1)
    root["e"]["k"].extend([{"x": 2}])
    root["e"]["k"] += [3]


CASES: list[tuple[Callable[[Any], object], tuple[Any, ...]]] = [
    (lambda root: None, ()),
    (lambda root: root.update(n=0), ()),
    (lambda root: (root.update(n=1), root.update(n=0)), ()),
    (lambda root: (root.update(x=1), root.pop("x")), ()),
    (lambda root: root["a"].update(b=2), (("set", ("a", "b"), 2),)),
    (lambda root: root["a"].update(c=[1]), (("set", ("a", "c"), [1]),)),
    (lambda root: root["a"].pop("b"), (("del", ("a", "b")),)),
    (lambda root: root.update(a=root.pop("a")), (("del", ("a",)), ("set", ("a",), {"b": 1}))),
    (repeat_append, (("append", ("e", "k"), [1, {"x": 2}, 3]),)),
    (lambda root: root["l"].pop(), (("set", ("l",), [[1]]),)),
    (lambda root: root["l"][0].append(2), (("set", ("l",), [[1, 2], 2]),)),
    (lambda root: (root["l"].append(3), root["l"][0].append(2)), (("set", ("l",), [[1, 2], 2, 3]),)),
    (lambda root: root["s"].add(2), (("set", ("s",), {1, 2}),)),
    (lambda root: root["t"][0].append(2), (("set", ("t",), ([1, 2], 2)),)),
    (lambda root: root["o"].items.append(2), (("set", ("o",), Order([2])),)),
    (lambda root: (root["a"].update(b=2), root.pop("a")), (("del", ("a",)),)),
    (lambda root: (root["a"].update(b=2), root.update(a=3)), (("set", ("a",), 3),)),
]


@pytest.mark.parametrize("case", range(len(CASES)))
def test_the_delta_is_small_and_turns_before_into_after(case: int) -> None:
    change, expected = CASES[case]
    state, plain = make_state(), tree()

    state.begin()
    change(state.root)
    ops = state.commit()
    apply(plain, ops)

    assert ops == expected
    assert repr(plain) == repr(state.plain())


def test_later_changes_do_not_reach_a_delta() -> None:
    state = make_state()
    state.begin()
    state.root["x"] = {"y": [1]}
    ops = state.commit()

    state.begin()
    state.root["x"]["y"].append(2)
    state.commit()

    assert ops == (("set", ("x",), {"y": [1]}),)


def test_applying_a_delta_leaves_the_delta_alone() -> None:
    first: dict[str, Any] = {}
    ops: Any = (("set", ("x",), [1]), ("append", ("x",), [[2]]), ("append", ("x",), [3]))

    apply(first, ops)
    first["x"][1].append(4)

    assert first == {"x": [1, [2, 4], 3]}
    assert ops == (("set", ("x",), [1]), ("append", ("x",), [[2]]), ("append", ("x",), [3]))


def test_setting_a_container_to_itself_keeps_the_append() -> None:
    state = make_state()

    state.begin()
    items = state.root["e"]["k"]
    items.append(1)
    state.root["e"]["k"] = items

    assert state.commit() == (("append", ("e", "k"), [1]),)


def calls_of_one_append(length: int) -> int:
    """How many Python and C functions a step with one append calls."""
    state = TrackedState({"l": [0] * length}, accept=lambda *_: None, encode=pickle.dumps, decode=pickle.loads)
    count = 0

    def look(_frame: object, event: str, _argument: object) -> None:
        nonlocal count
        count += event in {"call", "c_call"}

    sys.setprofile(look)
    try:
        state.begin()
        state.root["l"].append(1)
        state.commit()
        state.begin()
        state.root["l"].append(1)
        state.rollback()
    finally:
        sys.setprofile(None)
    return count


def test_the_cost_of_an_append_is_independent_of_the_length() -> None:
    assert calls_of_one_append(10) == calls_of_one_append(100_000)


def test_a_step_that_appends_copies_no_list() -> None:
    state = make_state()

    state.begin()
    state.root["l"].append(1)

    changes = state.root["l"].changes
    assert (changes.length, changes.image) == (2, None)


def test_detach_returns_what_holds_no_state_itself() -> None:
    value = {"a": [1, (2, {3})]}
    loop: list[Any] = []
    loop.append(loop)

    assert detach(value) is value
    assert detach(5) == 5
    assert detach(loop) is loop


def test_detach_replaces_state_by_plain_copies() -> None:
    root = make_state().root
    untouched = [1]

    result = detach({"a": [root["a"]], "t": (root["s"], 1), "u": untouched, "l": root["l"]})

    assert result == {"a": [{"b": 1}], "t": ({1}, 1), "u": [1], "l": [[1], 2]}
    assert result["u"] is untouched
    found = [result["a"][0], result["t"][0], result["l"], result["l"][0]]
    assert [type(item) for item in found] == [dict, set, list, list]


def test_detach_refuses_state_that_leads_back_to_itself() -> None:
    payload: list[Any] = [make_state().root]
    payload.append(payload)

    with pytest.raises(StateContainsItselfError, match=r"'payload' contains itself\."):
        detach(payload)
