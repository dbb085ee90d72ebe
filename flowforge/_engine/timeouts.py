"""Going on without a step that still runs: its time is over, or a pause does not wait for it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from actors.mailbox_status import MailboxStatus
from flowforge._engine.orders import Renew
from flowforge.job_errors import StepTimeoutError

if TYPE_CHECKING:
    from flowforge._engine.step import Step
    from flowforge._engine.worker import Worker

__all__ = ["abandon", "time_out"]


def time_out(worker: Worker, step: Step) -> None:
    """Called by the dispatcher's timer: the step's time is over, and it fails."""
    with worker.job.lock:
        if worker.step is not step or not step.is_open:
            return
        error = StepTimeoutError(worker.plan.id, worker.instance.step_timeout or 0.0, still_runs=worker.task is None)
        abandon(worker, step)
        ghost = worker.new_step(step.work)
        ghost.epoch, ghost.started = step.epoch, step.started
        ghost.error = error
        worker.end(ghost)
        worker.step, worker.unfinished = ghost, ghost


def abandon(worker: Worker, step: Step) -> None:
    """Refuse what a step that still runs will do, and have another turn without it; with the job's lock held."""
    step.is_abandoned = True
    worker.refuse(step)
    worker.stale_streams = ()
    worker.step = None
    if worker.task is not None:
        worker.task.cancel()
        worker.task = None
    else:
        worker.job.stuck[step] = worker.plan.id
    worker.mailbox.put_control_first(Renew())
    if worker.mailbox.status is MailboxStatus.RUNNING:
        worker.mailbox.suspend_turn()
    worker.requeue()
