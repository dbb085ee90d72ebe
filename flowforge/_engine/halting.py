"""Ending the runs of jobs whose runtime gives no more turns."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flowforge._engine.control import still_running
from flowforge._engine.logs import about, logger
from flowforge._engine.rest import announce_rest, interrupt
from flowforge.job_status import JobStatus

if TYPE_CHECKING:
    from collections.abc import Iterable

    from actors.dispatcher import Dispatcher
    from flowforge._engine.job import Job

__all__ = ["halt_all", "stop_dead"]


def halt_all(jobs: Iterable[Job], dispatcher: Dispatcher, grace: float) -> bool:
    """Pause the jobs that still run where they stand, and let those who wait for them know.

    What running steps still do will be refused, and their messages stay first. `on_stop` hooks and cancelled
    coroutines have `grace` seconds in all. False if some step or hook still runs then; each is logged.
    """
    halted = [job for job in jobs if not job.rested.is_set()]
    for job in halted:
        with job.lock:
            if job.is_over:
                continue
            if not job.is_pausing:
                job.goes_on, job.pause_reason = True, "shutdown"
            interrupt(job, JobStatus.PAUSED, job.pause_reason)
    end = dispatcher.clock.monotonic() + grace
    for job in halted:
        dispatcher.wait_for(job.vacated, max(0.0, end - dispatcher.clock.monotonic()))
        for step in still_running(job):
            logger.warning(
                "A step of %r in job %r still runs after %.1f seconds; its result will be refused.",
                step.routine_id,
                step.job_id,
                step.seconds,
                extra=about(step.job_id, step.routine_id),
            )
        announce_rest(job, is_forced=True)
    return all(job.vacated.is_set() for job in halted)


def stop_dead(job: Job) -> None:
    """End a run whose store keeps nothing any more: what its steps do is refused, and who waits for it is woken."""
    with job.lock:
        if not job.is_over:
            job.is_over = True
            job.cancel_timers()
            job.data.epoch = job.epoch = job.epoch + 1
            for worker in job.everyone():
                if worker.task is not None:
                    worker.task.cancel()
    announce_rest(job, is_forced=True)
