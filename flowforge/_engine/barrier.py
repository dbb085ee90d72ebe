"""The input barrier: a step starts when the message that it consumes is safe, and none starts while the log is full.

What a record delivers comes into its slots when the record is safe, in the order of the records; a routine that was
declared pure gets it at once. Without a durable log nothing waits.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from flowforge._engine.job import Job
    from flowforge._engine.worker import Worker
    from flowforge.records import Delivery

__all__ = ["put_when_safe", "stall"]


def put_when_safe(job: Job, deliveries: Sequence[Delivery], number: int) -> None:
    """Put messages into their slots once the record of that number is safe; with the job's lock held."""
    if number <= job.log.safe:
        for delivery in deliveries:
            job.put(delivery)
        return
    for delivery in deliveries:
        if job.plan.by_id[delivery.to.routine].template.is_pure:
            job.put(delivery)
            continue
        if not job.unsafe:
            job.log.call_when_safe(number, partial(_note_safe, job))
        job.unsafe.append((number, delivery))


def stall(job: Job, worker: Worker) -> None:
    """Let a worker start no step until the log has room; with the job's lock held."""
    job.stalled.append(worker)
    if len(job.stalled) == 1:
        job.log.call_when_safe(job.log.safe + 1, partial(_note_room, job))


def _note_safe(job: Job) -> None:
    with job.lock:
        if job.is_over:
            return
        job.busy += 1
        while job.unsafe and job.unsafe[0][0] <= job.log.safe:
            job.put(job.unsafe.popleft()[1])
        if job.unsafe:
            job.log.call_when_safe(job.unsafe[0][0], partial(_note_safe, job))
        job.note_idle()


def _note_room(job: Job) -> None:
    with job.lock:
        job.busy += 1
        stalled, job.stalled = job.stalled, []
        for worker in stalled:
            if worker.mailbox.wake():
                job.wake(worker)
        job.note_idle()
