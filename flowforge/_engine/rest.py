"""What follows when no actor of a job has anything to do."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flowforge._engine.bounds import raise_a_bound
from flowforge._engine.orders import Drain
from flowforge.job_status import JobStatus

if TYPE_CHECKING:
    from flowforge._engine.job import Job

__all__ = ["decide_at_rest"]


def decide_at_rest(job: Job) -> None:
    """Fail, pause, complete, raise a bound or drain; or wait for a timer or for input. With the job's lock held."""
    if job.is_over:
        return
    if job.failure is not None:
        error, routine = job.failure
        job.finish(JobStatus.FAILED, error.text, error, routine)
    elif job.is_pausing:
        job.finish(JobStatus.PAUSED, job.pause_reason)
    elif not job.in_flight:
        job.complete_if_done()
    elif not raise_a_bound(job) and not job.timers and not job.data.is_kept_alive:
        _drain_one(job)


def _drain_one(job: Job) -> None:
    for plan in job.plan.order:
        worker = job.workers[plan.index]
        if worker.has_data:
            worker.order(Drain(job.epoch))
            return
