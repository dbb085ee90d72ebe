"""An actor that starts others, decides what becomes of those that fail, and stops them in order.

Guarantees:

- Children stop in the reverse order of their start, each after the one started later has stopped.
- A child that failed gets one directive, and nothing else happens to it until then.
- The supervisor stops, or is restarted, after its children have stopped; what is told to it meanwhile waits.
- No directive and no decision waits behind messages that users told to the supervisor or the child.
"""

from collections.abc import Callable
from typing import Any, TypeVar

from actors.dispatcher import Timer
from actors.errors import RestartBudgetSpentError, SupervisorStoppingError
from actors.messages import Apply, ChildFailed, ChildStopped
from actors.pooled_actor import Failure, Lineage, PooledActor
from actors.pooled_ref import PooledActorRef
from actors.pykka_door import ActorRef, ActorStop, Envelope
from actors.supervision import RESTART, STOP, Action, Directive, RestartBudget

__all__ = ["Supervisor"]

P = TypeVar("P", bound=PooledActor)


class _Ward:
    """A child, and what stands between its failure and the directive."""

    __slots__ = ("is_suspended", "ref", "timer")

    def __init__(self, ref: PooledActorRef[Any]) -> None:
        self.ref = ref
        self.is_suspended = False
        self.timer: Timer | None = None


class Supervisor(PooledActor):
    """Supervises what `start_child` started; `on_receive` is free for its subclasses.

    Failures are answered by `strategy`, or by an override of `decide`. All children share the budget of
    restarts. Its methods run in its own turns: call them from its handlers and hooks, or through its proxy.
    """

    def __init__(
        self,
        *args: Any,
        strategy: Callable[[ChildFailed], Directive] | None = None,
        budget: RestartBudget | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, **kwargs)
        self._strategy = strategy
        self._budget = RestartBudget() if budget is None else budget
        self._wards: dict[ActorRef[Any], _Ward] = {}
        self._deferred: list[ChildFailed] = []
        self._after_stop: Callable[[], None] | None = None
        self._stops_at_once = False
        self._is_ending = False

    @property
    def children(self) -> tuple[ActorRef[Any], ...]:
        """The children that have not stopped, in the order of their start."""
        return tuple(self._wards)

    def start_child(self, actor_class: type[P], *args: Any, **kwargs: Any) -> PooledActorRef[P]:
        """Start `actor_class(*args, **kwargs)` as the youngest child; a restart makes it anew of the same.

        SupervisorStoppingError while the children are being stopped.
        """
        if self._after_stop is not None:
            raise SupervisorStoppingError(str(self), actor_class.__name__)
        child = actor_class.start_under(
            Lineage(self._actor_ref, args, kwargs),
            dispatcher=self.actor_inbox.dispatcher,
            registry=self._registry,
            group=self._group,
        )
        self._wards[child] = _Ward(child)
        return child

    def stop_children(self) -> None:
        """Begin to stop all children and return; `on_children_stopped` follows.

        A child first handles what is in its mailbox; one that fails on that, or had failed before, stops
        there.
        """
        if self._after_stop is None:
            self._stop_children_and(self.on_children_stopped)

    def decide(self, failure: ChildFailed) -> Directive:
        """The answer to a child's failure: that of the strategy, else RESTART."""
        return RESTART if self._strategy is None else self._strategy(failure)

    def direct(self, child: ActorRef[Any], directive: Directive) -> None:
        """Have a suspended child do as the directive says, after its delay; ignored if it has stopped."""
        ward = self._wards.get(child)
        if ward is None:
            return
        order = Apply(Directive(directive.action))
        if directive.delay:
            ward.timer = self.actor_inbox.dispatcher.call_later(directive.delay, lambda: _send_control(ward.ref, order))
        else:
            ward.is_suspended = False
            _send_control(ward.ref, order)

    def on_escalation(self, failure: ChildFailed) -> None:
        """Deal with a child that would need a restart more than the budget has.

        The default stops the child and makes the failure the supervisor's own: its parent decides, or it
        stops. An override must call `direct`, which the child is waiting for.
        """
        self.direct(failure.child, STOP)
        budget = self._budget
        raise RestartBudgetSpentError(str(failure.child), budget.max_restarts, budget.within_seconds) from failure.error

    def on_children_stopped(self) -> None:
        """Go on after `stop_children`, when the last child has stopped."""

    def on_control(self, message: Any) -> None:
        if isinstance(message, ChildFailed):
            self._answer_failure(message)
        elif isinstance(message, ChildStopped):
            self._strike_off(message.child)
        else:
            super().on_control(message)

    def _answer_failure(self, failure: ChildFailed) -> None:
        ward = self._wards.get(failure.child)
        if ward is None:
            return
        ward.is_suspended = True
        if self._after_stop is not None:
            self.direct(failure.child, STOP)
        elif self._failure is not None:
            self._deferred.append(failure)
        else:
            directive = self.decide(failure)
            if directive.action is Action.RESTART:
                delay = self._budget.next_delay(self.actor_inbox.dispatcher.clock.monotonic())
                if delay is None:
                    self.on_escalation(failure)
                    return
                directive = Directive(Action.RESTART, max(delay, directive.delay))
            self.direct(failure.child, directive)

    def _strike_off(self, child: ActorRef[Any]) -> None:
        ward = self._wards.pop(child, None)
        if ward is not None and ward.timer is not None:
            ward.timer.cancel()
        if self._after_stop is not None:
            self._stop_next()

    def _stop_children_and(self, action: Callable[[], None], *, at_once: bool = False) -> None:
        self._after_stop = action
        self._stops_at_once = at_once
        self._stop_next()

    def _stop_next(self) -> None:
        """Ask the youngest child to stop, or go on with what all this is for."""
        if not self._wards:
            action, self._after_stop = self._after_stop, None
            assert action is not None
            action()
            return
        ward = self._wards[next(reversed(self._wards))]
        if ward.timer is not None and ward.timer.cancel():
            ward.is_suspended = True
        if self._stops_at_once or ward.is_suspended:
            _send_control(ward.ref, Apply(STOP))
        else:
            ward.ref.actor_inbox.offer(Envelope(ActorStop()))

    def _go_on(self, item: Any = None) -> None:
        failed = None if self._failure is None else self._failure.item
        super()._go_on(item)
        if item is None and isinstance(failed, ChildFailed):
            # Nobody else will decide on a child whose failure was the supervisor's own.
            self.direct(failed.child, STOP)
        deferred, self._deferred = self._deferred, []
        for failure in deferred:
            self.actor_inbox.offer_control(failure)

    def _restart(self, failure: Failure) -> None:
        self._stop_children_and(lambda: super(Supervisor, self)._restart(failure), at_once=True)

    def _finish(self, error: BaseException | None, item: Any = None) -> None:
        if self._is_ending:
            return
        self._is_ending = True
        mailbox = self.actor_inbox.mailbox
        with mailbox.lock:
            mailbox.hold()
        self._stop_children_and(
            lambda: super(Supervisor, self)._finish(error, item),
            at_once=self._failure is not None,
        )


def _send_control(child: PooledActorRef[Any], order: Apply) -> None:
    """Queue the order; a child that has stopped in the meantime needs none."""
    child.actor_inbox.offer_control(order)
