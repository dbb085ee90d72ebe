"""The input barrier: a step starts when the message that it consumes is safe, and none starts while the log is full.

What a record delivers comes into its slots when the record is safe, in the order of the records; a routine that was
declared pure gets it at once. Without a durable log nothing waits.
"""

from __future__ import annotations

from collections import deque
from functools import partial
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from flowforge._engine.job import Job
    from flowforge._engine.worker import Worker
    from flowforge.records import Delivery, Destination

__all__ = ["Barrier", "is_stalled", "put_when_safe", "wait_for"]


class Barrier:
    """What one run of a job keeps waiting; guarded by the job's lock."""

    __slots__ = ("has_suspect", "held_back", "held_slots", "stalled", "unsafe")

    def __init__(self) -> None:
        self.unsafe: deque[tuple[int, Delivery]] = deque()
        """What was delivered by records that are not safe yet: it comes into its slots when they are."""
        self.stalled: list[Worker] = []
        """Workers that start no step until the log has room."""
        self.held_back: deque[Delivery] = deque()
        """What is handled one message at a time, after the process has died too often."""
        self.held_slots: dict[Destination, int] = {}
        """How much of that there is for each slot."""
        self.has_suspect = False
        """Whether one of these was let through, and nothing has told yet that nobody dies of it."""


def put_when_safe(job: Job, deliveries: Sequence[Delivery], number: int) -> None:
    """Put messages into their slots once the record of that number is safe; with the job's lock held."""
    if number <= job.log.safe and not job.barrier.unsafe:
        for delivery in deliveries:
            job.put(delivery)
        return
    for delivery in deliveries:
        if delivery.to in job.barrier.held_slots:
            # It goes behind what waits in front of the same slot to be handled alone.
            job.barrier.held_back.append(delivery)
            job.barrier.held_slots[delivery.to] += 1
        elif job.plan.by_id[delivery.to.routine].template.is_pure:
            job.put(delivery)
        else:
            wait_for(job, delivery, number)


def wait_for(job: Job, delivery: Delivery, number: int) -> None:
    """Put a message into its slot once the record of that number is safe; with the job's lock held."""
    if not job.barrier.unsafe:
        job.log.call_when_safe(number, partial(_note_safe, job))
    job.barrier.unsafe.append((number, delivery))


def is_stalled(job: Job, worker: Worker) -> bool:
    """Whether a worker may start no step, for the log is full; it is woken when there is room. With the job's lock."""
    if not job.log.is_full:
        return False
    stalled = job.barrier.stalled
    stalled.append(worker)
    if len(stalled) == 1:
        job.log.call_when_safe(job.log.safe + 1, partial(_note_room, job))
    if job.log.is_full:
        return True
    # It has room since, and there may be nothing left to be told of.
    stalled.remove(worker)
    return False


def _note_safe(job: Job) -> None:
    with job.lock:
        if job.is_over:
            return
        job.busy += 1
        while job.barrier.unsafe and job.barrier.unsafe[0][0] <= job.log.safe:
            job.put(job.barrier.unsafe.popleft()[1])
        if job.barrier.unsafe:
            job.log.call_when_safe(job.barrier.unsafe[0][0], partial(_note_safe, job))
        job.note_idle()


def _note_room(job: Job) -> None:
    with job.lock:
        job.busy += 1
        stalled, job.barrier.stalled = job.barrier.stalled, []
        for worker in stalled:
            if worker.mailbox.wake():
                job.wake(worker)
        job.note_idle()
