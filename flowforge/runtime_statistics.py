"""What a runtime holds at one moment."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from actors.dispatcher import Dispatcher
from flowforge._engine.control import StillRunning, still_running
from flowforge.at_rest import last_number
from flowforge.job_state import JobState
from flowforge.stores.store import Log

__all__ = ["RuntimeStatistics", "account_of"]


@dataclass(frozen=True, slots=True)
class RuntimeStatistics:
    """A frozen account of a runtime."""

    jobs: dict[str, int]
    """How many of the jobs it knows have each status."""
    steps_still_running: tuple[StillRunning, ...]
    """Abandoned steps whose threads have not come back."""
    dispatcher: Any
    """The dispatcher's own figures; None if it has none."""
    unsafe_records: int
    """How many records have been written that a crash could still take; 0 without a store."""


def account_of(jobs: Sequence[JobState], dispatcher: Dispatcher, log: Log | None) -> RuntimeStatistics:
    """The account of a runtime that knows these jobs; `log` is its store."""
    stuck = [s for job in jobs if job.live is not None and job.live.stuck for s in still_running(job.live)]
    statistics = getattr(dispatcher, "statistics", None)
    counts = Counter(job.status.value for job in jobs)
    figures = None if statistics is None else statistics()
    return RuntimeStatistics(dict(counts), tuple(stuck), figures, _unsafe_records(jobs, log))


def _unsafe_records(jobs: Sequence[JobState], log: Log | None) -> int:
    if log is None:
        return 0
    written = max(map(last_number, jobs), default=0)
    return max(0, written - log.safe)
