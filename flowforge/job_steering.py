"""Pausing, cancelling and closing a job, whether it runs or rests, from inside of its steps or from outside."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from flowforge._engine import control
from flowforge._engine.control import StillRunning, checked_reason
from flowforge._engine.step import Step
from flowforge.at_rest import append_at_rest, check_is_kept, wait_until_safe
from flowforge.held_interrupts import whole
from flowforge.job_starts import settled
from flowforge.job_status import JobStatus
from flowforge.records import JobClosed, JobMoved
from flowforge.runtime_checks import check_wait
from flowforge.step_context import CURRENT_STEP

if TYPE_CHECKING:
    from flowforge._engine.job import Job
    from flowforge.job_state import JobState

__all__ = ["begin_to_pause", "cancel_job", "close_job", "live_of", "pause_job", "request_pause"]


def live_of(job_state: JobState, asked: str) -> Job | None:
    """A job's run, or the last one of this process; RuntimeForkedError in a child of that process.

    Outside of steps it waits for what becomes of a job that a step has asked for.
    """
    if CURRENT_STEP.get() is None:
        settled(job_state, asked)
    if job_state.live is not None:
        job_state.live.host.check_process(asked)
    return job_state.live


def pause_job(job_state: JobState, reason: str, checkpoint: Any, timeout: float | None) -> list[StillRunning]:
    """Do what `JobState.pause` promises."""
    check_wait(timeout)
    deadline: float | None = None
    while True:
        is_pausing = begin_to_pause(job_state, reason, checkpoint)
        live = job_state.live
        # One whose run is over already may still have to rest: its hooks run, or the disk has not got it yet.
        if live is None or CURRENT_STEP.get() is not None:
            return []
        now = live.clock.monotonic()
        if timeout is not None and deadline is None:
            deadline = now + timeout
        if not live.dispatcher.wait_for(live.rested, None if deadline is None else max(0.0, deadline - now)):
            return control.interrupt_async_steps(live)
        if is_pausing or job_state.live is live:
            return []
        # A letter that was requeued before it was asked to pause has reopened it.


def request_pause(job_state: JobState, reason: str, checkpoint: Any) -> bool:
    """Do what `JobState.request_pause` promises."""
    is_pausing = begin_to_pause(job_state, reason, checkpoint)
    wait_until_safe(job_state)
    return is_pausing


def begin_to_pause(job_state: JobState, reason: str, checkpoint: Any) -> bool:
    """`request_pause`, but not to wait for the disk."""
    checked_reason(reason)
    live = live_of(job_state, "pause a job")
    step = CURRENT_STEP.get()
    if live is None and isinstance(step, Step) and step.is_open and job_state.status is JobStatus.PENDING:
        step.do_after_commit(lambda: begin_to_pause(job_state, reason, checkpoint))
        return True
    if live is None or live.is_over:
        return False
    control.check_can_pause(live)
    job_state.codec.check(checkpoint, "checkpoint")
    if isinstance(step, Step) and step.is_open:
        step.do_after_commit(lambda: control.request_pause(live, reason, checkpoint))
    else:
        control.request_pause(live, reason, checkpoint)
    return True


def cancel_job(job_state: JobState, reason: str) -> list[StillRunning]:
    """Do what `JobState.cancel` promises."""
    checked_reason(reason)
    live_of(job_state, "cancel a job")
    step = CURRENT_STEP.get()
    if isinstance(step, Step) and step.is_open and step.job_state is not job_state:
        step.do_after_commit(partial(_cancel_now, job_state, reason))
        return []
    running = _cancel_now(job_state, reason)
    wait_until_safe(job_state)
    return running


@whole
def _cancel_now(job_state: JobState, reason: str) -> list[StillRunning]:
    check_is_kept(job_state)
    if job_state.live is not None and not job_state.live.is_over:
        return control.cancel(job_state.live, reason)
    if job_state.committed_status in {JobStatus.PENDING, JobStatus.PAUSED}:
        facts = {"status": JobStatus.CANCELLED.value, "reason": reason, "elapsed": job_state.data.elapsed}
        append_at_rest(job_state, JobMoved, **facts)
        host = job_state.host if job_state.live is None else job_state.live.host
        if host is not None:
            host.note_finished(job_state)
    return []


def close_job(job_state: JobState) -> None:
    """Do what `JobState.close` promises."""
    step = CURRENT_STEP.get()
    if isinstance(step, Step) and step.is_open:
        step.do_after_commit(partial(_close_now, job_state))
        return
    live_of(job_state, "close a job")
    _close_now(job_state)
    wait_until_safe(job_state)


@whole
def _close_now(job_state: JobState) -> None:
    check_is_kept(job_state)
    if job_state.live is not None and not job_state.is_resting:
        control.close(job_state.live)
    elif job_state.data.is_kept_alive:
        job_state.data.is_kept_alive = False
        append_at_rest(job_state, JobClosed)
