"""Backpressure: who is held back while a slot is full, and who goes on when it has room; with the job's lock held.

A routine that feeds a full slot is given no data; routines of one cycle do not hold each other back. Emitting never
blocks. If all that could go on is held back, the smallest full bound is raised (Parks, 1995).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from flowforge._engine.logs import about, logger

if TYPE_CHECKING:
    from flowforge._engine.job import Job
    from flowforge._engine.routine_actor import RoutineActor

__all__ = ["note_popped", "note_put", "raise_a_bound"]


def note_put(job: Job, worker: RoutineActor, lane_index: int) -> None:
    """A message came into a lane: hold back those that feed it if it is full now."""
    lane = worker.mailbox.lanes[lane_index]
    if not lane.is_over and len(lane.items) >= lane.high:
        lane.is_over = True
        for index in worker.plan.upstream[lane_index]:
            # One that is not there yet is held back when it comes.
            if (feeder := job.workers[index]) is not None:
                feeder.block()


def note_popped(job: Job, worker: RoutineActor, lane_index: int) -> None:
    """Messages left a lane: let those go on that it held back."""
    lane = worker.mailbox.lanes[lane_index]
    if lane.is_over and len(lane.items) <= lane.low:
        _unblock_feeders(job, worker, lane_index)
    if job.space_waiters:
        _wake_space_waiters(job, worker, lane_index)


def _unblock_feeders(job: Job, worker: RoutineActor, lane_index: int) -> None:
    worker.mailbox.lanes[lane_index].is_over = False
    for index in worker.plan.upstream[lane_index]:
        if (feeder := job.workers[index]) is not None:
            feeder.unblock()


def _wake_space_waiters(job: Job, worker: RoutineActor, lane_index: int) -> None:
    """Let all who wait for that lane look again: they are as many as there may be room for, or more."""
    woken = [waiter for waiter in job.space_waiters if waiter[0] is worker and waiter[1] == lane_index]
    for waiter in woken:
        job.space_waiters.remove(waiter)
        waiter[2].set()


def raise_a_bound(job: Job) -> bool:
    """Parks' rule: if all that could go on is held back, the smallest full bound is doubled, until somebody goes on."""
    held = [worker for worker in job.actors() if worker.blocks and worker.has_work]
    upstream = {worker.plan.index for worker in held}
    # Who feeds several full slots goes on only when each of them has room.
    while held and all(worker.blocks for worker in held) and (smallest := _smallest_full(job, upstream)):
        _raise(job, *smallest)
    return any(not worker.blocks for worker in held)


def _smallest_full(job: Job, held: set[int]) -> tuple[RoutineActor, int] | None:
    """The worker and the lane of the smallest full bound that holds back one of `held`."""
    full = [
        (lane.high, f"{worker.plan.id}.{lane.name}", worker, index)
        for worker in job.actors()
        for index, (lane, upstream) in enumerate(zip(worker.mailbox.lanes, worker.plan.upstream, strict=True))
        if lane.is_over and worker.is_starved and not held.isdisjoint(upstream)
    ]
    return min(full, key=lambda entry: entry[:2])[2:] if full else None


def _raise(job: Job, worker: RoutineActor, index: int) -> None:
    lane = worker.mailbox.lanes[index]
    lane.set_bound(lane.high * 2)
    job.raised_bounds += 1
    text = "Job %r could not go on with the bound of the slot %r; it is now %d messages."
    slot = f"{worker.plan.id}.{lane.name}"
    logger.warning(text, job.id, slot, lane.high, extra=about(job.id, worker.plan.id))
    _unblock_feeders(job, worker, index)
