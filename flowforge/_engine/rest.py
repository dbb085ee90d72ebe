"""What follows when no actor of a job has anything to do, and how a run ends.

All of it is called with the job's lock held, but for `announce_rest`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from flowforge._engine.bounds import raise_a_bound
from flowforge._engine.orders import Drain, StopDown
from flowforge._engine.poison import put_next_suspect
from flowforge.job_status import JobStatus
from flowforge.records import ErrorInfo, JobMoved

if TYPE_CHECKING:
    from flowforge._engine.job import Job

__all__ = ["announce_rest", "decide_at_rest", "finish", "interrupt", "let_go", "note_stopped"]


def decide_at_rest(job: Job) -> None:
    """Fail, pause, complete, raise a bound or drain; or wait for a timer or for input. With the job's lock held."""
    if job.is_over:
        return
    if job.failure is not None:
        error, routine = job.failure
        finish(job, JobStatus.FAILED, error.text, error, routine)
    elif job.is_pausing:
        finish(job, JobStatus.PAUSED, job.pause_reason)
    elif not job.in_flight:
        job.complete_if_done()
    elif job.barrier.unsafe or job.barrier.stalled or put_next_suspect(job):
        return
    elif not raise_a_bound(job) and not job.timers and not job.data.is_kept_alive:
        _drain_one(job)


def _drain_one(job: Job) -> None:
    for plan in job.plan.order:
        worker = job.workers[plan.index]
        if worker is not None and worker.has_data:
            worker.order(Drain(job.epoch))
            return


def interrupt(job: Job, status: JobStatus, reason: str, error: ErrorInfo | None = None) -> None:
    """End the run now: what steps that still run do will be refused."""
    finish(job, status, reason, error, is_interrupted=True)
    job.data.epoch = job.epoch = job.epoch + 1
    for worker in job.everyone():
        step = worker.step
        if worker.task is not None:
            worker.task.cancel()
        elif step is not None and step.is_open:
            job.stuck[step] = worker.plan.id


def finish(
    job: Job,
    status: JobStatus,
    reason: str = "",
    error: ErrorInfo | None = None,
    routine: str | None = None,
    *,
    is_interrupted: bool = False,
) -> None:
    """Write the record that ends the run, keep what waits as data, and stop the actors."""
    job.is_over = True
    job.cancel_timers()
    data = job.data
    data.goes_on = job.goes_on and status is JobStatus.PAUSED
    data.elapsed += job.clock.monotonic() - job.started_at
    for worker in job.actors():
        worker.store_pending(data)
    for delivery in (*job.barrier.held_back, *(delivery for _, delivery in job.barrier.unsafe)):
        data.pending.setdefault((delivery.to.routine, delivery.to.slot), []).append(delivery.message)
    job.barrier.held_back.clear()
    job.barrier.held_slots.clear()
    job.barrier.unsafe.clear()
    job.append(
        JobMoved(
            **job.next_position(),
            status=status.value,
            reason=reason,
            error=error,
            routine=routine,
            checkpoint=data.checkpoint if status is JobStatus.PAUSED else None,
            elapsed=data.elapsed,
            goes_on=data.goes_on,
        )
    )
    job.to_stop = [actor for actor in job.everyone() if actor.needs_stop]
    job.to_stop.sort(key=lambda actor: (-actor.plan.rank, -actor.plan.index))
    for _, _, event in job.space_waiters:
        event.set()
    if is_interrupted:
        for actor in job.to_stop:
            actor.order(StopDown())
        job.to_stop = []
    else:
        note_stopped(job)


def note_stopped(job: Job) -> None:
    """Stop the next actor, sources first; when none is left, the rest is announced."""
    job.is_stopping = bool(job.to_stop)
    if job.to_stop:
        job.to_stop.pop().order(StopDown())
    else:
        job.supervisor.look()


def announce_rest(job: Job, *, is_forced: bool = False) -> None:
    """Called by the supervisor after a turn, without the lock: wake the waiters if the run has come to its end.

    Forced, by a runtime that gives no more turns, it does so in any case.
    """
    if is_forced:
        job.view.catch_up()
    with job.lock:
        if not is_forced and (not job.is_over or job.is_stopping or job.view.inbox):
            return
        if job.rested.is_set():
            return
        if job.last_number > job.log.safe and not is_forced:
            # Nobody hears of an end that a crash could undo.
            job.log.call_when_safe(job.last_number, job.supervisor.look_again)
            return
        job_state = job.job_state
        # First, for whoever is woken may start the next run at once.
        job.host.note_rest(job_state, job)
        if job.before_rest is not None:
            job.before_rest()
        job.rested.set()
        listeners, job.rest_listeners = job.rest_listeners, []
        if not job.busy:
            let_go(job)
    for listener in listeners:
        listener()


def let_go(job: Job) -> None:
    """Drop the actors of a run that has ended; what is known about the job is data."""
    if job.rested.is_set():
        if not job.stuck:
            for actor in job.everyone():
                actor.dispose()
            job.supervisor.dispose()
            job.job_state = None
        job.workers = []
        job.vacated.set()
