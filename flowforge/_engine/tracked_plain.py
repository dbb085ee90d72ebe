"""Plain copies of state: what may be handed out of a routine without handing out its state."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from operator import is_
from typing import Any, Final, TypeAlias
from uuid import UUID

from flowforge._engine.state_errors import StateContainsItselfError
from flowforge._engine.tracked_dict import TrackedDict
from flowforge._engine.tracked_list import TrackedList
from flowforge._engine.tracked_set import TrackedSet

__all__ = ["IMMUTABLE", "SCALARS", "Tracked", "detach", "is_fixed", "plain_copy", "plain_type"]

Tracked: TypeAlias = TrackedDict | TrackedList | TrackedSet

SCALARS: Final = frozenset({type(None), bool, int, float, str, bytes})
IMMUTABLE: Final = SCALARS | {datetime, date, time, timedelta, Decimal, UUID}

_TRACKED: Final[dict[type, type]] = {TrackedDict: dict, TrackedList: list, TrackedSet: set}
_PLAIN: Final[dict[type, type]] = {dict: dict, list: list, set: set, tuple: tuple, **_TRACKED}


def is_fixed(value: object) -> bool:
    """Whether `value` is a leaf of a known type that nobody can change in place."""
    return type(value) in IMMUTABLE or isinstance(value, Enum)


def plain_type(kind: type) -> type | None:
    """The container that `kind` stands for: dict, list, set or tuple; None for a leaf."""
    return _PLAIN.get(kind)


def _itself(leaf: Any) -> Any:
    return leaf


def plain_copy(value: Any, copy_leaf: Callable[[Any], Any] = _itself) -> Any:
    """A deep copy made of dict, list, set and tuple only.

    Leaves that can be changed in place go through `copy_leaf`, if given. `value` must not contain itself.
    """
    kind = type(value)
    plain = _PLAIN.get(kind)
    if plain is dict:
        return {key: item if type(item) in IMMUTABLE else plain_copy(item, copy_leaf) for key, item in value.items()}
    if plain is list:
        return [item if type(item) in IMMUTABLE else plain_copy(item, copy_leaf) for item in value]
    if plain is set:
        return set(value)
    if plain is tuple:
        return tuple([plain_copy(item, copy_leaf) for item in value])
    return value if kind is frozenset or is_fixed(value) else copy_leaf(value)


def detach(value: Any) -> Any:
    """`value` with every container of a state in it replaced by a plain copy.

    Looks into dict, list and tuple; returns `value` itself if there is nothing to replace. Raises
    StateContainsItselfError if a container that holds state leads back to itself.
    """
    if type(value) in IMMUTABLE or not _holds_tracked(value):
        return value
    return _replaced(value, set(), inside=False)


def _holds_tracked(value: Any) -> bool:
    waiting = [value]
    seen: set[int] = set()
    while waiting:
        item = waiting.pop()
        kind = type(item)
        if kind in _TRACKED:
            return True
        if kind is not dict and kind is not list and kind is not tuple:
            continue
        if id(item) in seen:
            continue
        seen.add(id(item))
        inner: Iterable[Any] = item.values() if kind is dict else item
        waiting.extend([each for each in inner if type(each) not in IMMUTABLE])
    return False


def _replaced(value: Any, above: set[int], *, inside: bool) -> Any:
    kind = type(value)
    plain = _PLAIN.get(kind)
    if plain is None:
        return value
    inside = inside or kind in _TRACKED
    if plain is set:
        return set(value) if inside else value
    if id(value) in above:
        raise StateContainsItselfError("payload")
    above.add(id(value))
    if plain is dict:
        copy: Any = {key: _replaced(item, above, inside=inside) for key, item in value.items()}
        same = not inside and all(map(is_, copy.values(), value.values()))
    else:
        copy = plain([_replaced(item, above, inside=inside) for item in value])
        same = not inside and all(map(is_, copy, value))
    above.discard(id(value))
    return value if same else copy
