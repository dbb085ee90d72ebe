"""What follows when no actor of a job has anything to do."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from flowforge._engine.orders import Drain
from flowforge.job_status import JobStatus

if TYPE_CHECKING:
    from actors.mailbox import Lane
    from flowforge._engine.job import Job

__all__ = ["decide_at_rest"]

logger = logging.getLogger("flowforge")


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
    elif not job.timers and not _raise_a_bound(job) and not job.data.is_kept_alive:
        _drain_one(job)


def _raise_a_bound(job: Job) -> bool:
    """Parks' rule: if all that could go on is held back, the smallest full bound is doubled."""
    held = {worker.plan.index for worker in job.workers if worker.blocks and worker.has_data}
    if not held:
        return False
    full: list[tuple[int, str, Lane]] = []
    for worker in job.workers:
        for lane, upstream in zip(worker.mailbox.lanes, worker.plan.upstream, strict=True):
            if lane.is_over and not held.isdisjoint(upstream):
                full.append((lane.high, f"{worker.plan.id}.{lane.name}", lane))
    high, name, lane = min(full, key=lambda entry: entry[:2])
    lane.set_bound(high * 2)
    lane.is_over = False
    job.raised_bounds += 1
    logger.warning("Job %r could not go on with the bound of the slot %r; it is now %d messages.", job.id, name, high * 2)
    for worker in job.workers:
        for other, upstream in zip(worker.mailbox.lanes, worker.plan.upstream, strict=True):
            if other is lane:
                for index in upstream:
                    job.workers[index].unblock()
    return True


def _drain_one(job: Job) -> None:
    for plan in job.plan.order:
        worker = job.workers[plan.index]
        if worker.has_data:
            worker.order(Drain(job.epoch))
            return
