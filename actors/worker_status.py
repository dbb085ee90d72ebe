"""Where a pool's workers and its monitor stand: two tables of moves, and nothing else."""

from enum import Enum

__all__ = ["MONITOR_MOVES", "WORKER_MOVES", "MonitorStatus", "WorkerStatus"]


class WorkerStatus(Enum):
    """What a worker does between and in its turns."""

    ACTIVE = "active"
    """At a turn, or on its way to one: somebody has woken it, or it looks into the queue."""
    IDLE = "idle"
    """Parked on its baton, which is released by the one who moves it."""
    ENDED = "ended"
    """Has left its loop for good."""


WORKER_MOVES: dict[WorkerStatus, frozenset[WorkerStatus]] = {
    WorkerStatus.ACTIVE: frozenset({WorkerStatus.IDLE, WorkerStatus.ENDED}),
    WorkerStatus.IDLE: frozenset({WorkerStatus.ACTIVE}),
    WorkerStatus.ENDED: frozenset(),
}
"""From each state, the states that a worker may move to; it is made active."""


class MonitorStatus(Enum):
    """What the monitor does while the workers work."""

    LOOKING = "looking"
    """Looks at the queue, or waits for the next look."""
    PARKED = "parked"
    """Waits, for good, for the one who moves it and releases its baton."""
    ENDED = "ended"
    """Has left its loop for good."""


MONITOR_MOVES: dict[MonitorStatus, frozenset[MonitorStatus]] = {
    MonitorStatus.LOOKING: frozenset({MonitorStatus.PARKED, MonitorStatus.ENDED}),
    MonitorStatus.PARKED: frozenset({MonitorStatus.LOOKING}),
    MonitorStatus.ENDED: frozenset(),
}
"""From each state, the states that the monitor may move to; it is made looking."""
