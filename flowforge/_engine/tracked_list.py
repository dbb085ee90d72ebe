"""The list of a routine's state: a real list that remembers what the running step changed in it."""

from __future__ import annotations

from collections.abc import Iterable
from operator import is_
from typing import Any, ClassVar, Self, SupportsIndex

from flowforge._engine.journal import Place

__all__ = ["ListChanges", "TrackedList"]


class TrackedList(list[Any]):
    """A list that can be changed only inside a step, and is put back if the step fails.

    Appending costs the same however long the list is; any other change copies the list once per step. Reads,
    comparison, repr and json are those of list; copies of every kind are plain. Once it has left the state it
    is an ordinary list.
    """

    __slots__ = ("changes", "place")
    __flowforge_plain__: ClassVar[type] = list

    def __init__(self, content: Iterable[Any] = (), /, place: Place | None = None) -> None:
        super().__init__(content)
        self.place = place
        self.changes: ListChanges | None = None

    def append(self, value: Any, /) -> None:
        """Like list.append."""
        if self.changes is None:
            self._first_change()
        list.append(self, value)

    def extend(self, values: Iterable[Any], /) -> None:
        """Like list.extend."""
        if self.changes is None:
            self._first_change()
        list.extend(self, values)

    def __iadd__(self, values: Iterable[Any]) -> Self:  # type: ignore[misc]
        self.extend(values)
        return self

    def insert(self, index: SupportsIndex, value: Any, /) -> None:
        """Like list.insert."""
        self._keep_image()
        list.insert(self, index, value)

    def pop(self, index: SupportsIndex = -1, /) -> Any:
        """Like list.pop."""
        self._keep_image()
        return list.pop(self, index)

    def remove(self, value: Any, /) -> None:
        """Like list.remove."""
        self._keep_image()
        list.remove(self, value)

    def clear(self) -> None:
        """Like list.clear."""
        self._keep_image()
        list.clear(self)

    def sort(self, *, key: Any = None, reverse: bool = False) -> None:
        """Like list.sort."""
        self._keep_image()
        list.sort(self, key=key, reverse=reverse)

    def reverse(self) -> None:
        """Like list.reverse."""
        self._keep_image()
        list.reverse(self)

    def __setitem__(self, index: SupportsIndex | slice, value: Any) -> None:
        self._keep_image()
        list.__setitem__(self, index, value)

    def __delitem__(self, index: SupportsIndex | slice) -> None:
        self._keep_image()
        list.__delitem__(self, index)

    def __imul__(self, count: SupportsIndex) -> Self:
        self._keep_image()
        list.__imul__(self, count)
        return self

    def __reduce_ex__(self, protocol: Any) -> tuple[Any, ...]:
        return list, (list(self),)

    def _first_change(self) -> ListChanges | None:
        place = self.place
        if place is None:
            return None
        place.require_step()
        changes = self.changes = ListChanges(self, place)
        place.journal.changes.append(changes)
        return changes

    def _keep_image(self) -> None:
        changes = self.changes or self._first_change()
        if changes is not None and changes.image is None:
            changes.image = self[: changes.length]


class ListChanges:
    """What one list was when the step began: its first `length` items, or `image` if it did not only grow."""

    __slots__ = ("image", "length", "owner", "place")

    def __init__(self, owner: TrackedList, place: Place) -> None:
        self.owner = owner
        self.place = place
        self.length = len(owner)
        self.image: list[Any] | None = None

    def original(self) -> list[Any]:
        """The content at the begin of the step."""
        return self.owner[: self.length] if self.image is None else self.image

    def lost(self) -> list[Any]:
        """The values of the begin of the step that are no longer in the list."""
        if self.image is None:
            return []
        here = set(map(id, self.owner))
        return [value for value in self.image if id(value) not in here]

    def is_unchanged(self) -> bool:
        """Whether the list holds the very items it held when the step began."""
        if self.image is None:
            return len(self.owner) == self.length
        return len(self.owner) == len(self.image) and all(map(is_, self.owner, self.image))

    def undo(self) -> None:
        """Put the list back to what it was when the step began."""
        if self.image is None:
            list.__delitem__(self.owner, slice(self.length, None))
        else:
            list.__setitem__(self.owner, slice(None), self.image)

    def close(self) -> None:
        """Let the list forget these changes."""
        self.owner.changes = None
