"""Where a mailbox stands between its owner's turns: a table of moves, and nothing else."""

from enum import Enum

__all__ = ["MOVES", "MailboxStatus", "may_move"]


class MailboxStatus(Enum):
    """Scheduling state of one mailbox."""

    IDLE = "idle"
    """No work that may run; not in the ready queue."""
    READY = "ready"
    """In the ready queue, exactly once."""
    RUNNING = "running"
    """Its owner has a turn on some thread."""
    AWAITING = "awaiting"
    """Its owner is busy without holding a thread, until it is resumed."""
    CLOSED = "closed"
    """Accepts and hands out nothing any more."""

    # Members are single objects, and Enum's own hash runs Python code at every move.
    __hash__ = object.__hash__


MOVES: dict[MailboxStatus, frozenset[MailboxStatus]] = {
    MailboxStatus.IDLE: frozenset({MailboxStatus.READY, MailboxStatus.CLOSED}),
    MailboxStatus.READY: frozenset({MailboxStatus.RUNNING, MailboxStatus.CLOSED}),
    MailboxStatus.RUNNING: frozenset(
        {MailboxStatus.IDLE, MailboxStatus.READY, MailboxStatus.AWAITING, MailboxStatus.CLOSED}
    ),
    MailboxStatus.AWAITING: frozenset({MailboxStatus.READY, MailboxStatus.CLOSED}),
    MailboxStatus.CLOSED: frozenset(),
}
"""From each state, the states that it may move to."""


def may_move(old: MailboxStatus, new: MailboxStatus) -> bool:
    """Whether a mailbox in `old` may be moved to `new`."""
    return new in MOVES[old]
