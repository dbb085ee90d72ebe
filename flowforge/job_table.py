"""The jobs of one runtime: which there are, which run, and which finished ones are still known.

Guarantees:

- An id is taken from the moment it is reserved until it is released or its job is let go.
- `idle` is set exactly while no job runs.
- Its lock guards all of it, is taken last, and no user code runs under it.
"""

from __future__ import annotations

from threading import Event, Lock
from typing import TYPE_CHECKING

from flowforge.job_errors import DuplicateJobError
from flowforge.job_status import FINISHED

if TYPE_CHECKING:
    from flowforge.job_state import JobState

__all__ = ["JobTable"]


class JobTable:
    """Jobs by id, oldest first; every method may be called from any thread."""

    def __init__(self, max_finished: int) -> None:
        self.idle = Event()
        self.idle.set()
        self._lock = Lock()
        self._max_finished = max_finished
        self._jobs: dict[str, JobState] = {}
        self._finished: dict[str, None] = {}
        self._running: set[str] = set()

    def reserve(self, job: JobState) -> None:
        """Enter a job that is to be started or resumed; DuplicateJobError if another has its id.

        A job that was loaded from a file takes the place of the one that was saved, unless that runs.
        """
        with self._lock:
            known = self._jobs.get(job.job_id, job)
            if known is not job and (job.job_id in self._running or not job.data.position):
                raise DuplicateJobError(job.job_id)
            self._jobs[job.job_id] = job

    def release(self, job: JobState) -> None:
        """Strike off a job that was reserved and will not be started."""
        with self._lock:
            if self._jobs.get(job.job_id) is job and job.live is None:
                del self._jobs[job.job_id]

    def note_start(self, job: JobState) -> None:
        """A reserved job runs."""
        with self._lock:
            self._finished.pop(job.job_id, None)
            self._running.add(job.job_id)
            self.idle.clear()

    def note_rest(self, job: JobState) -> None:
        """A job runs no longer; if too many have finished, the oldest is let go."""
        is_finished = job.status in FINISHED
        with self._lock:
            self._running.discard(job.job_id)
            if not self._running:
                self.idle.set()
            if is_finished:
                self._finished[job.job_id] = None
                if len(self._finished) > self._max_finished:
                    oldest = next(iter(self._finished))
                    del self._finished[oldest]
                    self._jobs.pop(oldest, None)

    def get(self, job_id: str) -> JobState | None:
        """The job of that id, or None."""
        with self._lock:
            return self._jobs.get(job_id)

    def all(self) -> list[JobState]:
        """Every job that is known."""
        with self._lock:
            return list(self._jobs.values())

    def forget_lock(self) -> None:
        """In a forked child: the lock may have been held by a thread that is not there."""
        self._lock = Lock()
