"""The actor to subclass: pykka's contract on a dispatcher, and the child's side of supervision.

Guarantees:

- A supervised actor that fails hands out no message until its supervisor has decided.
- The message it failed on stays first; a retry or a restart takes it again, before all that is queued.
- A restart keeps the reference, the urn and the mailbox.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from actors.dispatcher import Dispatcher, Group
from actors.mailbox_actor import MailboxActor
from actors.mailbox_status import MailboxStatus
from actors.messages import Apply, ChildFailed, ChildStopped, SetUp
from actors.pooled_ref import PooledActorRef
from actors.pykka_door import Envelope, RefRegistry
from actors.supervision import Action, Directive

__all__ = ["Failure", "Lineage", "PooledActor"]


@dataclass(frozen=True, slots=True)
class Lineage:
    """Whose child an actor is, and what a fresh instance of it is made of."""

    supervisor: PooledActorRef[Any]
    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Failure:
    """What a suspended actor failed on."""

    item: Any
    error: BaseException


_IDENTITY = (
    "_actor_ref",
    "_attempts",
    "_failure",
    "_group",
    "_lineage",
    "_registry",
    "actor_inbox",
    "actor_stopped",
    "actor_urn",
)
"""What a fresh instance takes over from the one that it replaces."""


class PooledActor(MailboxActor):
    """An actor without a thread: `start_on(dispatcher, ...)` it, then use it as any actor of pykka.

    Without a supervisor, a message told to it that raises stops it after `on_failure`, as in pykka.
    """

    _lineage: Lineage | None = None
    _failure: Failure | None = None
    _attempts: int = 0

    @classmethod
    def start_under(
        cls,
        lineage: Lineage,
        *,
        dispatcher: Dispatcher,
        registry: RefRegistry,
        group: Group | None,
    ) -> PooledActorRef[Self]:
        """Start a child; on `dispatcher` and in `group` unless its class names a dispatcher."""
        actor = cls(*lineage.args, **lineage.kwargs)
        actor._lineage = lineage
        actor._registry = registry
        if cls.dispatcher is None:
            actor._group = group
            actor._begin(dispatcher)
        else:
            actor._begin()
        return actor.actor_ref

    def _obey(self, message: Any) -> None:
        if isinstance(message, Apply):
            self._apply(message.directive)
        else:
            super()._obey(message)

    def _fail(self, item: Any, error: BaseException) -> None:
        if not self._suspend(item, error):
            super()._fail(item, error)

    def _suspend(self, item: Any, error: BaseException) -> bool:
        """Hold the mailbox and leave the decision to the supervisor; False when there is none."""
        mailbox = self.actor_inbox.mailbox
        if self._lineage is None or self._failure is not None or mailbox.status is MailboxStatus.CLOSED:
            return False
        with mailbox.lock:
            mailbox.hold()
        if self._report(Failure(item, error), self._lineage):
            return True
        self._failure = None
        return False

    def _report(self, failure: Failure, lineage: Lineage) -> bool:
        """Ask the supervisor; False when it has stopped."""
        self._failure = failure
        self._attempts += 1
        message = failure.item.message if isinstance(failure.item, Envelope) else failure.item
        report = ChildFailed(self._actor_ref, failure.error, message, self._attempts)
        return lineage.supervisor.actor_inbox.offer_control(report)

    def _apply(self, directive: Directive) -> None:
        failure = self._failure
        if directive.action is Action.STOP:
            self._finish(None if failure is None else failure.error)
        elif failure is not None:
            match directive.action:
                case Action.RESTART:
                    self._restart(failure)
                case Action.RETRY:
                    self._go_on(failure.item)
                case Action.RESUME:
                    self._go_on()
                case Action.SKIP:
                    self._go_on()
                    self._bury([failure.item])

    def _go_on(self, item: Any = None) -> None:
        """End the suspension, taking `item` first; a failure on that begins the next one."""
        self._failure = None
        mailbox = self.actor_inbox.mailbox
        with mailbox.lock:
            # Nothing to submit: this is inside a turn, and its end looks for work.
            mailbox.release()
        if item is not None:
            self._take(item)
        if self._failure is None:
            self._attempts = 0

    def _restart(self, failure: Failure) -> None:
        """Put a fresh instance in the place of this one."""
        self._call_end_hook(failure.error)
        successor = type(self).__new__(type(self))
        for name in _IDENTITY:
            setattr(successor, name, getattr(self, name))
        successor._succeed(failure)  # noqa: SLF001 - its own class.

    def _succeed(self, failure: Failure) -> None:
        """Begin as the fresh instance; when that fails, ask the supervisor again."""
        lineage = self._lineage
        assert lineage is not None
        self._is_successor = True
        self.actor_inbox.owner = self
        self._actor_ref.rebind(self)
        try:
            type(self).__init__(self, *lineage.args, **lineage.kwargs)
            self.on_start()
        except BaseException as error:  # noqa: BLE001 - as in a handler.
            if not self._report(Failure(failure.item, error), lineage):
                super()._fail(failure.item, error)
            return
        self._go_on(None if isinstance(failure.item, SetUp) else failure.item)

    def _finish(self, error: BaseException | None, item: Any = None) -> None:
        if item is None and self._failure is not None:
            item = self._failure.item
        super()._finish(error, item)
        if self._lineage is not None:
            # A supervisor that is gone by now has stopped its children itself.
            self._lineage.supervisor.actor_inbox.offer_control(ChildStopped(self._actor_ref))
