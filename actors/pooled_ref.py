"""The reference to a pooled actor: pykka's, with its check for life and its put made one step."""

import weakref
from typing import Any, Literal, TypeVar, overload

from actors.errors import WaitInsideTurnError
from actors.inbox import Inbox
from actors.pykka_door import Actor, ActorDeadError, ActorRef, Envelope, Future
from actors.turn_context import is_inside_turn

__all__ = ["PooledActorRef"]

A = TypeVar("A", bound=Actor)


class PooledActorRef(ActorRef[A]):
    """Safe to pass to any thread; stays the same, and good, when a supervisor restarts the actor."""

    actor_inbox: Inbox

    def tell(self, message: Any) -> None:
        """Queue `message` and return; ActorDeadError when the actor has stopped."""
        if not self.actor_inbox.offer(Envelope(message)):
            raise self._dead()

    def tell_control(self, message: object) -> None:
        """Queue a message for `on_control`, ahead of all others; ActorDeadError when it has stopped."""
        if not self.actor_inbox.offer_control(message):
            raise self._dead()

    @overload
    def ask(self, message: Any, *, block: Literal[False], timeout: float | None = None) -> Future[Any]: ...

    @overload
    def ask(self, message: Any, *, block: Literal[True], timeout: float | None = None) -> Any: ...

    @overload
    def ask(self, message: Any, *, block: bool = True, timeout: float | None = None) -> Any | Future[Any]: ...

    def ask(self, message: Any, *, block: bool = True, timeout: float | None = None) -> Any | Future[Any]:
        """Queue `message`; wait for the answer or, with `block=False`, return a future of it.

        WaitInsideTurnError, with nothing sent, when it would wait inside a turn.
        """
        if block and self.is_alive() and is_inside_turn():
            raise WaitInsideTurnError(str(self))
        future = self.actor_class._create_future()  # noqa: SLF001 - pykka's own way to get one.
        if not self.actor_inbox.offer(Envelope(message, future)):
            future.set_exception((ActorDeadError, self._dead(), None))
        return future.get(timeout=timeout) if block else future

    def rebind(self, actor: A) -> None:
        """Let the reference stand for `actor`, the successor of a restarted one."""
        self._actor_weakref = weakref.ref(actor)

    def _dead(self) -> ActorDeadError:
        return ActorDeadError(f"{self} not found")
