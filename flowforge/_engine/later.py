"""What is emitted later: each timer is counted as in flight until its record says that it has fired."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from flowforge.records import Delivery, TimerFired
from flowforge.structs import replace

if TYPE_CHECKING:
    from collections.abc import Iterable

    from flowforge._engine.job import Job
    from flowforge.records import Timer

__all__ = ["set_timers"]

# Timers wait for no room in their slots. After a long absence they come no faster than this, so that the routines, who
# posts, and other jobs are not behind all of them.
_OVERDUE_AT_ONCE = 100
_SECONDS_BETWEEN = 0.01


def set_timers(job: Job, timers: Iterable[Timer], *, is_paced: bool = False) -> None:
    """Have timers fire when they are due, at once if they are overdue; with the job's lock held.

    Paced, those that are overdue fire a hundred at once, in order, and what becomes due meanwhile comes after them. But
    for that, none that was set before a restart waits longer than its delay, whatever has been done to the clock.
    """
    now = job.clock.now()
    overdue = 0
    for timer in sorted(timers, key=lambda timer: timer.due):
        delay = min(max(0.0, timer.due - now), timer.delay)
        if is_paced:
            wait = overdue // _OVERDUE_AT_ONCE * _SECONDS_BETWEEN
            if delay <= wait:
                delay, overdue = wait, overdue + 1
        job.data.timers[timer.id] = timer
        job.in_flight += 1
        job.call_later(delay, partial(_fire, job, timer))


def _fire(job: Job, timer: Timer) -> None:
    del job.data.timers[timer.id]
    position = job.next_position()
    deliveries: tuple[Delivery, ...] = ()
    if timer.delivery is not None:
        message = replace(timer.delivery.message, at=position["at"])
        deliveries = (Delivery(timer.delivery.to, message),)
    outputs = () if timer.output is None else (timer.output,)
    fired = TimerFired(**position, timer=timer.id, routine=timer.routine, deliveries=deliveries, outputs=outputs)
    number = job.append(fired)
    # What it delivers counts before it counts no more.
    job.deliver(deliveries, number)
    job.in_flight -= 1
    job.complete_if_done()
