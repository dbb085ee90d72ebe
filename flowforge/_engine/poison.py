"""Messages that kill the process: found by handling them alone, and set aside.

A job whose process has died twice without anything done gets its waiting messages one at a time, each after a record
that suspects it. If the process dies again before anything is done, that message becomes a dead letter.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from flowforge._engine.barrier import wait_for
from flowforge._engine.job_data import letter_of
from flowforge._engine.logs import about, logger
from flowforge.records import Delivery, Destination, ErrorInfo, MessageGivenUp, MessageSuspected

if TYPE_CHECKING:
    from flowforge._engine.job import Job

__all__ = ["DEATHS", "put_next_suspect", "release_pending", "set_aside"]

DEATHS = 2
"""Deaths of the process with nothing done after which messages are handled one at a time."""


def release_pending(job: Job) -> None:
    """Put what waits in the data into its slots: all of it, or, after too many deaths, one message at a time."""
    data = job.data
    set_aside(job)
    is_cautious = job.is_durable and data.starts >= DEATHS
    data.starts = 0
    pending, data.pending = data.pending, {}
    deliveries = [
        Delivery(Destination(routine, slot), message)
        for (routine, slot), messages in pending.items()
        for message in messages
    ]
    if not is_cautious:
        # Not before the record of this start is safe, for it is what deaths are counted by.
        job.deliver(deliveries, job.last_number)
        return
    job.in_flight += len(deliveries)
    job.barrier.held_back.extend(deliveries)
    for delivery in deliveries:
        job.barrier.held_slots[delivery.to] = job.barrier.held_slots.get(delivery.to, 0) + 1
    put_next_suspect(job)


def put_next_suspect(job: Job) -> bool:
    """Let the next message that is held back be handled, alone; False if there is none. With the job's lock held."""
    if not job.barrier.held_back:
        if job.barrier.has_suspect:
            # It waits, and nobody died of it.
            job.barrier.has_suspect = False
            job.append(MessageSuspected(**job.next_position(), routine="", slot="", suspect=0))
        return False
    job.barrier.has_suspect = True
    delivery = job.barrier.held_back.popleft()
    to, suspect = delivery.to, delivery.message.id
    job.barrier.held_slots[to] -= 1
    if not job.barrier.held_slots[to]:
        del job.barrier.held_slots[to]
    position = job.next_position()
    number = job.append(MessageSuspected(**position, routine=to.routine, slot=to.slot, suspect=suspect))
    wait_for(job, delivery, number)
    return True


def set_aside(job: Job) -> None:
    """Make the message a dead letter that the process died of; with the job's lock held."""
    data = job.data
    suspect, data.suspect = data.suspect, None
    if suspect is None or data.starts <= DEATHS:
        # Something was done since the deaths before, so this one is its first.
        return
    routine, number = suspect
    for (owner, slot), messages in data.pending.items():
        for message in messages:
            if owner == routine and message.id == number:
                messages.remove(message)
                text = (
                    f"The process died {data.starts} times before anything was done, the last time handling this alone."
                )
                data.letters += 1
                record = MessageGivenUp(
                    **job.next_position(),
                    letter=f"{job.id}-dl{data.letters}",
                    routine=routine,
                    slots=(slot,),
                    messages=(message,),
                    strategy="poison",
                    error=ErrorInfo("ProcessDied", text, ""),
                )
                data.dead_letters[record.letter] = letter_of(record)
                job.append(record)
                logger.error("%s Job %r: %s", text, job.id, record.letter, extra=about(job.id, routine))
                return
