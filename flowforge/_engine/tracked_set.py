"""The set of a routine's state: a real set that remembers what it was before the running step."""

from __future__ import annotations

from collections.abc import Iterable
from collections.abc import Set as AbstractSet
from typing import Any, ClassVar, Self

from flowforge._engine.journal import Place

__all__ = ["SetChanges", "TrackedSet"]


class TrackedSet(set[Any]):
    """A set that can be changed only inside a step, and is put back if the step fails.

    The first change of a step copies the set. Reads and comparison are those of set, and it prints as one;
    copies of every kind are plain. Once it has left the state it is an ordinary set.
    """

    __slots__ = ("changes", "place")
    __flowforge_plain__: ClassVar[type] = set

    def __init__(self, content: Iterable[Any] = (), /, place: Place | None = None) -> None:
        super().__init__(content)
        self.place = place
        self.changes: SetChanges | None = None

    def __repr__(self) -> str:
        return repr(set(self))

    def __reduce_ex__(self, protocol: Any) -> tuple[Any, ...]:
        return set, (set(self),)

    def add(self, element: Any, /) -> None:
        """Like set.add."""
        self._keep_image(unless=element in self)
        set.add(self, element)

    def discard(self, element: Any, /) -> None:
        """Like set.discard."""
        self._keep_image(unless=element not in self)
        set.discard(self, element)

    def remove(self, element: Any, /) -> None:
        """Like set.remove."""
        self._keep_image(unless=element not in self)
        set.remove(self, element)

    def pop(self) -> Any:
        """Like set.pop."""
        self._keep_image()
        return set.pop(self)

    def clear(self) -> None:
        """Like set.clear."""
        self._keep_image()
        set.clear(self)

    def update(self, *others: Iterable[Any]) -> None:
        """Like set.update."""
        self._keep_image()
        set.update(self, *others)

    def intersection_update(self, *others: Iterable[Any]) -> None:
        """Like set.intersection_update."""
        self._keep_image()
        set.intersection_update(self, *others)

    def difference_update(self, *others: Iterable[Any]) -> None:
        """Like set.difference_update."""
        self._keep_image()
        set.difference_update(self, *others)

    def symmetric_difference_update(self, other: Iterable[Any], /) -> None:
        """Like set.symmetric_difference_update."""
        self._keep_image()
        set.symmetric_difference_update(self, other)

    def __ior__(self, other: AbstractSet[Any]) -> Self:  # type: ignore[misc]
        self._keep_image()
        return set.__ior__(self, other)

    def __iand__(self, other: AbstractSet[Any]) -> Self:  # type: ignore[misc]
        self._keep_image()
        return set.__iand__(self, other)

    def __isub__(self, other: AbstractSet[Any]) -> Self:  # type: ignore[misc]
        self._keep_image()
        return set.__isub__(self, other)

    def __ixor__(self, other: AbstractSet[Any]) -> Self:  # type: ignore[misc]
        self._keep_image()
        return set.__ixor__(self, other)

    def _keep_image(self, *, unless: bool = False) -> None:
        place = self.place
        if place is None or self.changes is not None:
            return
        place.require_step()
        if not unless:
            self.changes = SetChanges(self, place)
            place.journal.changes.append(self.changes)


class SetChanges:
    """What one set was when the step began: `image`."""

    __slots__ = ("image", "owner", "place")

    def __init__(self, owner: TrackedSet, place: Place) -> None:
        self.owner = owner
        self.place = place
        self.image = set(owner)

    def original(self) -> set[Any]:
        """The content at the begin of the step."""
        return self.image

    def lost(self) -> list[Any]:
        """Nothing: no container of the state stands in a set."""
        return []

    def undo(self) -> None:
        """Put the set back to what it was when the step began."""
        set.clear(self.owner)
        set.update(self.owner, self.image)

    def close(self) -> None:
        """Let the set forget these changes."""
        self.owner.changes = None
