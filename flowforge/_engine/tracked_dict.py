"""The dict of a routine's state: a real dict that remembers what the running step changed in it."""

from __future__ import annotations

from typing import Any, ClassVar, Self

from flowforge._engine.journal import ABSENT, Place

__all__ = ["Deletions", "DictChanges", "TrackedDict"]


class TrackedDict(dict[Any, Any]):
    """A dict that can be changed only inside a step, and is put back if the step fails.

    Reads, comparison, repr and json are those of dict; copies of every kind are plain. Once it has left the
    state (`place` is None) it is an ordinary dict.
    """

    __slots__ = ("changes", "place")
    __flowforge_plain__: ClassVar[type] = dict

    def __init__(self, content: Any = (), /, place: Place | None = None) -> None:
        super().__init__(content)
        self.place = place
        self.changes: DictChanges | None = None

    def __setitem__(self, key: Any, value: Any) -> None:
        changes = self.changes or self._first_change()
        if changes is not None:
            old = self.get(key, ABSENT)
            if old is value:
                return
            if key not in changes.before:
                changes.before[key] = old
        dict.__setitem__(self, key, value)

    def __delitem__(self, key: Any) -> None:
        if key in self:
            self._before_delete(key)
        dict.__delitem__(self, key)

    def pop(self, key: Any, default: Any = ABSENT, /) -> Any:
        """Like dict.pop."""
        if key in self:
            self._before_delete(key)
            return dict.pop(self, key)
        if default is ABSENT:
            raise KeyError(key)
        return default

    def popitem(self) -> tuple[Any, Any]:
        """Like dict.popitem."""
        if self:
            self._before_delete(next(reversed(self)))
        return dict.popitem(self)

    def clear(self) -> None:
        """Like dict.clear."""
        for key in reversed(list(self)):
            del self[key]

    def update(self, *args: Any, **kwargs: Any) -> None:
        """Like dict.update, but an argument that is no mapping and no pairs changes nothing."""
        for key, value in dict(*args, **kwargs).items():
            self[key] = value

    def setdefault(self, key: Any, default: Any = None, /) -> Any:
        """Like dict.setdefault."""
        if key not in self:
            self[key] = default
        return self[key]

    def __ior__(self, other: Any) -> Self:  # type: ignore[misc]
        self.update(other)
        return self

    def __reduce_ex__(self, protocol: Any) -> tuple[Any, ...]:
        return dict, (dict(self),)

    def _first_change(self) -> DictChanges | None:
        place = self.place
        if place is None:
            return None
        if not place.journal.is_open:
            place.require_step()
        changes = self.changes = DictChanges(self, place)
        place.journal.changes.append(changes)
        return changes

    def _before_delete(self, key: Any) -> None:
        changes = self.changes or self._first_change()
        if changes is not None:
            changes.before_delete(key)


class DictChanges:
    """What one dict was when the step began.

    `before` has the old value, or ABSENT, of each key that was set and is still there.
    """

    __slots__ = ("before", "deletions", "owner", "place")

    def __init__(self, owner: TrackedDict, place: Place) -> None:
        self.owner = owner
        self.place = place
        self.before: dict[Any, Any] = {}
        self.deletions: Deletions | None = None

    def before_delete(self, key: Any) -> None:
        """Note that `key`, which is there, is about to be deleted."""
        before = self.before
        if before.get(key) is ABSENT:
            del before[key]
            return
        deletions = self.deletions
        if deletions is None:
            deletions = self.deletions = Deletions()
        if deletions.image is None:
            self._keep_order(deletions, key)
        deletions.values[key] = before.pop(key) if key in before else self.owner[key]

    def _keep_order(self, deletions: Deletions, key: Any) -> None:
        # The stored key goes into the lists, not the caller's: 1 may be deleted as True.
        last = next(reversed(self.owner))
        if last == key:
            deletions.back.append(last)
            return
        first = next(iter(self.owner))
        if first == key:
            deletions.front.append(first)
        else:
            deletions.image = self.original()

    def original(self) -> dict[Any, Any]:
        """The content at the begin of the step, in its order."""
        deletions = self.deletions or Deletions()
        if deletions.image is not None:
            return deletions.image
        original = {key: deletions.values[key] for key in deletions.front}
        for key, value in self.owner.items():
            old = self.before.get(key, value)
            if old is not ABSENT:
                original[key] = old
        for key in reversed(deletions.back):
            original[key] = deletions.values[key]
        return original

    def lost(self) -> list[Any]:
        """The values of the begin of the step that no longer stand where they stood."""
        lost = [old for key, old in self.before.items() if old is not ABSENT and self.owner[key] is not old]
        if self.deletions is not None:
            lost.extend(self.deletions.values.values())
        return lost

    def undo(self) -> None:
        """Put the dict back to what it was when the step began, key order included."""
        owner = self.owner
        deletions = self.deletions
        if deletions is not None and (deletions.front or deletions.image is not None):
            original = self.original()
            dict.clear(owner)
            dict.update(owner, original)
            return
        for key, old in self.before.items():
            if old is ABSENT:
                dict.__delitem__(owner, key)
            else:
                dict.__setitem__(owner, key, old)
        if deletions is not None:
            for key in reversed(deletions.back):
                dict.__setitem__(owner, key, deletions.values[key])

    def close(self) -> None:
        """Let the dict forget these changes."""
        self.owner.changes = None


class Deletions:
    """The keys of one dict that existed before the step and were deleted in it, with their old values.

    Keys deleted at either end keep their order in `front` and `back`; the first deletion in the middle takes
    `image`, the whole dict as it was.
    """

    __slots__ = ("back", "front", "image", "values")

    def __init__(self) -> None:
        self.values: dict[Any, Any] = {}
        self.front: list[Any] = []
        self.back: list[Any] = []
        self.image: dict[Any, Any] | None = None
