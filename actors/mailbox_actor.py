"""pykka's actor with a mailbox in place of a thread: how it takes turns, answers, and ends.

Guarantees:

- `on_start`, the handlers, `on_stop` and `on_failure` of one actor never run at the same time.
- Whatever a handler raises, SystemExit and KeyboardInterrupt too, concerns this actor alone.
- What is queued when it stops is answered with ActorDeadError or handed to `on_undelivered`.
"""

import logging
import os
from typing import Any, ClassVar, Self

from actors.dispatcher import Dispatcher, Group, TurnLimits
from actors.errors import NoDispatcherError, UninitialisedActorError
from actors.inbox import Inbox
from actors.lazy_event import LazyEvent
from actors.mailbox import Lane, Mailbox
from actors.mailbox_status import MailboxStatus
from actors.messages import SetUp
from actors.pooled_future import PooledFuture
from actors.pooled_ref import PooledActorRef
from actors.pykka_door import Actor, ActorDeadError, ActorStop, Envelope, RefRegistry, SharedRegistry

__all__ = ["MailboxActor"]

# pykka's users have set up this logger.
logger = logging.getLogger("pykka")

_SET_UP = SetUp()


class MailboxActor(Actor):
    """An actor whose messages wait in a mailbox until a dispatcher gives it a turn.

    It joins pykka's ActorRegistry unless a `registry` is given. A given `mailbox` is left as it is: it may
    share its lock, have lanes of its own, and hold messages that were put while it was held.
    """

    dispatcher: ClassVar[Dispatcher | None] = None
    """What gives the actors of a class their turns, when `start_on` or the constructor does not say."""

    inbox_lane: ClassVar[int | None] = 0
    """The lane that tell, ask and stop put into; None: ahead of all lanes, with the control messages."""

    actor_inbox: Inbox
    _actor_ref: PooledActorRef[Any]
    _registry: RefRegistry = SharedRegistry()
    _group: Group | None = None
    _own_group: Group | None = None
    _is_successor: bool = False
    _waits_for_start: bool = False

    @classmethod
    def start(cls, *args: Any, **kwargs: Any) -> PooledActorRef[Self]:
        """Construct with the arguments, register, and have `on_start` run on the dispatcher.

        NoDispatcherError when neither the class nor the constructor named one.
        """
        actor = cls(*args, **kwargs)
        actor._begin()
        return actor.actor_ref

    @classmethod
    def start_on(cls, dispatcher: Dispatcher, /, *args: Any, **kwargs: Any) -> PooledActorRef[Self]:
        """`start` with the arguments, on that dispatcher."""
        actor = cls(*args, **kwargs)
        actor._begin(dispatcher)
        return actor.actor_ref

    def __init__(
        self,
        *_args: Any,
        dispatcher: Dispatcher | None = None,
        mailbox: Mailbox | None = None,
        group: Group | None = None,
        registry: RefRegistry | None = None,
        urn: str | None = None,
        **_kwargs: Any,
    ) -> None:
        if self._is_successor:
            return
        self.actor_urn = urn or _new_urn()
        # Each instance sets the same attributes here: one set later would cost it a dict of its own.
        self._waits_for_start = mailbox is None
        self._own_group = None
        if mailbox is None:
            self.actor_inbox = inbox = self._create_actor_inbox()
            # What the constructor tells to itself waits for the start.
            inbox.mailbox.hold()
        else:
            self.actor_inbox = inbox = Inbox(mailbox)
        inbox.lane = self.inbox_lane
        inbox.owner = self
        dispatcher = dispatcher or self.dispatcher
        if dispatcher is not None:
            inbox.dispatcher = dispatcher
        self._group = group
        if registry is not None:
            self._registry = registry
        self.actor_stopped = LazyEvent()
        self._actor_ref = PooledActorRef(self)

    @property
    def actor_ref(self) -> PooledActorRef[Self]:
        return self._actor_ref

    @property
    def group(self) -> Group:
        """The fairness group it is queued with; one of its own unless given."""
        if self._group is not None:
            return self._group
        if self._own_group is None:
            self._own_group = Group(self.actor_urn)
        return self._own_group

    def run_turn(self, limits: TurnLimits) -> None:
        """Handle a bounded number of messages, control messages first; called by the dispatcher only."""
        inbox = self.actor_inbox
        mailbox = inbox.mailbox
        with mailbox.lock:
            if not mailbox.start_turn():
                return
        monotonic = inbox.dispatcher.clock.monotonic
        deadline = monotonic() + limits.max_seconds
        for _ in range(limits.max_messages):
            with mailbox.lock:
                if mailbox.control:
                    item = mailbox.control.popleft()
                elif (lane := mailbox.peek()) >= 0:
                    item = mailbox.pop(lane)
                else:
                    break
            self._take(item)
            if inbox.owner is not self or monotonic() >= deadline:
                break
        with mailbox.lock:
            owner = inbox.owner
            if owner is None:
                return
            if mailbox.end_turn():
                inbox.dispatcher.submit(owner)
            else:
                # An idle actor needs no place in the round robin; its next message makes a new one.
                self._own_group = None

    def on_control(self, message: Any) -> None:
        """Handle what `tell_control` sent; the default ignores it with a warning."""
        logger.warning("Unexpected control message received by %s: %r", self, message)

    def on_undelivered(self, messages: list[Any]) -> None:
        """Take the messages that were told to the actor and will not be handled; logged as a warning before.

        Runs in the actor's turn, after `on_stop` or `on_failure` when the actor stops.
        """

    @staticmethod
    def _create_actor_inbox() -> Inbox:
        return Inbox(Mailbox((Lane("inbox"),)))

    @staticmethod
    def _create_future() -> PooledFuture[Any]:
        return PooledFuture()

    def _begin(self, dispatcher: Dispatcher | None = None) -> None:
        if not hasattr(self, "_actor_ref"):
            raise UninitialisedActorError(type(self).__name__)
        if dispatcher is not None:
            self.actor_inbox.dispatcher = dispatcher
        if not hasattr(self.actor_inbox, "dispatcher"):
            raise NoDispatcherError(type(self).__name__)
        self._registry.register(self._actor_ref)
        logger.debug("Starting %s", self)
        self._start_actor_loop()

    def _start_actor_loop(self) -> None:
        inbox = self.actor_inbox
        mailbox = inbox.mailbox
        with mailbox.lock:
            is_due = mailbox.put_control(_SET_UP)
            if self._waits_for_start:
                self._waits_for_start = False
                mailbox.release()
            if is_due:
                inbox.dispatcher.submit(self)

    def _take(self, item: Any) -> None:
        try:
            if isinstance(item, Envelope):
                self._answer(item)
            else:
                self._obey(item)
        except BaseException as error:  # noqa: BLE001 - a handler's exit must not end the pool or other actors.
            self._fail(item, error)

    def _answer(self, envelope: Envelope[Any]) -> None:
        reply_to = envelope.reply_to
        if isinstance(envelope.message, ActorStop):
            self._finish(None, envelope)
        elif reply_to is None:
            self._handle_receive(envelope.message)
        else:
            try:
                response = self._handle_receive(envelope.message)
            except BaseException:
                # Whoever asked gets what was raised.
                logger.info("Exception returned from %s to caller:", self, exc_info=True)
                reply_to.set_exception()
            else:
                reply_to.set(response)

    def _obey(self, message: Any) -> None:
        if isinstance(message, SetUp):
            self.on_start()
        else:
            self.on_control(message)

    def _fail(self, item: Any, error: BaseException) -> None:
        self._log_failure(error)
        if self.actor_inbox.mailbox.status is not MailboxStatus.CLOSED:
            # The failed message was delivered; only a failed `on_start` is told apart, as in pykka.
            self._finish(error, item if isinstance(item, SetUp) else None)

    def _finish(self, error: BaseException | None, item: Any = None) -> None:
        """Stop now: accept nothing more, run the hook, answer what is left, `item` first."""
        inbox = self.actor_inbox
        self._registry.unregister(self._actor_ref)
        with inbox.mailbox.lock:
            self.actor_stopped.set()
            left = inbox.mailbox.close()
            # The last strong reference from outside: a stopped actor is no cycle.
            inbox.owner = None
        logger.debug("Stopped %s", self)
        if not isinstance(item, SetUp):
            self._call_end_hook(error)
        self._bury([item, *left])

    def _call_end_hook(self, error: BaseException | None) -> None:
        try:
            if error is None:
                self.on_stop()
            else:
                self.on_failure(type(error), error, error.__traceback__)
        except BaseException as err:  # noqa: BLE001 - it has stopped already.
            self._log_failure(err)

    def _bury(self, items: list[Any]) -> None:
        """Answer the asks among the items, hand the tells to `on_undelivered`."""
        undelivered = []
        for item in items:
            if not isinstance(item, Envelope):
                continue
            if isinstance(item.message, ActorStop):
                if item.reply_to is not None:
                    item.reply_to.set(None)
            elif item.reply_to is not None:
                error = ActorDeadError(f"{self._actor_ref} stopped before handling the message")
                item.reply_to.set_exception((ActorDeadError, error, None))
            else:
                undelivered.append(item.message)
        if not undelivered:
            return
        logger.warning("%s leaves %d messages undelivered.", self, len(undelivered))
        try:
            self.on_undelivered(undelivered)
        except BaseException as err:  # noqa: BLE001 - the messages are logged, the actor is on its way.
            self._log_failure(err)

    def _log_failure(self, error: BaseException) -> None:
        logger.error("Unhandled exception in %s:", self, exc_info=error)


def _new_urn() -> str:
    """The urn of a random UUID (of version 4, with two bits less to chance), cheaper than through `uuid`."""
    digits = os.urandom(16).hex()
    return f"urn:uuid:{digits[:8]}-{digits[8:12]}-4{digits[13:16]}-8{digits[17:20]}-{digits[20:]}"
