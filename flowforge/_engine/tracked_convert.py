"""How plain data enters a state: checked, copied, and made of containers that can be rolled back."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from flowforge._engine.journal import Journal, Path, Place, path_text
from flowforge._engine.state_errors import (
    InvalidStateKeyError,
    StateContainsItselfError,
    StateTooDeepError,
)
from flowforge._engine.tracked_dict import TrackedDict
from flowforge._engine.tracked_list import TrackedList
from flowforge._engine.tracked_plain import SCALARS, is_fixed, plain_type
from flowforge._engine.tracked_set import TrackedSet
from flowforge._engine.tracked_watch import Watch

__all__ = ["MAX_DEPTH", "Codec", "Converter", "flat_root", "is_flat"]

# The codec keeps 100 levels; the rest is for what a record wraps around a value.
MAX_DEPTH: Final = 90


def is_flat(value: object) -> bool:
    """Whether `value` can be kept as it is without asking the codec.

    Text outside ASCII is asked about, since a lone surrogate cannot be encoded.
    """
    kind = type(value)
    return kind in SCALARS and (kind is not str or value.isascii())  # type: ignore[attr-defined]


def flat_root(initial: Mapping[str, object], journal: Journal) -> TrackedDict | None:
    """The root of a new state of plain dicts that hold flat values; None if it has anything else in it."""
    root = TrackedDict((), Place(journal, (), 0))
    for key, inner in initial.items():
        if type(inner) is not dict or (inner and not _is_flat_dict(inner)):
            return None
        dict.__setitem__(root, key, TrackedDict(inner, Place(journal, (key,), 1)))
    return root


class Codec:
    """What the state asks of the codec: to accept a leaf, and to encode and decode one."""

    __slots__ = ("accept", "decode", "encode")

    def __init__(
        self,
        accept: Callable[[Any, str], object],
        encode: Callable[[Any], bytes],
        decode: Callable[[bytes], Any],
    ) -> None:
        self.accept = accept
        self.encode = encode
        self.decode = decode

    def copy(self, leaf: Any) -> Any:
        """A copy of a leaf that could be changed in place."""
        return self.decode(self.encode(leaf))


class Converter:
    """Turns values into what a state keeps, without changing the values or the state.

    What is refused is named by its path. `watches` gathers the leaves to watch from now on.
    """

    __slots__ = ("_above", "_codec", "_journal", "_leaves", "_nested", "_trail", "watches")

    def __init__(self, journal: Journal, codec: Codec) -> None:
        self._journal = journal
        self._codec = codec
        self._trail: list[object] = []
        self._above: set[int] = set()
        self._leaves: list[tuple[Any, bytes]] = []
        self._nested: Place | None = None
        self.watches: list[Watch] = []

    def root(self, initial: dict[Any, Any]) -> TrackedDict:
        """The root of a new state that begins as `initial`."""
        return self._dict(initial, self._place((), 0))

    def enter(self, value: Any, holder: TrackedDict | TrackedList, slot: object, trail: Path) -> Any:
        """`value` as it is to be kept at `slot` of `holder`: a copy if anything in it could be changed.

        `trail` is where a user would find the value. For a list, `slot` is ignored.
        """
        assert holder.place is not None
        place = holder.place
        self._trail = list(trail)
        self._above.clear()
        path = place.path
        if not place.is_nested and type(holder) is TrackedDict:
            path = (*path, slot)
        kept = self._value(value, path, place.depth + 1)
        self._watch(holder, slot, kept)
        return kept

    def check_key(self, key: Any, trail: Path) -> None:
        """Raise unless `key` can be a key of the dict at `trail`."""
        if not is_flat(key) or key != key:  # noqa: PLR0124  # NaN
            self._hashable(key, path_text(trail))
            if _is_unequal(key):
                raise InvalidStateKeyError(path_text(trail), key)

    def check_element(self, element: Any, trail: Path) -> None:
        """Raise unless `element` can be an element of the set at `trail`."""
        if not is_flat(element):
            self._hashable(element, path_text(trail))

    def _hashable(self, value: Any, path: str) -> None:
        if type(value) is tuple or type(value) is frozenset:
            for item in value:
                self._hashable(item, path)
        elif not is_flat(value):
            self._codec.accept(value, path)

    def _value(self, value: Any, path: Path, depth: int) -> Any:
        if is_flat(value):
            return value
        kind = type(value)
        plain = plain_type(kind)
        if plain is None:
            return self._leaf(value)
        if plain is set:
            return self._set(value, self._place(path, depth))
        if id(value) in self._above:
            raise StateContainsItselfError(path_text(tuple(self._trail)))
        if depth > MAX_DEPTH:
            raise StateTooDeepError(path_text(tuple(self._trail)), MAX_DEPTH)
        self._above.add(id(value))
        kept: Any
        if plain is tuple:
            kept = self._tuple(value, path, depth)
        else:
            outer, self._leaves = self._leaves, []
            place = self._place(path, depth)
            kept = self._dict(value, place) if plain is dict else self._list(value, place)
            self._leaves = outer
        self._above.discard(id(value))
        return kept

    def _place(self, path: Path, depth: int) -> Place:
        if depth == len(path):
            return Place(self._journal, path, depth)
        # A list of a million dicts needs one place for them all.
        place = self._nested
        if place is None or place.path is not path or place.depth != depth:
            place = self._nested = Place(self._journal, path, depth)
        return place

    def _leaf(self, value: Any) -> Any:
        path = path_text(tuple(self._trail))
        if type(value) is frozenset:
            self._hashable(value, path)
            return value
        self._codec.accept(value, path)
        if is_fixed(value) or type(value) is str:
            return value
        data = self._codec.encode(value)
        copy = self._codec.decode(data)
        self._leaves.append((copy, data))
        return copy

    def _set(self, value: Any, place: Place) -> TrackedSet:
        for element in value:
            self.check_element(element, tuple(self._trail))
        return TrackedSet(value, place)

    def _tuple(self, value: tuple[Any, ...], path: Path, depth: int) -> tuple[Any, ...]:
        items = [self._inner(item, index, path, depth + 1) for index, item in enumerate(value)]
        if all(map(_is_same, items, value)):
            return value
        return tuple(items)

    def _dict(self, value: dict[Any, Any], place: Place) -> TrackedDict:
        kept = TrackedDict((), place)
        nested = place.is_nested
        for key, item in value.items():
            if type(key) is not str or not key.isascii():
                self.check_key(key, tuple(self._trail))
            new = item
            if not is_flat(item):
                path = place.path if nested else (*place.path, key)
                new = self._inner(item, key, path, place.depth + 1)
                self._watch(kept, key, new)
            dict.__setitem__(kept, key, new)
        return kept

    def _list(self, value: list[Any], place: Place) -> TrackedList:
        kept = TrackedList((), place)
        for index, item in enumerate(value):
            new = item
            if not is_flat(item):
                new = self._inner(item, index, place.path, place.depth + 1)
                self._watch(kept, index, new)
            list.append(kept, new)
        return kept

    def _inner(self, item: Any, key: object, path: Path, depth: int) -> Any:
        if is_flat(item):
            return item
        self._trail.append(key)
        kept = self._value(item, path, depth)
        self._trail.pop()
        return kept

    def _watch(self, holder: TrackedDict | TrackedList, slot: object, value: Any) -> None:
        if self._leaves:
            place = slot if type(holder) is TrackedDict else id(value)
            self.watches.append(Watch(holder, place, self._leaves))
            self._leaves = []


def _is_flat_dict(value: dict[Any, Any]) -> bool:
    return all(type(key) is str and key.isascii() and is_flat(item) for key, item in value.items())


def _is_same(new: object, old: object) -> bool:
    return new is old


def _is_unequal(key: Any) -> bool:
    if type(key) is tuple or type(key) is frozenset:
        return any(map(_is_unequal, key))
    return bool(key != key)  # noqa: PLR0124  # NaN
