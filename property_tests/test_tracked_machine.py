"""The tracked state against plain containers that are changed in the same way and copied whole."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from flowforge._engine.state_errors import StateChangedOutsideStepError, StateContainsItselfError
from flowforge._engine.tracked import TrackedState
from flowforge._engine.tracked_ops import StateOp, apply


@dataclass
class Box:
    """A leaf that can be changed in place."""

    content: list[int] = field(default_factory=list)


KEYS: list[Any] = ["a", "b", "c", "ä", 0, 1, True, 1.0, None, ("t", 1), b"x", Decimal(1)]
keys = st.sampled_from(KEYS)
hashables = st.sampled_from([0, 1, True, "x", 2.5, ("p", 1), frozenset({3}), Decimal("1.5")])
leaves = hashables | st.builds(Box, st.lists(st.integers(0, 3), max_size=2))
values = st.recursive(
    leaves | st.sets(hashables, max_size=3),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=3) | st.lists(inner, max_size=2).map(tuple)
    ),
    max_leaves=6,
)
picks = st.integers(0, 30)

DICT_CHANGES: dict[str, Callable[[dict[Any, Any], Any, Any], object]] = {
    "set": lambda target, key, value: target.__setitem__(key, value),
    "delete": lambda target, key, _: target.__delitem__(key),
    "delete first": lambda target, _, __: target.pop(next(iter(target), None), None),
    "pop": lambda target, key, value: target.pop(key, value),
    "popitem": lambda target, _, __: target.popitem(),
    "clear": lambda target, _, __: target.clear(),
    "update": lambda target, key, value: target.update({key: value, "b": 1}),
    "merge": lambda target, key, value: target.__ior__({key: value}),
    "setdefault": lambda target, key, value: target.setdefault(key, value),
    "set again": lambda target, key, _: target.__setitem__(key, target[key]),
    "move to end": lambda target, key, _: target.__setitem__(key, target.pop(key)),
}
LIST_CHANGES: dict[str, Callable[[list[Any], int, Any], object]] = {
    "append": lambda target, _, value: target.append(value),
    "extend": lambda target, _, value: target.extend([value, 1]),
    "add": lambda target, _, value: target.__iadd__([value]),
    "insert": lambda target, index, value: target.insert(index, value),
    "pop": lambda target, _, __: target.pop(),
    "pop at": lambda target, index, _: target.pop(index),
    "remove": lambda target, index, _: target.remove(target[index]),
    "clear": lambda target, _, __: target.clear(),
    "sort": lambda target, _, __: target.sort(key=repr),
    "reverse": lambda target, _, __: target.reverse(),
    "set": lambda target, index, value: target.__setitem__(index, value),
    "set slice": lambda target, index, value: target.__setitem__(slice(index, index + 2), [value]),
    "delete": lambda target, index, _: target.__delitem__(index),
    "delete slice": lambda target, index, _: target.__delitem__(slice(index, None)),
    "repeat": lambda target, index, _: target.__imul__(index % 3),
}
SET_CHANGES: dict[str, Callable[[set[Any], Any], object]] = {
    "add": lambda target, element: target.add(element),
    "discard": lambda target, element: target.discard(element),
    "remove": lambda target, element: target.remove(element),
    "clear": lambda target, _: target.clear(),
    "update": lambda target, element: target.update([element, 7]),
    "or": lambda target, element: target.__ior__({element}),
    "and": lambda target, element: target.__iand__({element, 1}),
    "sub": lambda target, element: target.__isub__({element}),
    "xor": lambda target, element: target.__ixor__({element}),
    "difference": lambda target, element: target.difference_update([element]),
    "intersection": lambda target, element: target.intersection_update([element, "x"]),
    "symmetric": lambda target, element: target.symmetric_difference_update([element]),
}


changes = st.one_of(
    st.tuples(st.just("change_dict"), picks, st.sampled_from(sorted(DICT_CHANGES)), keys, picks, values),
    st.tuples(st.just("change_list"), picks, st.sampled_from(sorted(LIST_CHANGES)), st.integers(-2, 3), values),
    st.tuples(st.just("change_set"), picks, st.sampled_from(sorted(SET_CHANGES)), hashables),
    st.tuples(st.just("change_leaf"), picks, st.integers(0, 3)),
    st.tuples(st.just("share"), picks, picks, keys, st.booleans()),
    st.tuples(st.just("keep"), picks),
)


def children(value: Any) -> list[tuple[Any, Any]]:
    if isinstance(value, dict):
        return list(value.items())
    return list(enumerate(value)) if isinstance(value, list | tuple) else []


def places(root: Any, kinds: tuple[type, ...]) -> list[tuple[Any, ...]]:
    """The paths of all values of the given kinds; a value in two places is listed once."""
    found: list[tuple[Any, ...]] = []
    seen: set[int] = set()
    waiting: list[tuple[tuple[Any, ...], Any]] = [((), root)]
    while waiting:
        path, value = waiting.pop(0)
        if id(value) in seen:
            continue
        if isinstance(value, dict | list | tuple | set | Box):
            seen.add(id(value))
        if isinstance(value, kinds):
            found.append(path)
        waiting.extend(((*path, key), item) for key, item in children(value))
    return found


def at(root: Any, path: tuple[Any, ...]) -> Any:
    for key in path:
        root = root[key]
    return root


def unshared(value: Any, above: tuple[int, ...] = ()) -> Any:
    """A deep copy in which nothing stands in two places; ValueError if `value` contains itself."""
    if isinstance(value, Box):
        return deepcopy(value)
    if not isinstance(value, dict | list | tuple):
        return set(value) if isinstance(value, set) else value
    if id(value) in above:
        raise ValueError
    inner = (*above, id(value))
    if isinstance(value, dict):
        return {key: unshared(item, inner) for key, item in value.items()}
    items = [unshared(item, inner) for item in value]
    return tuple(items) if isinstance(value, tuple) else items


def exact(value: Any) -> Any:
    """A form in which values are equal only if types and key order are equal too."""
    if isinstance(value, dict):
        return ["dict", [(exact(key), exact(item)) for key, item in value.items()]]
    if isinstance(value, list | tuple):
        return [type(value).__name__, [exact(item) for item in value]]
    if isinstance(value, set):
        return ["set", sorted(repr(item) for item in value)]
    return [type(value).__name__, repr(value)]


def outcome(change: Callable[[], object]) -> type[Exception] | None:
    try:
        change()
    except (KeyError, IndexError, TypeError, ValueError) as err:
        return type(err)
    return None


def rich_tree() -> dict[str, Any]:
    """A tree with every kind of container inside every kind."""
    return {
        "list": [{"list": [1, {"x": 1}], "box": Box()}, [[2], Box([1])], Box(), "ä"],
        "dict": {"dict": {"list": [1], "set": {1}}, "last": 1},
        "tuple": ([1, {"x": [1]}], Box(), (2, [3, Box()])),
        "set": {1, "x"},
        "box": Box([1]),
    }


class StateAgainstModel(RuleBasedStateMachine):
    @initialize(initial=st.builds(rich_tree) | st.dictionaries(st.sampled_from(["a", "b", "c"]), values))
    def start(self, initial: dict[str, Any]) -> None:
        self.state = TrackedState(initial, accept=lambda _value, _path: None, encode=pickle.dumps, decode=pickle.loads)
        self.model = unshared(initial)
        self.begun = unshared(initial)
        self.first = unshared(initial)
        self.folded = unshared(initial)
        self.ops: list[StateOp] = []
        self.kept: list[Any] = []

    @rule(
        changes=st.lists(changes, min_size=1, max_size=8),
        end=st.sampled_from(["commit", "commit", "roll_back"]),
    )
    def step(self, changes: list[tuple[Any, ...]], end: str) -> None:
        self.state.begin()
        for name, *arguments in changes:
            getattr(self, name)(*arguments)
        getattr(self, end)()
        assert exact(self.state.plain()) == exact(self.model) == exact(self.folded)
        assert self.state.root == self.model
        self.change_what_was_kept()
        assert exact(self.state.plain()) == exact(self.model)

    def commit(self) -> None:
        try:
            self.model = unshared(self.model)
        except ValueError:
            with pytest.raises(StateContainsItselfError):
                self.state.commit()
            self.roll_back()
            return
        ops = self.state.commit()
        self.begun = unshared(self.model)
        apply(self.folded, ops)
        self.ops.extend(ops)

    def roll_back(self) -> None:
        self.state.rollback()
        self.model = unshared(self.begun)

    def change_what_was_kept(self) -> None:
        root = self.state.root
        inside = {id(at(root, path)) for path in places(root, (dict, list, set))}
        for container in self.kept:
            change = next(name for name in ("append", "setdefault", "add") if hasattr(container, name))
            if id(container) in inside:
                with pytest.raises(StateChangedOutsideStepError):
                    getattr(container, change)(-1)
            else:
                getattr(container, change)(-1)

    def change(self, kind: type, pick: int, make: Callable[[Any, Any], object], value: Any) -> None:
        paths = places(self.model, (kind,))
        if not paths:
            return
        path = paths[pick % len(paths)]
        mine, theirs = at(self.model, path), at(self.state.root, path)
        expected = outcome(lambda: make(mine, deepcopy(value)))
        assert outcome(lambda: make(theirs, deepcopy(value))) is expected

    def change_dict(self, pick: int, name: str, key: Any, which: int, value: Any) -> None:
        def make(target: Any, value: Any) -> object:
            there = list(target)[which % (len(target) + 3) :][:1]
            return DICT_CHANGES[name](target, there[0] if there else key, value)

        self.change(dict, pick, make, value)

    def change_list(self, pick: int, name: str, index: int, value: Any) -> None:
        self.change(list, pick, lambda target, value: LIST_CHANGES[name](target, index, value), value)

    def change_set(self, pick: int, name: str, element: Any) -> None:
        self.change(set, pick, SET_CHANGES[name], element)

    def change_leaf(self, pick: int, number: int) -> None:
        self.change(Box, pick, lambda target, value: target.content.append(value), number)

    def share(self, pick: int, source: int, key: Any, at_front: bool) -> None:
        """Put what stands in one place into another as well."""
        targets = places(self.model, (dict, list))
        sources = places(self.model, (dict, list, tuple, set, Box))
        target, path = targets[pick % len(targets)], sources[source % len(sources)]
        for root in (self.model, self.state.root):
            holder, value = at(root, target), at(root, path)
            if isinstance(holder, dict):
                holder[key] = value
            else:
                holder.insert(0 if at_front else len(holder), value)

    def keep(self, pick: int) -> None:
        """Hold on to a container, to change it when no step is running."""
        paths = places(self.model, (dict, list, set))
        self.kept.append(at(self.state.root, paths[pick % len(paths)]))

    def teardown(self) -> None:
        if hasattr(self, "state"):
            apply(self.first, self.ops)
            assert exact(self.first) == exact(self.begun)


TestStateAgainstModel = StateAgainstModel.TestCase
TestStateAgainstModel.settings = settings(max_examples=500, stateful_step_count=12, deadline=None)
