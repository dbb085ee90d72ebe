"""The jobs of one runtime: which there are, which run, and which finished ones are still known.

Guarantees:

- An id is taken from the moment it is reserved until it is released or its job is let go.
- `idle` is set exactly while no job runs; each time that one begins then, it is another event.
- Its lock guards all of it, is taken last, and no user code runs under it but a signal handler's, so it is reentrant.
"""

from __future__ import annotations

from threading import RLock
from typing import TYPE_CHECKING
from weakref import WeakValueDictionary

from actors.lazy_event import LazyEvent
from flowforge.job_errors import DuplicateJobError, JobFinishedError, RuntimeClosedError, UnknownJobError
from flowforge.job_status import FINISHED

if TYPE_CHECKING:
    from flowforge._engine.job import Job
    from flowforge.job_state import JobState

__all__ = ["JobTable"]


class JobTable:
    """Jobs by id, oldest first; every method may be called from any thread."""

    def __init__(self, max_finished: int) -> None:
        self.idle = LazyEvent()
        self.idle.set()
        self._lock = RLock()
        self._max_finished = max_finished
        self._jobs: dict[str, JobState] = {}
        self._finished: dict[str, None] = {}
        self._starting: dict[str, tuple[JobState | None, bool]] = {}
        """What was known under each id before it was reserved, and whether it counted as finished."""
        self._running: dict[str, Job] = {}
        self._held: WeakValueDictionary[str, JobState] = WeakValueDictionary()
        """What was let go, as long as somebody still holds it: a job is one object."""
        self._is_closed = False

    def close(self) -> None:
        """Refuse all jobs from now on."""
        with self._lock:
            self._is_closed = True

    def reserve(self, job: JobState, *, is_left: bool = False) -> None:
        """Claim a job's id, to start or resume it; until `note_start` or `release` nobody else can.

        A job that was loaded from a file takes the place of the one that was saved, unless that runs.
        RuntimeClosedError after `close`, unless it may be left for the next start. DuplicateJobError if another job has
        the id, JobFinishedError if this one is being started or runs, UnknownJobError if its store has let it go.
        """
        with self._lock:
            if not is_left:
                self._check_open(job)
            if job.is_let_go:
                raise UnknownJobError(job.job_id)
            before = self._jobs.get(job.job_id)
            known = job if before is None else before
            is_taken = job.job_id in self._running or job.job_id in self._starting
            if known is job and is_taken:
                raise JobFinishedError(job.job_id, "running", "be resumed", "A job that runs goes on by itself.")
            if known is not job and (is_taken or not job.data.position):
                raise DuplicateJobError(job.job_id)
            job_id = job.job_id
            # Both without a call, so that whoever is interrupted can release it.
            self._starting[job_id] = before, job_id in self._finished
            self._jobs[job_id] = job
            self._finished.pop(job_id, None)

    def add_resting(self, job: JobState) -> None:
        """Know a job that was found in the store and does not run; nothing happens if its id is known."""
        with self._lock:
            if job.job_id not in self._jobs:
                self._jobs[job.job_id] = job
                if job.committed_status in FINISHED:
                    self._let_go_of_oldest(job)

    def withdraw(self, job_id: str) -> bool:
        """Forget a job that its store is to let go; False if it runs or is being started."""
        with self._lock:
            if job_id in self._running or job_id in self._starting:
                return False
            self._finished.pop(job_id, None)
            self._held.pop(job_id, None)
            job = self._jobs.pop(job_id, None)
            if job is not None:
                job.is_let_go = True
            return True

    def put_back(self, job: JobState) -> None:
        """Know a job again that was withdrawn, and stays."""
        with self._lock:
            job.is_let_go = False
            self.add_resting(job)

    def release(self, job: JobState) -> None:
        """Give back the claim on a job that will not be started, and know under its id what was known before."""
        with self._lock:
            if self._jobs.get(job.job_id) is not job or job.job_id not in self._starting:
                return
            before, was_finished = self._starting.pop(job.job_id)
            if before is None:
                del self._jobs[job.job_id]
            else:
                self._jobs[job.job_id] = before
                if was_finished:
                    self._let_go_of_oldest(before)

    def note_start(self, job: JobState, run: Job) -> None:
        """A reserved job runs; RuntimeClosedError if the runtime was shut down in between."""
        with self._lock:
            self._check_open(job)
            self._starting.pop(job.job_id, None)
            self._finished.pop(job.job_id, None)
            self._running[job.job_id] = run
            if self.idle.is_set():
                # A new one: `clear` has a lock that is not for handlers of signals that interrupt it.
                self.idle = LazyEvent()

    def note_rest(self, job: JobState, run: Job) -> None:
        """A run has ended; if too many jobs have finished, the oldest is let go."""
        is_finished = job.committed_status in FINISHED
        with self._lock:
            if self._running.get(job.job_id) is not run:
                return
            del self._running[job.job_id]
            if not self._running:
                self.idle.set()
            if is_finished:
                self._let_go_of_oldest(job)

    def note_finished(self, job: JobState) -> None:
        """A job that rests has finished."""
        with self._lock:
            if self._jobs.get(job.job_id) is job:
                self._let_go_of_oldest(job)

    def note_changed(self, job: JobState) -> None:
        """Something was done to a job that rests; one that was let go is known again until that is on disk."""
        with self._lock:
            if self._held.get(job.job_id) is job and job.job_id not in self._jobs:
                self._jobs[job.job_id] = job
                self._let_go_of_oldest(job)

    def _let_go_of_oldest(self, job: JobState) -> None:
        self._finished[job.job_id] = None
        while len(self._finished) > self._max_finished:
            oldest = next(iter(self._finished))
            state = self._jobs.get(oldest)
            if state is not None:
                if state.is_on_disk is False:
                    # Who looked for it then would find it as it was before.
                    return
                self._held[oldest] = self._jobs.pop(oldest)
            del self._finished[oldest]

    def _check_open(self, job: JobState) -> None:
        if self._is_closed:
            raise RuntimeClosedError(f"start the job {job.job_id!r}")

    def get(self, job_id: str) -> JobState | None:
        """The job of that id, or None."""
        with self._lock:
            return self._jobs.get(job_id)

    def held(self, job_id: str) -> JobState | None:
        """The job of that id that was let go, if somebody still holds it."""
        with self._lock:
            return self._held.get(job_id)

    def all(self) -> list[JobState]:
        """Every job that is known."""
        with self._lock:
            return list(self._jobs.values())

    def all_and_held(self) -> list[JobState]:
        """Every job that is known, and those that were let go and that somebody still holds."""
        with self._lock:
            return [*self._jobs.values(), *self._held.values()]

    def runs(self) -> list[Job]:
        """Every run that is under way."""
        with self._lock:
            return list(self._running.values())

    def forget_lock(self) -> None:
        """In a forked child: the lock may have been held by a thread that is not there."""
        self._lock = RLock()
