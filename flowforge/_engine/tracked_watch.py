"""Leaves of a state that can be changed in place, and how they are put back."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, TypeAlias

from flowforge._engine.tracked_dict import TrackedDict
from flowforge._engine.tracked_list import TrackedList

__all__ = ["Watch", "WatchKey", "Watches", "restore_leaves", "watches_by_slot"]


class Watch:
    """The leaves at one slot of a container that can be changed in place, with their committed bytes.

    `slot` is the key in a dict, and the id of the item in a list, since items move.
    """

    __slots__ = ("holder", "leaves", "slot")

    def __init__(self, holder: TrackedDict | TrackedList, slot: object, leaves: list[tuple[Any, bytes]]) -> None:
        self.holder = holder
        self.slot = slot
        self.leaves = leaves


WatchKey: TypeAlias = tuple[int, object]
Watches: TypeAlias = dict[WatchKey, Watch]


def watches_by_slot(watches: Iterable[Watch]) -> Watches:
    """The watches by the identity of their container and their slot in it."""
    return {(id(watch.holder), watch.slot): watch for watch in watches}


def restore_leaves(watches: Iterable[Watch], decode: Callable[[bytes], Any]) -> Watches:
    """Replace each watched leaf by a fresh one made from its bytes; returns the watches of the fresh ones."""
    renewed: list[Watch] = []
    by_list: dict[int, tuple[TrackedList, dict[object, Watch]]] = {}
    for watch in watches:
        holder = watch.holder
        if isinstance(holder, TrackedList):
            by_list.setdefault(id(holder), (holder, {}))[1][watch.slot] = watch
        else:
            value, leaves = _renewed(watch, holder[watch.slot], decode)
            dict.__setitem__(holder, watch.slot, value)
            renewed.append(Watch(holder, watch.slot, leaves))
    for items, watch_of in by_list.values():
        for index, item in enumerate(items):
            if id(item) in watch_of:
                value, leaves = _renewed(watch_of[id(item)], item, decode)
                list.__setitem__(items, index, value)
                renewed.append(Watch(items, id(value), leaves))
    return watches_by_slot(renewed)


def _renewed(watch: Watch, value: Any, decode: Callable[[bytes], Any]) -> tuple[Any, list[tuple[Any, bytes]]]:
    fresh = {id(leaf): (decode(data), data) for leaf, data in watch.leaves}
    return _substituted(value, fresh), list(fresh.values())


def _substituted(value: Any, fresh: dict[int, tuple[Any, bytes]]) -> Any:
    if type(value) is tuple:
        return tuple([_substituted(item, fresh) for item in value])
    return fresh[id(value)][0] if id(value) in fresh else value
