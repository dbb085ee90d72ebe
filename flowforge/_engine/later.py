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


def set_timers(job: Job, timers: Iterable[Timer]) -> None:
    """Have timers fire when they are due, at once if they are overdue; with the job's lock held.

    One that was set before a restart waits no longer than its delay, whatever has been done to the clock.
    """
    now = job.clock.now()
    for timer in sorted(timers, key=lambda timer: timer.due):
        job.data.timers[timer.id] = timer
        job.in_flight += 1
        job.call_later(min(max(0.0, timer.due - now), timer.delay), partial(_fire, job, timer))


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
