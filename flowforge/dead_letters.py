"""Dead letters of a job, live or at rest: given another try, or thrown away."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from flowforge._engine import control
from flowforge._engine.fitting import check_letter_fits
from flowforge._engine.logs import logger
from flowforge._engine.step import Step
from flowforge.at_rest import append_at_rest, check_is_kept, in_one_frame
from flowforge.errors import FlowForgeError
from flowforge.graph_errors import FlowNotRegisteredError
from flowforge.held_interrupts import HeldInterrupts, locked, whole
from flowforge.job_errors import DeadLetterNotFoundError, JobFinishedError, NoCursorError, RuntimeClosedError
from flowforge.job_status import JobStatus
from flowforge.records import DeadLetterPurged, DeadLetterRequeued, JobMoved
from flowforge.step_context import CURRENT_STEP

if TYPE_CHECKING:
    from flowforge._engine.host import JobHost
    from flowforge._engine.job import Job
    from flowforge._engine.job_data import DeadLetter
    from flowforge.job_state import JobState

__all__ = ["purge_letter", "requeue_letter"]


def requeue_letter(job_state: JobState, letter_id: str) -> None:
    """Put a letter's messages back into their slots, and let a completed job go on; in a step, when that commits."""
    step = CURRENT_STEP.get()
    if isinstance(step, Step) and step.is_open:
        with job_state.control_lock:
            _check_flow_is_known(job_state)
            _letter(job_state, letter_id)
        step.do_after_commit(lambda: _requeue(job_state, letter_id))
    else:
        _requeue(job_state, letter_id)


@locked
def _requeue(job_state: JobState, letter_id: str) -> None:
    check_is_kept(job_state)
    letter = _letter(job_state, letter_id)
    if not letter.is_repeatable:
        raise NoCursorError(letter.routine, "requeued")
    live, status = job_state.live, job_state.committed_status
    if live is not None and not live.is_over:
        with HeldInterrupts():
            control.requeue(live, letter)
        return
    if status is JobStatus.CANCELLED:
        raise JobFinishedError(job_state.job_id, status, "requeue a dead letter", "Start a new job.")
    _check_flow_is_known(job_state)
    _check_fits(job_state, letter)
    if status is not JobStatus.COMPLETED:
        with HeldInterrupts():
            _Return(job_state, letter).keep()
    elif live is None or live.rested.is_set():
        # Under the lock: who requeues another letter meanwhile waits, and finds the job running.
        _reopen(job_state, live, letter)
    else:
        # Its hooks still run; it is reopened before anybody is told that it rests, or after a crash.
        with HeldInterrupts():
            returned = _Return(job_state, letter)
            _wait_for_resume(job_state, returned, goes_on=True)
            live.before_rest = lambda: _reopen_later(job_state, live, returned)


class _Return:
    """The messages of a letter of a resting job, back in their slots; used with its lock held."""

    def __init__(self, job_state: JobState, letter: DeadLetter) -> None:
        self._job_state = job_state
        self._letter = letter
        self._data = job_state.data
        self._is_recorded = False
        self._deliveries = control.letter_deliveries(letter)
        del self._data.dead_letters[letter.id]
        for delivery in self._deliveries:
            self._data.pending.setdefault((delivery.to.routine, delivery.to.slot), []).append(delivery.message)

    @property
    def is_kept(self) -> bool:
        """Whether a record tells of it: its own, or that of what hooks have made of the job."""
        return self._is_recorded or self._job_state.data is not self._data

    def keep(self) -> None:
        """Write a record of it, unless one tells of it."""
        if not self.is_kept:
            self._is_recorded = True
            facts = {"letter": self._letter.id, "deliveries": self._deliveries}
            append_at_rest(self._job_state, DeadLetterRequeued, **facts)


class _UndoableReturn(_Return):
    """One that may come to nothing."""

    def __init__(self, job_state: JobState, letter: DeadLetter) -> None:
        data = job_state.data
        pending = {place: list(messages) for place, messages in data.pending.items()}
        self._before = dict(data.dead_letters), pending
        super().__init__(job_state, letter)

    def undo(self) -> None:
        """Let all be as it was before; only while it is not kept."""
        self._data.dead_letters, self._data.pending = self._before


def _check_flow_is_known(job_state: JobState) -> None:
    """Raise FlowNotRegisteredError for a completed job that cannot be reopened, since its store does not know its flow.

    One that has not ended gets its message back nevertheless, and waits with it for its flow.
    """
    host = job_state.host if job_state.live is None else None
    if host is not None and job_state.committed_status is JobStatus.COMPLETED and host.known_plan(job_state) is None:
        raise FlowNotRegisteredError(job_state.flow_id)


def _check_fits(job_state: JobState, letter: DeadLetter) -> None:
    """Raise FlowChangedError for a slot that is gone; if the job is still to be migrated, that is seen to then."""
    live, host = job_state.live, job_state.host
    plan = live.plan if live is not None else host.known_plan(job_state) if host is not None else None
    if plan is not None and plan.version == job_state.data.version:
        check_letter_fits(job_state.data, letter, plan)


def _reopen(job_state: JobState, live: Job | None, letter: DeadLetter) -> None:
    """Let a completed job go on with a letter, or wait with it; if it cannot, it stays as it is."""
    host = live.host if live is not None else job_state.host
    returned: _UndoableReturn | None = None
    try:
        with HeldInterrupts():
            returned = _UndoableReturn(job_state, letter)
        if not _has_reopened(job_state, host, returned):
            with HeldInterrupts():
                _wait_for_resume(job_state, returned)
    except BaseException:
        with HeldInterrupts():
            # Ctrl-C may have come when it had begun.
            if returned is not None and job_state.live is live:
                if returned.is_kept:
                    _wait_for_resume(job_state, returned)
                else:
                    returned.undo()
        raise


def _has_reopened(job_state: JobState, host: JobHost | None, returned: _Return) -> bool:
    """Let a job go on; False if its runtime has gone, even in between."""
    try:
        return host is not None and host.reopen(job_state, returned.keep)
    except RuntimeClosedError:
        return False


def _reopen_later(job_state: JobState, live: Job, returned: _Return) -> None:
    """Let a job go on that waits with what was returned; if its runtime has gone, the next one does so."""
    try:
        _has_reopened(job_state, live.host, returned)
    except FlowForgeError:
        # It waits for its resume, and somebody may just have asked for that. Nobody is left to be told.
        logger.warning(
            "The job %r, a dead letter of which was requeued, does not go on.", job_state.job_id, exc_info=True
        )


def _wait_for_resume(job_state: JobState, returned: _Return, *, goes_on: bool = False) -> None:
    facts = {"status": JobStatus.PAUSED.value, "elapsed": job_state.data.elapsed, "goes_on": goes_on}
    job_state.data.goes_on = goes_on
    with in_one_frame(job_state.log):
        returned.keep()
        append_at_rest(job_state, JobMoved, **facts, reason="A dead letter was requeued.")


def purge_letter(job_state: JobState, letter_id: str) -> None:
    """Throw a letter away; in a step, when that commits."""
    step = CURRENT_STEP.get()
    if isinstance(step, Step) and step.is_open:
        with job_state.control_lock:
            _letter(job_state, letter_id)
        step.do_after_commit(partial(_purge, job_state, letter_id))
    else:
        _purge(job_state, letter_id)


@whole
def _purge(job_state: JobState, letter_id: str) -> None:
    check_is_kept(job_state)
    letter = _letter(job_state, letter_id)
    live = job_state.live
    if live is not None and not live.is_over:
        control.purge(live, letter)
    else:
        del job_state.data.dead_letters[letter_id]
        append_at_rest(job_state, DeadLetterPurged, letter=letter_id)


def _letter(job_state: JobState, letter_id: str) -> DeadLetter:
    if letter_id not in job_state.data.dead_letters:
        raise DeadLetterNotFoundError(letter_id, job_state.job_id)
    return job_state.data.dead_letters[letter_id]
