"""An engine actor with an instance of its routine, made when it is first needed: what it calls, and the state."""

from __future__ import annotations

from types import MethodType
from typing import TYPE_CHECKING, Any

from flowforge._engine.held_actor import HeldActor
from flowforge._engine.logs import about, logger
from flowforge._engine.tracked import TrackedState
from flowforge._engine.work import ignore
from flowforge.error_texts import error_info

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from actors.mailbox import Mailbox
    from flowforge._engine.job import Job
    from flowforge._engine.plan import RoutinePlan
    from flowforge.routine import Routine

__all__ = ["InstanceActor"]


class InstanceActor(HeldActor):
    """Has the user's code at hand; until its first turn, and while its mailbox is held, it has no instance."""

    has_instance = False

    def __init__(self, job: Job, plan: RoutinePlan, replica: int, mailbox: Mailbox) -> None:
        super().__init__(job, plan, replica, mailbox)
        self.is_started = not self.has_start

    @property
    def has_start(self) -> bool:
        """Whether it has an `on_start` to call."""
        return self.plan.has_start

    @property
    def has_stop(self) -> bool:
        """Whether it has an `on_stop` to call."""
        return self.plan.has_stop

    # Its instance

    def renew(self) -> bool:
        """Take a fresh instance with the committed state; on the turn's thread, without the lock.

        False if it is the first and its constructor raises: the flow is wrong, and the job fails. Raises what a later
        one does, which breaks the actor.
        """
        try:
            instance = self.job.new_instance(self.plan)
        except BaseException as error:
            if self.has_instance:
                raise
            self._fail_to_construct(error)
            return False
        with self.job.lock:
            self.adopt(instance)
            self.is_started = not self.has_start
            self.adopt_work()
        return True

    def _fail_to_construct(self, error: BaseException) -> None:
        ids = (self.plan.id, self.job.id)
        text = "The constructor of %r in job %r raised."
        logger.error(text, *ids, exc_info=error, extra=about(self.job.id, self.plan.id))
        with self.job.lock:
            # There is nobody to be told of the end.
            self.is_started = False
            self.job.stop_for(error_info(error), self.plan.id)

    def settle_in(self) -> bool:
        """Take the first instance, if there is none; never pending."""
        if not self.has_instance:
            self.renew()
        return False

    def adopt_work(self) -> None:
        """Let the work that it has, if any, call its own instance; with the job's lock held."""
        work = self.work
        if work is not None:
            work.call = self.call_of(work.lane) if work.take is None else self.call_logic

    def adopt(self, instance: Routine) -> None:
        """Work with `instance` from now on, its state being what is committed."""
        view = self.job.view
        if self.has_instance:
            # Its steps may have changed what it began with.
            view.catch_up()
        self.has_instance = True
        self.instance = instance
        self.calls: list[Callable[[Any], Any] | None] = [None] * len(self.plan.slots)
        with view.lock:
            tree: Mapping[str, Any] = view.tree(self.plan.id, self.replica)
            if not self.plan.merges:
                # What it never merges needs no containers that could be rolled back.
                tree = {"state": tree["state"]}
            self.tracked = TrackedState.kept_by(self.job.state_codec, tree)
        self.user_state = self.tracked.root["state"]
        self.has_containers = False
        self.note_state_changed()

    # What it calls

    def call_of(self, lane: int) -> Callable[[Any], Any]:
        """What calls a slot's handler with a payload; compiled once."""
        return self.calls[lane] or self._compile(lane)

    def _compile(self, lane: int) -> Callable[[Any], Any]:
        slot = self.instance.slots[self.plan.slots[lane].name]
        if slot.handler is None:
            call: Callable[[Any], Any] = ignore
        else:
            assert slot.shape is not None
            call = MethodType(self.plan.caller(lane, slot.shape), slot.handler)
        self.calls[lane] = call
        return call

    def call_logic(self, argument: Any) -> Any:
        """Call the logic with `(slot_data, policy_message)`."""
        logic = self.instance.logic
        assert logic is not None
        slot_data, policy_message = argument
        return logic(slot_data, policy_message, self.job.job_state)

    def note_state_changed(self) -> None:
        """Look whether the state holds containers, which must be copied when they are emitted."""
        if not self.has_containers:
            self.has_containers = any(isinstance(value, dict | list | set) for value in self.user_state.values())
