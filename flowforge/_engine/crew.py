"""A routine with replicas: a front that hands out work, and workers that each have an instance and a state.

Guarantees:

- Merging and policies act once, in the front, before work is handed out.
- Ordered: steps commit in the order in which their work was handed out; a head that is retried holds the others back.
- What was handed out and has not committed is still waiting: at a pause it goes first again.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from actors.mailbox import Mailbox
from flowforge._engine.failures import fail_step, wait_for_retry
from flowforge._engine.routine_actor import RoutineActor, with_counts
from flowforge._engine.worker import Worker
from flowforge.records import MessageMerged
from flowforge.step_context import call_with_lock
from flowforge.structs import replace

if TYPE_CHECKING:
    from flowforge._engine.after_commit import AfterCommit
    from flowforge._engine.job import Job
    from flowforge._engine.job_data import JobData, Retry
    from flowforge._engine.plan import RoutinePlan
    from flowforge._engine.step import Step
    from flowforge._engine.work import Work
    from flowforge.records import Message

__all__ = ["Crew", "Replica"]


class Crew(RoutineActor):
    """The front: its mailbox holds the routine's lanes, and its own tree what was merged."""

    def __init__(self, job: Job, plan: RoutinePlan) -> None:
        super().__init__(job, plan, -1)
        self.is_ordered = plan.template.is_ordered
        self.replicas = [Replica(job, plan, number, self) for number in range(plan.template.concurrency)]
        self.idle = deque(self.replicas)
        self.handed_out: dict[Replica, None] = {}
        """The replicas that have work, in the order in which they got it."""
        self.retries_to_come: dict[int, Retry] = {}
        """When what will be handed out is to be tried again, by the id of its first message."""

    @property
    def has_start(self) -> bool:
        return False

    @property
    def has_stop(self) -> bool:
        return False

    def available_work(self) -> Work | None:
        """Hand out as much as there are idle replicas for; the front has no steps of its own."""
        while self.idle and not self.mailbox.holds and (work := self.work or self.next_work()) is not None:
            if work.is_undecided:
                self.work = None
                continue
            if work.is_merged and not self._try_merge(work):
                return None
            self.work = None
            super().consume(work)
            self._hand_out(work)
        return None

    def _hand_out(self, work: Work) -> None:
        replica = self.idle.popleft()
        replica.work = work
        if replica.has_instance:
            replica.adopt_work()
        self.handed_out[replica] = None
        if (retry := self.retries_to_come.pop(work.messages[0].id, None)) is not None:
            wait_for_retry(self.job, replica, work.messages[0].id, retry)
        if replica.mailbox.wake():
            self.job.wake(replica)

    def await_retry(self, message: int, retry: Retry) -> None:
        if retry.replica < 0:
            super().await_retry(message, retry)
        else:
            self.retries_to_come[message] = retry

    def _try_merge(self, work: Work) -> bool:
        try:
            self._merge(work)
        except Exception as error:  # noqa: BLE001 - a merge function is the user's code, answered like a step's
            self.work = work
            fail_step(self, self.new_step(work), error)
            return False
        return True

    def _merge(self, work: Work) -> None:
        """Replace the payload by what it makes with all that came before, as a commit of its own."""
        self.tracked.begin()
        self.has_begun = True
        payload = call_with_lock(self.merged, work)
        state = self.tracked.commit()
        self.has_begun = False
        payload = self.job.codec.copy(payload, f"{self.plan.id}.{work.slot}")
        message = replace(work.messages[0], payload=payload, is_merged=True)
        work.messages, work.argument, work.is_merged = (message,), message.payload, False
        self.job.append(
            MessageMerged(
                **self.job.next_position(), routine=self.plan.id, slot=work.slot, message=message, state=state
            )
        )

    @property
    def actions(self) -> AfterCommit:
        # Whoever commits does what is to follow, for the replicas whose steps had waited for it as well.
        if self.after_commit is None:
            actions = super().actions
            for replica in self.replicas:
                replica.after_commit = actions
        return super().actions

    def conclude(self, replica: Replica) -> None:
        """The replica's work is done or given up; it can have more."""
        del self.handed_out[replica]
        self.idle.append(replica)
        if self.has_data and not self.mailbox.holds and self.mailbox.wake():
            self.job.wake(self)

    def advance(self) -> None:
        """Commit the steps that have waited for the one before them."""
        while self.handed_out:
            head = next(iter(self.handed_out))
            step, head.stashed = head.stashed, None
            if step is None:
                return
            head.settle_now(step)
            has_more = head.work is not None and not head.mailbox.holds
            if (has_more or head.stale_streams) and head.mailbox.wake():
                self.job.wake(head)
            if head.work is not None:
                return

    def is_head(self, replica: Replica) -> bool:
        """Whether nothing was handed out before the replica's work that has not ended."""
        return next(iter(self.handed_out)) is replica

    @property
    def has_work(self) -> bool:
        return bool(self.handed_out) or self.has_data

    @property
    def is_starved(self) -> bool:
        return super().is_starved and not any(replica.mailbox.holds for replica in self.handed_out)

    def drain(self) -> None:
        # What the replicas have may still bring company for what waits.
        if not self.handed_out:
            super().drain()

    def block(self) -> None:
        super().block()
        for replica in self.replicas:
            replica.block()

    def unblock(self) -> None:
        super().unblock()
        for replica in self.replicas:
            replica.unblock()

    def store_pending(self, data: JobData) -> None:
        waiting: dict[str, list[Message]] = {}
        for replica in self.handed_out:
            assert replica.work is not None
            if replica.stashed is not None:
                replica.refuse(replica.stashed)
                replica.stashed = None
            for slot, message in zip(self.slots_of(replica.work), replica.work.messages, strict=True):
                waiting.setdefault(slot, []).append(message)
            if replica.retry is not None:
                data.retries |= [replica.retry]
            if replica.lacks_cursor:
                data.lacks_cursor.append(self.plan.id)
        data.retries |= self.retries_to_come
        super().store_pending(data)
        for slot, messages in waiting.items():
            data.pending[self.plan.id, slot] = messages + data.pending.get((self.plan.id, slot), [])


class Replica(Worker):
    """One of a routine's workers: it gets its work from the front, one at a time."""

    def __init__(self, job: Job, plan: RoutinePlan, replica: int, crew: Crew) -> None:
        super().__init__(job, plan, replica, Mailbox((), job.lock))
        self.crew = crew
        self.stashed: Step | None = None

    @property
    def actions(self) -> AfterCommit:
        return self.crew.actions

    def available_work(self) -> Work | None:
        return None if self.stashed is not None else self.work

    def consume(self, work: Work) -> None:
        self.crew.conclude(self)

    def put_back(self, work: Work, attempt: int, progress: int) -> None:
        work.messages = tuple(with_counts(message, attempt, progress) for message in work.messages)

    def settle(self, step: Step) -> None:
        is_early = self.crew.is_ordered and step.error is None and not self.crew.is_head(self)
        if is_early and step.epoch == self.job.epoch and not self.job.is_over:
            self.stashed = step
            return
        self.settle_now(step)
        self.crew.advance()

    def settle_now(self, step: Step) -> None:
        """Commit a step whose turn it is, or put everything back."""
        super().settle(step)

    def note_given_up(self) -> None:
        self.crew.advance()
