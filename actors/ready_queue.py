"""Who is ready for a turn: round robin over the groups, FIFO inside each.

Guarantees:

- Between two turns of one group, every other group with ready actors gets one.
- Inside a group, actors come out in the order in which they were pushed.
- Push and pop cost the same for any number of groups and actors.
- The caller guards it with a lock of his own; it has none.
"""

from collections import deque

from actors.dispatcher import Group, Schedulable

__all__ = ["ReadyQueue"]


class ReadyQueue:
    """The ready actors of one dispatcher; a group may be used with one queue only."""

    __slots__ = ("_groups",)

    def __init__(self) -> None:
        self._groups: deque[Group] = deque()

    def __bool__(self) -> bool:
        """Whether anybody is ready."""
        return bool(self._groups)

    def __len__(self) -> int:
        """How many actors are ready; costs a look at each group."""
        return sum(len(group.ready) for group in self._groups)

    def push(self, actor: Schedulable) -> None:
        """Put `actor` at the tail of its group, and the group at the tail of the round if it was empty."""
        group = actor.group
        group.ready.append(actor)
        if not group.is_queued:
            group.is_queued = True
            self._groups.append(group)

    def pop(self) -> Schedulable | None:
        """Take the first actor of the group whose turn it is; None when nobody is ready."""
        groups = self._groups
        if not groups:
            return None
        group = groups.popleft()
        actor = group.ready.popleft()
        if group.ready:
            groups.append(group)
        else:
            group.is_queued = False
        return actor

    def clear(self) -> None:
        """Forget everybody."""
        for group in self._groups:
            group.ready.clear()
            group.is_queued = False
        self._groups.clear()
