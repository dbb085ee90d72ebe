"""The state of one routine: data that a step changes freely and that a failed step puts back.

What this module guarantees:

- between `begin` and `commit` or `rollback`, and only then, the state can be changed, by the step's thread;
- `rollback` restores every value, list, set and the order of keys; a refused `commit` has changed nothing;
- the delta that `commit` returns turns a plain tree of the state before into one of the state after;
- the cost of a step follows what it changes, not the size of the state.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Final, Self

from flowforge._engine.journal import Journal
from flowforge._engine.tracked_commit import CommitPlan, flat_ops
from flowforge._engine.tracked_convert import Codec, Converter, flat_root
from flowforge._engine.tracked_dict import TrackedDict
from flowforge._engine.tracked_ops import StateOp
from flowforge._engine.tracked_plain import plain_copy
from flowforge._engine.tracked_watch import Watch, WatchKey, restore_leaves, watches_by_slot

__all__ = ["TrackedState"]

# Most states have no such leaves, and there may be many states.
_NONE: Final[Mapping[WatchKey, Watch]] = MappingProxyType({})


class TrackedState:
    """One tree of state: `root` is the dict that handlers see.

    `accept(value, path)` is asked about each leaf that is not a plain scalar and raises if it cannot be kept.
    `encode` and `decode` serve leaves that can be changed in place: the state keeps a copy of such a leaf and
    compares its bytes at each commit. Dict keys and elements of sets are taken to be immutable.
    """

    __slots__ = ("_codec", "_watches", "journal", "root")

    def __init__(
        self,
        initial: Mapping[str, object],
        *,
        accept: Callable[[Any, str], object],
        encode: Callable[[Any], bytes],
        decode: Callable[[bytes], Any],
    ) -> None:
        self._begin(initial, Codec(accept, encode, decode))

    @classmethod
    def kept_by(cls, codec: Codec, initial: Mapping[str, object]) -> Self:
        """A state that begins as `initial`, with a codec that may be that of other states too."""
        state = cls.__new__(cls)
        state._begin(initial, codec)  # noqa: SLF001 - an instance of its own class
        return state

    def _begin(self, initial: Mapping[str, object], codec: Codec) -> None:
        self.journal = Journal()
        """What the open step has changed."""
        self._codec = codec
        self._watches: Mapping[WatchKey, Watch] = _NONE
        root = flat_root(initial, self.journal)
        if root is None:
            converter = Converter(self.journal, self._codec)
            root = converter.root(dict(initial))
            if converter.watches:
                self._watches = watches_by_slot(converter.watches)
        self.root: TrackedDict = root

    @property
    def has_watches(self) -> bool:
        """Whether the state holds values, other than containers, that can change in place."""
        return bool(self._watches)

    def begin(self) -> None:
        """Open a step: from now on the state may be changed."""
        assert not self.journal.is_open, "a step is open already"
        self.journal.is_open = True

    def commit(self) -> tuple[StateOp, ...]:
        """End the step and return what it changed, detached from the state; () if it changed nothing.

        Raises what `accept` raises, StateContainsItselfError, StateTooDeepError or InvalidStateKeyError for a
        value that cannot be kept; the step is then still open and can only be rolled back.
        """
        journal = self.journal
        assert journal.is_open, "no step is open"
        if not journal.changes and not self._watches:
            journal.is_open = False
            return ()
        ops = None if self._watches else flat_ops(journal.changes)
        if ops is None:
            plan = CommitPlan(self.root, journal, self._codec, self._watches)
            self._watches = plan.carry_out()
            ops = plan.ops
        journal.close()
        return tuple(ops)

    def is_changed_outside(self) -> bool:
        """Whether a value that can change in place was changed since the last commit, though no step is open."""
        return any(self._codec.encode(leaf) != data for watch in self._watches.values() for leaf, data in watch.leaves)

    def rollback(self) -> None:
        """End the step and put back everything it changed."""
        journal = self.journal
        assert journal.is_open, "no step is open"
        for changes in reversed(journal.changes):
            changes.undo()
        journal.close()
        if self._watches:
            self._watches = restore_leaves(self._watches.values(), self._codec.decode)

    def plain(self) -> dict[Any, Any]:
        """A deep copy made of plain containers; later changes of either do not reach the other."""
        return {key: plain_copy(value, self._codec.copy) for key, value in self.root.items()}
