"""What all actors of a job are: turns on the job's dispatcher, and a mailbox under the job's lock.

What pykka's users know an actor by takes time and memory, and few ask: it is made for those that somebody asks for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from actors.mailbox_actor import MailboxActor

if TYPE_CHECKING:
    from actors.mailbox import Mailbox
    from actors.pooled_ref import PooledActorRef
    from flowforge._engine.job import Job

__all__ = ["JobActor"]


class JobActor(MailboxActor):
    """An actor of the engine; its methods need the job's lock."""

    inbox_lane = None
    has_ref = False

    def __init__(self, job: Job, mailbox: Mailbox) -> None:
        self.job = job
        self.mailbox = mailbox
        self._group = job.group

    def __str__(self) -> str:
        return f"{type(self).__name__} ({self.label} of the job {self.job.id!r})"

    @property
    def label(self) -> str:
        """What it is in its job, for its urn."""
        raise NotImplementedError

    @property
    def actor_ref(self) -> PooledActorRef[Any]:
        """The reference to it, always the same; with the job's lock held."""
        if not self.has_ref:
            self.has_ref = True
            job = self.job
            urn = f"urn:flowforge:{job.id}:{self.label}:{job.epoch}"
            super().__init__(dispatcher=job.dispatcher, mailbox=self.mailbox, group=job.group, urn=urn)
        return self._actor_ref

    def dispose(self) -> None:
        """Break the cycles that it is part of; it gets no further turn."""
        if self.has_ref:
            self.actor_inbox.owner = None
