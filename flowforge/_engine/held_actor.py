"""An engine actor that can be held: by an error that is not answered, by a break, by a slot that it feeds."""

from __future__ import annotations

from typing import TYPE_CHECKING

from actors.mailbox import Mailbox
from flowforge._engine.job_actor import JobActor
from flowforge._engine.orders import ActorBroke, ErrorReported

if TYPE_CHECKING:
    from flowforge._engine.job import Job
    from flowforge._engine.plan import RoutinePlan
    from flowforge._engine.work import Work

__all__ = ["HeldActor"]


class HeldActor(JobActor):
    """Hands out data only while nothing holds it; its mailbox shares the job's lock, which every method needs."""

    work: Work | None = None
    blocks = 0
    is_suspended = False
    is_broken = False

    def __init__(self, job: Job, plan: RoutinePlan, replica: int, mailbox: Mailbox) -> None:
        super().__init__(job, mailbox)
        self.plan = plan
        self.replica = replica

    @property
    def label(self) -> str:
        return f"{self.plan.id}:{self.replica}"

    def order(self, order: object) -> None:
        """Put `order` ahead of all data; with the job's lock held."""
        if self.mailbox.put_control(order):
            self.job.wake(self)

    def suspend_for(self, report: ErrorReported | ActorBroke) -> None:
        """Hand out no data until the supervisor has answered; with the job's lock held."""
        if isinstance(report, ActorBroke):
            if not self.is_broken:
                self.is_broken = True
                self.mailbox.hold()
        elif not self.is_suspended:
            self.is_suspended = True
            self.mailbox.hold()
        self.job.supervisor.report(report)

    def mend(self) -> None:
        """Hand out data again after a break; an error that is not answered holds it back still."""
        if self.is_broken:
            self.is_broken = False
            self._release_one()

    def release(self) -> None:
        """Hand out data again after an error; with the job's lock held."""
        if self.is_suspended:
            self.is_suspended = False
            self._release_one()

    def _release_one(self) -> None:
        is_due = self.mailbox.release()
        if is_due or (self.work is not None and not self.mailbox.holds and self.mailbox.wake()):
            self.job.wake(self)

    def block(self) -> None:
        """Give it no data while a slot that it feeds is full; with the job's lock held."""
        self.blocks += 1
        if self.blocks == 1:
            self.mailbox.hold()

    def unblock(self) -> None:
        """One slot that it feeds has room again; with the job's lock held."""
        self.blocks -= 1
        if not self.blocks:
            self._release_one()

    @property
    def has_data(self) -> bool:
        """Whether messages wait in it."""
        return any(lane.items for lane in self.mailbox.lanes)

    @property
    def is_starved(self) -> bool:
        """Whether nothing but more input could let it go on: nothing holds it, and it waits for no time to pass."""
        return not self.mailbox.holds

    @property
    def has_work(self) -> bool:
        """Whether there is anything it could go on with."""
        return self.has_data
