"""What pykka's ActorRef sees of a pooled actor: an inbox that is a mailbox.

Guarantees:

- Looking whether the actor is alive and queueing the message are one step under the mailbox's lock: a
  message is queued before the close, and then handled or answered, or it is refused.
"""

import queue
from typing import Any

from actors.dispatcher import Dispatcher, Schedulable
from actors.mailbox import Mailbox
from actors.mailbox_status import MailboxStatus
from actors.pooled_future import PooledFuture
from actors.pykka_door import ActorDeadError, Envelope

__all__ = ["Inbox"]


class Inbox:
    """The door of one actor's mailbox; every method may be called from any thread and never blocks."""

    __slots__ = ("dispatcher", "lane", "mailbox", "owner")

    dispatcher: Dispatcher
    """What gives the owner its turns; unset until one is known."""

    def __init__(self, mailbox: Mailbox, lane: int | None = 0) -> None:
        self.mailbox = mailbox
        self.lane = lane
        self.owner: Schedulable | None = None

    def offer(self, envelope: Envelope[Any]) -> bool:
        """Queue a message of pykka's; False when the actor has stopped."""
        mailbox = self.mailbox
        with mailbox.lock:
            owner = self.owner
            if owner is None or mailbox.status is MailboxStatus.CLOSED:
                return False
            if isinstance(envelope.reply_to, PooledFuture):
                envelope.reply_to.answered_by(self.dispatcher)
            lane = self.lane
            if mailbox.put_control(envelope) if lane is None else mailbox.put(lane, envelope):
                self.dispatcher.submit(owner)
            return True

    def offer_control(self, message: object) -> bool:
        """Queue a message that goes first and passes a hold; False when the actor has stopped."""
        mailbox = self.mailbox
        with mailbox.lock:
            owner = self.owner
            if owner is None or mailbox.status is MailboxStatus.CLOSED:
                return False
            if mailbox.put_control(message):
                self.dispatcher.submit(owner)
            return True

    def put(self, envelope: Envelope[Any], /) -> None:
        """Queue a message of pykka's; ActorDeadError when the actor has stopped."""
        if not self.offer(envelope):
            raise ActorDeadError("stopped")

    def get(self) -> Any:
        """Take the next message; queue.Empty when none may be handed out."""
        with self.mailbox.lock:
            lane = self.mailbox.peek()
            if lane < 0:
                raise queue.Empty
            return self.mailbox.pop(lane)

    def empty(self) -> bool:
        """Whether no message is queued, held ones included."""
        mailbox = self.mailbox
        with mailbox.lock:
            return not mailbox.control and not any(lane.items for lane in mailbox.lanes)
