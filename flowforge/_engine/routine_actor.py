"""The worker of a routine without replicas: its messages wait in its own mailbox, a lane per slot."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Any

from actors.mailbox import Lane, Mailbox
from flowforge._engine.bounds import note_popped
from flowforge._engine.failures import fail_step, give_up, wait_for_retry
from flowforge._engine.tracked_plain import plain_copy
from flowforge._engine.waiting import SlotsWaiting
from flowforge._engine.work import Work, ignore
from flowforge._engine.worker import Worker
from flowforge.activation_policies import check_activation, immediate_policy
from flowforge.step_context import call_with_lock
from flowforge.structs import replace

if TYPE_CHECKING:
    from flowforge._engine.job import Job
    from flowforge._engine.job_data import JobData, Retry
    from flowforge._engine.plan import RoutinePlan
    from flowforge.activation_policies import Activation
    from flowforge.records import Message
    from flowforge.routine import Routine

__all__ = ["RoutineActor", "lanes_of", "with_counts"]

_IMMEDIATE = immediate_policy()


def lanes_of(plan: RoutinePlan) -> list[Lane]:
    """A mailbox lane for each slot."""
    return [Lane(slot.name, capacity=slot.max_queue_length, watermark=slot.watermark) for slot in plan.slots]


def with_counts(message: Message, attempt: int, progress: int) -> Message:
    """The same message with other counts."""
    return replace(message, attempt=attempt, progress=progress)


class RoutineActor(Worker):
    """Takes work from its own lanes: single messages for handlers, activations for a logic."""

    is_check_pending = False

    def __init__(self, job: Job, plan: RoutinePlan, replica: int = 0) -> None:
        super().__init__(job, plan, replica, Mailbox(lanes_of(plan), job.lock))

    def adopt(self, instance: Routine) -> None:
        super().adopt(instance)
        self.policy = instance.activation_policy or _IMMEDIATE
        known = self.job.view.routines.get(self.plan.id)
        self.last_activation = None if known is None else known.last_call

    # Where work comes from

    def next_work(self) -> Work | None:
        if self.instance.logic is not None:
            return self._next_activation()
        lane = self.mailbox.peek()
        if lane < 0:
            return None
        message: Message = self.mailbox.lanes[lane].items[0]
        slot = self.plan.slots[lane]
        is_merged = slot.merge_strategy != "override" and not message.is_merged
        return Work(slot.name, lane, (message,), self.calls[lane] or self.call_of(lane), message.payload, is_merged)

    def consume(self, work: Work) -> None:
        mailbox, take = self.mailbox, work.take
        if take is None:
            mailbox.pop(work.lane)
        else:
            for lane, count in take.items():
                for _ in range(count):
                    mailbox.pop(lane)
        for lane in (work.lane,) if take is None else take:
            if mailbox.lanes[lane].is_over or self.job.space_waiters:
                note_popped(self.job, self, lane)

    def put_back(self, work: Work, attempt: int, progress: int) -> None:
        work.messages = tuple(with_counts(message, attempt, progress) for message in work.messages)
        messages = iter(work.messages)
        for lane, count in work.taken():
            items = self.mailbox.lanes[lane].items
            for index in range(count):
                items[index] = next(messages)

    def merged(self, work: Work) -> Any:
        slot, payload = self.plan.slots[work.lane], work.argument
        gathered = self.tracked.root["merged"]
        old = gathered.get(slot.name)
        if work.messages[0].progress and old is not None:
            return plain_copy(old)
        if slot.merge_strategy != "append":
            gathered[slot.name] = slot.merge(None if old is None else plain_copy(old), payload)
        elif old is None:
            gathered[slot.name] = {key: [value] for key, value in payload.items()}
        else:
            for key, value in payload.items():
                old.setdefault(key, []).append(value)
        # A copy: the handler may keep what it is given, and what is merged goes on growing.
        return plain_copy(gathered[slot.name])

    def await_retry(self, message: int, retry: Retry) -> None:
        """A message that waits here is to be tried again when it is due, and not before."""
        wait_for_retry(self.job, self, message, retry)

    def store_pending(self, data: JobData) -> None:
        """Leave what waits, and when a retry is due, as data."""
        for lane in self.mailbox.lanes:
            if lane.items:
                data.pending[self.plan.id, lane.name] = list(lane.items)
        if self.retry is not None:
            data.retries |= [self.retry]
        if self.lacks_cursor:
            data.lacks_cursor.append(self.plan.id)

    # Activations

    def _next_activation(self) -> Work | None:
        waiting = SlotsWaiting(self)
        if not any(waiting.counts.values()):
            return None
        try:
            activation = call_with_lock(self.policy.decide, waiting)
            if activation is not None:
                return self._activated(activation, waiting)
            self._plan_check(call_with_lock(self.policy.next_check, waiting))
        except Exception as error:  # noqa: BLE001 - a policy is the user's code, and its errors are answered like a step's
            self._fail_to_decide(waiting, error)
        return None

    @property
    def is_starved(self) -> bool:
        return super().is_starved and not self.is_check_pending

    def _fail_to_decide(self, waiting: SlotsWaiting, error: Exception) -> None:
        """Let the error handler answer for all that waits; on a retry the policy is asked again."""
        take = {self.plan.lanes[slot]: count for slot, count in waiting.counts.items() if count}
        self.work = self._taking(take, {})
        self.work.is_undecided = True
        fail_step(self, self.new_step(self.work), error)

    def available_work(self) -> Work | None:
        work = self.work
        if work is None or work.is_undecided:
            self.work = None
            return self.next_work()
        return work

    def _activated(self, activation: Activation, waiting: SlotsWaiting) -> Work:
        check_activation(activation, waiting)
        take = {self.plan.lanes[slot]: count for slot, count in activation.take.items() if count}
        self.last_activation = waiting.now
        return self._taking(take, dict(activation.message))

    def _taking(self, take: dict[int, int], message: dict[str, Any]) -> Work:
        lanes = self.mailbox.lanes
        taken = {self.plan.slots[lane].name: list(islice(lanes[lane].items, n)) for lane, n in take.items()}
        messages = tuple(message for found in taken.values() for message in found)
        slot_data = {slot: [message.payload for message in found] for slot, found in taken.items()}
        return Work("+".join(taken), -1, messages, self.call_logic, (slot_data, message), take=take)

    def _plan_check(self, delay: float | None) -> None:
        if delay is not None and not self.is_check_pending:
            self.is_check_pending = True
            self.job.call_later(delay, self._check)

    def _check(self) -> None:
        self.is_check_pending = False
        if self.mailbox.wake():
            self.job.wake(self)

    def drain(self) -> None:
        """Release what its policy gives for a remainder; what it leaves becomes dead letters."""
        waiting = SlotsWaiting(self)
        try:
            activation = call_with_lock(self.policy.drain, waiting) if self.instance.logic is not None else None
            if activation is not None:
                self.work = self._activated(activation, waiting)
                return
        except Exception as error:  # noqa: BLE001 - as for a decision
            self._fail_to_decide(waiting, error)
            return
        for lane, slot in enumerate(self.plan.slots):
            for message in tuple(self.mailbox.lanes[lane].items):
                work = Work(slot.name, lane, (message,), ignore, None)
                give_up(self.job, self, work, "unmatched", None)
                if self.job.is_over:
                    return
