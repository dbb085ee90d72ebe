"""The commit of a step's state: first everything that may be refused, then the changes that stay."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from flowforge._engine.journal import ABSENT, Absent, Changes, Journal, Path, path_text
from flowforge._engine.tracked_convert import Codec, Converter, is_flat
from flowforge._engine.tracked_dict import DictChanges, TrackedDict
from flowforge._engine.tracked_list import ListChanges, TrackedList
from flowforge._engine.tracked_ops import StateOp
from flowforge._engine.tracked_plain import SCALARS, Tracked, plain_copy, plain_type
from flowforge._engine.tracked_set import SetChanges, TrackedSet
from flowforge._engine.tracked_watch import Watch, Watches, WatchKey, watches_by_slot

__all__ = ["CommitPlan", "flat_ops"]

_FLAT_BEFORE: Final = SCALARS | {Absent}


def flat_ops(changes: Iterable[Changes]) -> list[StateOp] | None:
    """The delta, if nothing but flat values came and went; None if a plan is needed."""
    ops: list[StateOp] = []
    for each in changes:
        if each.place.is_nested:
            return None
        if type(each) is DictChanges and each.deletions is None:
            path, owner = each.place.path, each.owner
            for key, old in each.before.items():
                value = owner[key]
                if value is old:
                    continue
                if type(old) not in _FLAT_BEFORE or type(key) is not str or not key.isascii():
                    return None
                if type(value) is not int and not is_flat(value):
                    return None
                ops.append(("set", (*path, key), value))
        elif type(each) is ListChanges and each.image is None:
            tail = each.owner[each.length :]
            if not all(map(is_flat, tail)):
                return None
            if tail:
                ops.append(("append", each.place.path, tail))
        else:
            return None
    return ops


class CommitPlan:
    """What one commit will do, found out without changing the state.

    Making the plan raises what the codec refuses, naming its path; `carry_out` cannot be refused.
    """

    __slots__ = (
        "_appends",
        "_codec",
        "_converter",
        "_images",
        "_removed",
        "_root",
        "_swaps",
        "_watches",
        "ops",
    )

    def __init__(self, root: TrackedDict, journal: Journal, codec: Codec, watches: Mapping[WatchKey, Watch]) -> None:
        self._root = root
        self._codec = codec
        self._converter = Converter(journal, codec)
        self._watches = dict(watches)
        self._images: dict[Path, None] = {}
        self._appends: list[ListChanges] = []
        self._swaps: list[tuple[TrackedDict | TrackedList, Any, Any]] = []
        self._removed: dict[int, Tracked] = {}
        self.ops: list[StateOp] = []
        self._find_removed(journal.changes)
        for changes in journal.changes:
            self._plan_changes(changes)
        if self._watches:
            self._renew_watches()
        self._watches |= watches_by_slot(self._converter.watches)
        self._plan_images()

    def carry_out(self) -> Watches:
        """Make the containers of this step part of the state; returns the leaves to watch from now on."""
        for holder, slot, value in self._swaps:
            if isinstance(holder, TrackedDict):
                dict.__setitem__(holder, slot, value)
            else:
                list.__setitem__(holder, slot, value)
        for container in self._removed.values():
            container.place = None
        return self._watches

    def _find_removed(self, all_changes: Iterable[Changes]) -> None:
        # What stood in a removed container when the step began went with it, wherever the step put it since:
        # the walk follows the tree of the begin, in which every container stands in one place.
        waiting = [value for changes in all_changes for value in changes.lost()]
        while waiting:
            value = waiting.pop()
            if type(value) is tuple:
                waiting.extend(value)
            elif type(value) is TrackedDict:
                self._removed[id(value)] = value
                waiting.extend((value if value.changes is None else value.changes.original()).values())
            elif type(value) is TrackedList:
                self._removed[id(value)] = value
                waiting.extend(value if value.changes is None else value.changes.original())
            elif type(value) is TrackedSet:
                self._removed[id(value)] = value

    def _plan_changes(self, changes: Changes) -> None:
        if type(changes) is DictChanges and id(changes.owner) not in self._removed:
            self._plan_dict(changes)
        elif type(changes) is ListChanges and id(changes.owner) not in self._removed:
            self._plan_list(changes)
        elif type(changes) is SetChanges and id(changes.owner) not in self._removed:
            self._plan_set(changes)

    def _plan_dict(self, changes: DictChanges) -> None:
        owner, path = changes.owner, changes.place.path
        deleted = () if changes.deletions is None else tuple(changes.deletions.values)
        changed = {key: old for key, old in changes.before.items() if owner[key] is not old}
        for key in (*deleted, *changed):
            self._watches.pop((id(owner), key), None)
        trail = self._trail(changes)
        for key, old in changed.items():
            if old is ABSENT:
                self._converter.check_key(key, trail)
            self._enter(owner, key, (*trail, key))
        if not changes.place.is_nested:
            self.ops.extend(("del", (*path, key)) for key in deleted)
            self.ops.extend(("set", (*path, key), self._plain(owner[key])) for key in changed)
        elif deleted or changed:
            self._images[path] = None

    def _plan_list(self, changes: ListChanges) -> None:
        owner, image = changes.owner, changes.image
        if self._watches:
            for value in changes.lost():
                self._watches.pop((id(owner), id(value)), None)
        trail = self._trail(changes)
        known = set() if image is None else set(map(id, image))
        for index in range(changes.length if image is None else 0, len(owner)):
            # Only the first of two equal references stays; the second becomes a copy.
            if id(owner[index]) in known and not is_flat(owner[index]):
                known.discard(id(owner[index]))
            else:
                self._enter(owner, index, (*trail, index))
        if changes.is_unchanged():
            return
        if image is None and not changes.place.is_nested:
            self._appends.append(changes)
        else:
            self._images[changes.place.path] = None

    def _plan_set(self, changes: SetChanges) -> None:
        trail = self._trail(changes)
        for element in changes.owner:
            if element not in changes.image:
                self._converter.check_element(element, trail)
        self._images[changes.place.path] = None

    def _enter(self, owner: TrackedDict | TrackedList, slot: Any, trail: Path) -> None:
        value = owner[slot]
        if not is_flat(value):
            kept = self._converter.enter(value, owner, slot, trail)
            if kept is not value:
                self._swaps.append((owner, slot, kept))

    def _renew_watches(self) -> None:
        for key, watch in list(self._watches.items()):
            place = watch.holder.place
            if place is None or id(watch.holder) in self._removed:
                del self._watches[key]
                continue
            leaves = [(leaf, self._encode(leaf)) for leaf, _ in watch.leaves]
            if any(new != old for (_, new), (_, old) in zip(leaves, watch.leaves, strict=True)):
                self._watches[key] = Watch(watch.holder, watch.slot, leaves)
                in_list = place.is_nested or type(watch.holder) is TrackedList
                self._images[place.path if in_list else (*place.path, watch.slot)] = None

    def _encode(self, leaf: Any) -> bytes:
        try:
            return self._codec.encode(leaf)
        except Exception:
            # Whatever the codec says, its validator says it with the path.
            self._codec.accept(leaf, path_text(trail_to(self._root, leaf)))
            raise

    def _plan_images(self) -> None:
        for changes in self._appends:
            if changes.place.path not in self._images:
                tail = changes.owner[changes.length :]
                self.ops.append(("append", changes.place.path, self._plain(tail)))
        for path in self._images:
            value: Any = self._root
            for key in path:
                value = value[key]
            self.ops.append(("set", path, self._plain(value)))

    def _plain(self, value: Any) -> Any:
        return plain_copy(value, self._codec.copy)

    def _trail(self, changes: DictChanges | ListChanges | SetChanges) -> Path:
        if changes.place.is_nested:
            return trail_to(self._root, changes.owner)
        return changes.place.path


def trail_to(root: TrackedDict, target: object) -> Path:
    """The keys and indices that lead from `root` to `target`; () if nothing does."""
    waiting: list[tuple[Path, Any]] = [((), root)]
    seen = set()
    while waiting:
        path, value = waiting.pop()
        if value is target:
            return path
        if id(value) in seen:
            continue
        seen.add(id(value))
        plain = plain_type(type(value))
        if plain is dict:
            inner = value.items()
        elif plain is list or plain is tuple:
            inner = enumerate(value)
        else:
            continue
        waiting.extend([((*path, key), item) for key, item in inner if type(item) not in SCALARS])
    return ()
