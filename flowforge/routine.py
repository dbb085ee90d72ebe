"""Routine: what a user subclasses; it declares slots and events, and its handlers do the work."""

from __future__ import annotations

import copy
import random
import time
from abc import ABCMeta
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from typing import Any, ClassVar

from flowforge.activation_policies import ActivationPolicy, policy_from
from flowforge.binding import Shapes, takes
from flowforge.error_handler import ErrorHandler, ErrorStrategy
from flowforge.event import Event
from flowforge.option_checks import check_amount, check_name, instant_of, is_positive
from flowforge.routine_errors import (
    AttributeSetInStepError,
    DefinedInStepError,
    DuplicateNameError,
    ForeignStepError,
    OutsideStepError,
    RoutineOptionError,
    UninitialisedRoutineError,
)
from flowforge.slot import MergeStrategy, Slot
from flowforge.step_context import CURRENT_STEP, StepContext

__all__ = ["Logic", "Routine", "Routine2"]

Logic = Callable[[dict[str, list[dict[str, Any]]], Mapping[str, Any], Any], Any]
"""`logic(slot_data, policy_message, job_state)`."""

_EMIT_REMEDY = (
    "Emit while the handler runs; a thread or task that may outlive it should hand its result back to the handler."
)
_STATE_REMEDY = "Read it while a handler of the routine runs, or ask the JobState."


class _RoutineType(ABCMeta):
    """Notes, once a constructor has returned, what it was called with and what it left."""

    def __call__(cls, *args: Any, **kwargs: Any) -> Any:
        routine = super().__call__(*args, **kwargs)
        routine._note_construction(args, kwargs)  # noqa: SLF001 - its own metaclass
        return routine


class Routine(metaclass=_RoutineType):
    """A node of a flow: it receives data on slots and sends it on events.

    The object that is added to a flow is a template. Each job gets an instance of its own, when it first needs one,
    built by the same class with the same arguments, then given what was set on the template before the job began.
    What counts lives in `self.state`; inside a step, attributes cannot be assigned, except those named in `transient`.
    """

    transient: ClassVar[Iterable[str]] = frozenset()
    """Attributes that steps may assign: neither rolled back nor kept."""

    slots: dict[str, Slot]
    events: dict[str, Event]
    logic: Logic | None
    activation_policy: ActivationPolicy | None
    error_handler: ErrorHandler | None
    step_timeout: float | None
    concurrency: int
    is_ordered: bool
    is_pure: bool
    _config: dict[str, Any]
    _initial_state: dict[str, Any]
    _routine_id: str | None
    _latest_state: tuple[Callable[[str, dict[str, Any]], dict[str, Any]], str] | None
    _is_instance: bool
    _shapes: Shapes

    def __init__(self) -> None:
        # By `object`: no step minds what a constructor begins with, and there is an instance for each job and replica.
        put = object.__setattr__
        put(self, "slots", {})
        put(self, "events", {})
        put(self, "logic", None)
        put(self, "activation_policy", None)
        put(self, "error_handler", None)
        put(self, "step_timeout", None)
        put(self, "concurrency", 1)
        put(self, "is_ordered", True)  # noqa: FBT003 - a value
        put(self, "is_pure", False)  # noqa: FBT003 - a value
        put(self, "_config", {})
        put(self, "_initial_state", {})
        put(self, "_routine_id", None)
        put(self, "_latest_state", None)
        put(self, "_is_instance", False)  # noqa: FBT003 - a value
        if not hasattr(self, "_shapes"):
            put(self, "_shapes", {})

    def _note_construction(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        self._complete()
        self.constructor = (args, kwargs)
        then = {"slots": dict(self.slots), "events": dict(self.events), "_initial_state": dict(self._initial_state)}
        self._constructed = {**self.__dict__, **then}

    def _complete(self) -> None:
        """Define the slot that a routine which can be called has, unless it has another."""
        if not hasattr(self, "slots"):
            raise UninitialisedRoutineError(type(self).__name__)
        call = getattr(self, "__call__", None)  # noqa: B004 - the method is wanted, not the question
        if call is not None and "trigger" not in self.slots and len(self.slots) != 1:
            self.define_slot("trigger", handler=call)

    def __setattr__(self, name: str, value: object) -> None:
        step = CURRENT_STEP.get()
        if step is not None and step.is_open and "_constructed" in self.__dict__ and name not in self.transient:
            own = getattr(type(self), name, None)
            if not isinstance(own, property) or own.fset is None:
                raise AttributeSetInStepError(name, self._label)
        object.__setattr__(self, name, value)

    def __delattr__(self, name: str) -> None:
        step = CURRENT_STEP.get()
        if step is not None and step.is_open and name not in self.transient:
            raise AttributeSetInStepError(name, self._label)
        object.__delattr__(self, name)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._label!r}>"

    @property
    def routine_id(self) -> str | None:
        """Its id in the flow it was added to; None before."""
        return self._routine_id

    @property
    def _label(self) -> str:
        """What messages call it: its id, or its class before it has one."""
        return self._routine_id or type(self).__name__

    # Slots and events

    def define_slot(
        self,
        name: str,
        handler: Callable[..., Any] | None = None,
        merge_strategy: MergeStrategy = "override",
        max_queue_length: int = 1000,
        watermark: float = 0.8,
    ) -> Slot:
        """Declare an input; `handler` is called with each payload unless the routine has a logic."""
        self._check_outside_a_step("define_slot")
        slot = Slot(name, handler, merge_strategy, max_queue_length, watermark, shapes=self._shapes)
        if name in self.slots:
            raise DuplicateNameError("a slot", name, self._label)
        self.slots[name] = slot
        return slot

    add_slot = define_slot

    def define_event(self, name: str, output_params: Iterable[str] | None = None) -> Event:
        """Declare an output; `output_params` names the keys its payloads have, for checks when a flow is validated."""
        self._check_outside_a_step("define_event")
        event = Event(name, output_params)
        if name in self.events:
            raise DuplicateNameError("an event", name, self._label)
        self.events[name] = event
        return event

    add_event = define_event

    # Inside a step

    def emit(self, event: str, /, **data: Any) -> None:
        """Send `data` on `event` when this step commits; only while the handler runs.

        Raises OutsideStepError, ForeignStepError for another routine's event, UnknownEventError.
        """
        step = CURRENT_STEP.get()
        if step is None or not step.is_open or step.routine is not self:
            step = self._own_step(event)
        step.emit(event, data)

    def emit_after(self, seconds: float, event: str, /, **data: Any) -> None:
        """Send `data` on `event` so many seconds after this step has committed; a job with a timer goes on until then.

        It fires once, also if the job was paused or its process restarted: what is overdue then, at once, or, of more
        than a hundred, in the order of their instants, a hundred every ten milliseconds. Raises as `emit` does, and
        OptionError for what is no amount of seconds.
        """
        step = self._own_step(event)
        delay = check_amount(f"emit_after of the routine {self._label!r}", "seconds", seconds)
        step.emit_later(event, data, step.now() + delay, delay)

    def emit_at(self, when: datetime | float, event: str, /, **data: Any) -> None:
        """`emit_after` for an instant: an aware datetime, or seconds since the epoch; one that has passed is now."""
        step = self._own_step(event)
        due = instant_of(f"emit_at of the routine {self._label!r}", when)
        step.emit_later(event, data, due, max(0.0, due - step.now()))

    def _own_step(self, event: str) -> StepContext:
        step = CURRENT_STEP.get()
        if step is None or not step.is_open:
            raise OutsideStepError(f"The event {event!r}", self._label, _EMIT_REMEDY)
        if not step.owns(self):
            raise ForeignStepError(event, self._label, step.routine_id)
        return step

    def send_output(self, output_type: str, /, **data: Any) -> None:
        """Hand `data` to the job's output handler and output log when this step commits."""
        step = self._step(f"The output {output_type!r}", _EMIT_REMEDY)
        step.send_output(check_name(f"An output of the routine {self._label!r}", "output_type", output_type), data)

    @property
    def state(self) -> dict[str, Any]:
        """The routine's state: changes inside a step take effect with it; in a constructor, the initial state."""
        step = CURRENT_STEP.get()
        if step is not None and step.is_open and (step.routine is self or step.owns(self)):
            return step.state
        if self._is_instance:
            remedy = "Change it in a handler; give it its first values in the constructor."
            raise OutsideStepError("The state", self._label, remedy)
        return self._initial_state

    @state.setter
    def state(self, values: Mapping[str, Any]) -> None:
        state = self.state
        # `self.state |= ...` has changed it already, and gives it back.
        if values is not state:
            new = dict(values)
            state.clear()
            state.update(new)

    _stats = state

    def stats(self) -> dict[str, Any]:
        """A copy of the state: of this step, or of the most recently started job, or what a job would start with."""
        step = CURRENT_STEP.get()
        if step is not None and step.is_open and step.owns(self):
            return copy.deepcopy(step.state)
        if self._latest_state is not None:
            read, routine_id = self._latest_state
            return read(routine_id, {})
        return copy.deepcopy(self._initial_state)

    def get_stat(self, key: str, default: Any = None) -> Any:
        """One value of the state."""
        return self.stats().get(key, default) if CURRENT_STEP.get() is None else self.state.get(key, default)

    def set_stat(self, key: str, value: Any) -> None:
        """Set one value of the state."""
        self.state[key] = value

    def increment_stat(self, key: str, amount: float = 1) -> Any:
        """Add to a number in the state, from 0 if it is not there; the new value."""
        state = self.state
        value = state[key] = state.get(key, 0) + amount
        return value

    def reset_stats(self) -> None:
        """Empty the state."""
        self.state.clear()

    @property
    def job_state(self) -> Any:
        """The JobState of the job that this step belongs to."""
        return self._step("The job_state", _STATE_REMEDY).job_state

    @property
    def cancelled(self) -> bool:
        """Whether the job was cancelled, or this step's time is over; a long handler should look and return."""
        step = CURRENT_STEP.get()
        return step is not None and step.is_cancelled

    def now(self) -> float:
        """Seconds since the epoch by the runtime's clock, so that a simulation can decide it."""
        step = CURRENT_STEP.get()
        return time.time() if step is None else step.now()

    @property
    def random(self) -> random.Random:
        """Random numbers that are the same on every attempt at a message."""
        return self._step("The random", "Use it while a handler of the routine runs.").random

    def idempotency_key(self) -> str:
        """A text for an external effect: the same on every attempt, another for each call in a step."""
        return self._step("The idempotency_key", "Ask for it while a handler of the routine runs.").idempotency_key()

    def _check_outside_a_step(self, what: str) -> None:
        step = CURRENT_STEP.get()
        if step is not None and step.is_open and "_constructed" in self.__dict__:
            raise DefinedInStepError(what, self._label)

    def _step(self, what: str, remedy: str) -> StepContext:
        step = CURRENT_STEP.get()
        if step is None or not step.is_open:
            raise OutsideStepError(what, self._label, remedy)
        return step

    # Options

    def set_config(self, **values: Any) -> None:
        """Set static parameters; they are kept with the flow, not with the job."""
        self._check_outside_a_step("set_config")
        self._config.update(values)

    def get_config(self, key: str, default: Any = None) -> Any:
        """One static parameter."""
        return self._config.get(key, default)

    @property
    def config(self) -> dict[str, Any]:
        """The static parameters."""
        return self._config

    def set_logic(self, logic: Logic) -> None:
        """Call `logic(slot_data, policy_message, job_state)` per activation, instead of slot handlers."""
        self._check_outside_a_step("set_logic")
        if not takes(logic, 3):
            remedy = "Give a function (slot_data, policy_message, job_state)."
            raise RoutineOptionError("logic", logic, self._label, remedy)
        self.logic = logic

    def set_activation_policy(self, policy: ActivationPolicy | Callable[..., Any]) -> None:
        """Decide when, and with which of the waiting payloads, the logic is called; immediate by default."""
        self._check_outside_a_step("set_activation_policy")
        self.activation_policy = policy_from(policy)

    def set_error_handler(self, handler: ErrorHandler) -> None:
        """Answer this routine's errors by `handler`, before the flow's is asked."""
        self._check_outside_a_step("set_error_handler")
        if not isinstance(handler, ErrorHandler):
            raise RoutineOptionError("error handler", handler, self._label, "Give an ErrorHandler(...).")
        self.error_handler = handler

    def set_as_optional(self, strategy: ErrorStrategy | str = ErrorStrategy.CONTINUE) -> None:
        """Let the job go on when this routine fails."""
        self.set_error_handler(ErrorHandler.optional(strategy))

    def set_as_critical(self, max_retries: int = 3, retry_delay: float = 1.0, retry_backoff: float = 2.0) -> None:
        """Try this routine again, then fail the job."""
        self.set_error_handler(
            ErrorHandler.critical(max_retries=max_retries, retry_delay=retry_delay, retry_backoff=retry_backoff)
        )

    def set_timeout(self, timeout: float | None) -> None:
        """Fail a step that takes longer than `timeout` seconds; an async handler is cancelled, a thread cannot be."""
        self._check_outside_a_step("set_timeout")
        if not (timeout is None or is_positive(timeout)):
            raise RoutineOptionError("timeout", timeout, self._label, "Give seconds above 0, or None for no limit.")
        self.step_timeout = timeout

    def set_concurrency(self, n: int, ordered: bool = True) -> None:  # noqa: FBT001, FBT002 - as users type it
        """Run `n` replicas behind the slots, each with its own instance and state; `ordered` commits in input order."""
        self._check_outside_a_step("set_concurrency")
        if type(n) is not int or n < 1:
            raise RoutineOptionError("concurrency", n, self._label, "Give a whole number of replicas, 1 or more.")
        self.concurrency = n
        self.is_ordered = ordered

    def set_pure(self, is_pure: bool = True) -> None:  # noqa: FBT001, FBT002 - as users type it
        """Say that handlers do nothing outside of the job, so that steps may run ahead of a durable log.

        What they emit still reaches the disk in order; without this a step starts when its message is on disk.
        """
        self._check_outside_a_step("set_pure")
        self.is_pure = is_pure

    # Hooks

    def on_start(self) -> Any:
        """Open what the handlers need; runs in the actor before its first message, may be async and set attributes."""

    def on_stop(self) -> Any:
        """Close what `on_start` opened; runs in the actor after its last message, may be async."""


Routine2 = Routine
"""The first name of Routine."""
