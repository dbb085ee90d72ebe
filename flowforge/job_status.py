"""Where a job stands: a table of allowed moves, and nothing else."""

from collections.abc import Mapping
from enum import StrEnum

__all__ = ["ALLOWED_MOVES", "FINISHED", "RESTING", "JobStatus", "may_move"]


class JobStatus(StrEnum):
    """Status of one job; each is equal to its text, and prints as it."""

    PENDING = "pending"
    """Built or loaded; nothing has run yet."""
    RUNNING = "running"
    """Its messages are worked on."""
    PAUSED = "paused"
    """At rest with all its queued messages, until it is resumed."""
    COMPLETED = "completed"
    """Nothing is left to do."""
    FAILED = "failed"
    """Stopped by an error or a timeout; its messages wait for a resume."""
    CANCELLED = "cancelled"
    """Given up on request, for good."""


ALLOWED_MOVES: Mapping[JobStatus, frozenset[JobStatus]] = {
    JobStatus.PENDING: frozenset({JobStatus.RUNNING, JobStatus.PAUSED, JobStatus.FAILED, JobStatus.CANCELLED}),
    JobStatus.RUNNING: frozenset({JobStatus.PAUSED, JobStatus.COMPLETED, JobStatus.FAILED, JobStatus.CANCELLED}),
    JobStatus.PAUSED: frozenset({JobStatus.RUNNING, JobStatus.FAILED, JobStatus.CANCELLED}),
    # Only a requeued dead letter gives a completed job work again.
    JobStatus.COMPLETED: frozenset({JobStatus.RUNNING}),
    JobStatus.FAILED: frozenset({JobStatus.RUNNING}),
    JobStatus.CANCELLED: frozenset(),
}
"""From each status, those that may follow it."""

RESTING = frozenset({JobStatus.PAUSED, JobStatus.COMPLETED, JobStatus.FAILED, JobStatus.CANCELLED})
"""Where nothing runs: waiting for a job ends here."""

FINISHED = frozenset({JobStatus.COMPLETED, JobStatus.FAILED, JobStatus.CANCELLED})
"""Where a job stays unless someone asks for more."""


def may_move(old: JobStatus, new: JobStatus) -> bool:
    """Whether a job that is `old` may become `new`."""
    return new in ALLOWED_MOVES[old]
