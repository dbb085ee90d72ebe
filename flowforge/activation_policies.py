"""When a routine's logic is called, and with how much of what waits.

A policy is asked by its routine's own actor, never twice at once. It is pure: all it knows is in `Waiting`,
so the same waiting messages at the same time give the same answer, in a simulation and after a crash too.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from flowforge.binding import takes
from flowforge.option_checks import check_amount, check_name, check_whole_number
from flowforge.option_errors import OptionError, PolicyAnswerError, UnknownPolicySlotError

__all__ = [
    "Activation",
    "ActivationPolicy",
    "Waiting",
    "all_slots_ready_policy",
    "batch_size_policy",
    "check_activation",
    "custom_policy",
    "immediate_policy",
    "policy_from",
    "time_interval_policy",
]


class Waiting(Protocol):
    """What waits in front of a routine when its policy is asked; valid during that call only."""

    @property
    def counts(self) -> Mapping[str, int]:
        """How many messages wait in each slot; every slot is present, in the order of definition."""
        ...

    def payloads(self, slot: str) -> list[dict[str, Any]]:
        """The payloads waiting in `slot`, oldest first; a list of the caller's own."""
        ...

    @property
    def now(self) -> float:
        """Seconds since the epoch."""
        ...

    @property
    def oldest(self) -> float | None:
        """When the oldest waiting message was committed; None if nothing waits."""
        ...

    @property
    def last_activation(self) -> float | None:
        """When the logic was last called; None before the first call."""
        ...


@dataclass(frozen=True, slots=True)
class Activation:
    """One call of the logic: how many of each slot's oldest messages it gets, and its `policy_message`."""

    take: Mapping[str, int]
    """Slots that are left out give nothing."""
    message: Mapping[str, object] = field(default_factory=dict)


class ActivationPolicy(ABC):
    """Base of all policies; a subclass of your own implements `decide`, and whatever else differs."""

    __slots__ = ()

    name: str = "activation policy"
    """What errors and `policy_message` call it."""

    @property
    def needs(self) -> frozenset[str]:
        """Slots that its routine must have."""
        return frozenset()

    @abstractmethod
    def decide(self, waiting: Waiting) -> Activation | None:
        """The next activation, or None to wait for more; asked again after each one until it answers None."""
        ...

    def drain(self, waiting: Waiting) -> Activation | None:
        """The activation for a remainder that nothing can complete any more; None makes it dead letters."""
        return None

    def next_check(self, waiting: Waiting) -> float | None:
        """Seconds until time alone may change the answer of `decide`; None if time never does."""
        return None

    def is_like(self, other: object) -> bool:
        """Whether `other` decides the same, as far as can be told: functions are told apart by their policy's name."""
        return self == other

    def check_slots(self, slots: Collection[str]) -> None:
        """Raise UnknownPolicySlotError unless all that this policy needs is among `slots`."""
        for slot in sorted(self.needs.difference(slots)):
            raise UnknownPolicySlotError(self.name, slot, slots)


@dataclass(frozen=True, slots=True)
class _Immediate(ActivationPolicy):
    name = "immediate"

    def decide(self, waiting: Waiting) -> Activation | None:
        for slot, count in waiting.counts.items():
            if count:
                return Activation({slot: 1}, {"policy": "immediate"})
        return None


@dataclass(frozen=True, slots=True)
class _BatchSize(ActivationPolicy):
    size: int
    slot: str | None
    name = "batch_size"

    @property
    def needs(self) -> frozenset[str]:
        return frozenset() if self.slot is None else frozenset({self.slot})

    def decide(self, waiting: Waiting) -> Activation | None:
        counts = waiting.counts
        if self.slot is None:
            is_full = sum(counts.values()) >= self.size
            return self._batch(_share_out(self.size, counts)) if is_full else None
        if counts[self.slot] < self.size:
            return None
        return self._batch({**_all_of(counts), self.slot: self.size})

    def drain(self, waiting: Waiting) -> Activation | None:
        take = _all_of(waiting.counts)
        return self._batch(take, is_remainder=True) if take else None

    def _batch(self, take: Mapping[str, int], *, is_remainder: bool = False) -> Activation:
        return Activation(take, {"policy": self.name, "size": self.size, "is_remainder": is_remainder})


@dataclass(frozen=True, slots=True)
class _AllSlotsReady(ActivationPolicy):
    name = "all_slots_ready"

    def decide(self, waiting: Waiting) -> Activation | None:
        counts = waiting.counts
        if counts and all(counts.values()):
            return Activation(dict.fromkeys(counts, 1), {"policy": self.name})
        return None


@dataclass(frozen=True, slots=True)
class _TimeInterval(ActivationPolicy):
    seconds: float
    name = "time_interval"

    def decide(self, waiting: Waiting) -> Activation | None:
        left = self._left(waiting)
        return None if left is None or left > 0 else self._all(waiting, is_remainder=False)

    def drain(self, waiting: Waiting) -> Activation | None:
        return None if waiting.oldest is None else self._all(waiting, is_remainder=True)

    def next_check(self, waiting: Waiting) -> float | None:
        return self._left(waiting)

    def _left(self, waiting: Waiting) -> float | None:
        oldest, last = waiting.oldest, waiting.last_activation
        if oldest is None:
            return None
        begin = oldest if last is None else max(oldest, last)
        # A clock that has been set back says nothing of how long it has been.
        return max(0.0, begin + self.seconds - waiting.now) if begin <= waiting.now else 0.0

    def _all(self, waiting: Waiting, *, is_remainder: bool) -> Activation:
        message = {"policy": self.name, "seconds": self.seconds, "is_remainder": is_remainder}
        return Activation(_all_of(waiting.counts), message)


@dataclass(frozen=True, slots=True)
class _Custom(ActivationPolicy):
    """Functions of the user's, each answer checked."""

    on_decide: Callable[[Waiting], Activation | None]
    on_drain: Callable[[Waiting], Activation | None] | None
    on_next_check: Callable[[Waiting], float | None] | None
    name: str
    slots: frozenset[str] = frozenset()

    @property
    def needs(self) -> frozenset[str]:
        return self.slots

    def is_like(self, other: object) -> bool:
        return isinstance(other, _Custom) and other.name == self.name

    def decide(self, waiting: Waiting) -> Activation | None:
        return check_activation(self.on_decide(waiting), waiting, self.name)

    def drain(self, waiting: Waiting) -> Activation | None:
        return None if self.on_drain is None else check_activation(self.on_drain(waiting), waiting, self.name)

    def next_check(self, waiting: Waiting) -> float | None:
        return None if self.on_next_check is None else _check_delay(self.on_next_check(waiting), self.name)


def immediate_policy() -> ActivationPolicy:
    """Call the logic for each message by itself; earlier defined slots first."""
    return _Immediate()


def batch_size_policy(size: int, slot: str | None = None) -> ActivationPolicy:
    """Call the logic when `size` messages wait, over all slots or in `slot`; with what is left at the end.

    Over all slots, a batch holds exactly `size` messages, shared as evenly as they allow. With `slot`, it
    holds exactly `size` of that slot, and all that waits in the others goes along.
    """
    checked = check_whole_number("batch_size_policy", "size", size, least=1)
    if slot is not None:
        check_name("batch_size_policy", "slot", slot)
    return _BatchSize(checked, slot)


def all_slots_ready_policy() -> ActivationPolicy:
    """Call the logic with one message of each slot; what finds no partner ends as a dead letter."""
    return _AllSlotsReady()


def time_interval_policy(seconds: float) -> ActivationPolicy:
    """Call the logic with all that waits, at most once in `seconds`.

    A first message waits for `seconds`, so what arrives in a burst is gathered into one call.
    """
    return _TimeInterval(check_amount("time_interval_policy", "seconds", seconds, is_zero_allowed=False))


def custom_policy(
    decide: Callable[[Waiting], Activation | None],
    drain: Callable[[Waiting], Activation | None] | None = None,
    next_check: Callable[[Waiting], float | None] | None = None,
    name: str = "custom",
) -> ActivationPolicy:
    """A policy of plain functions, called as the methods of ActivationPolicy are; they must be pure.

    An answer that cannot be carried out raises PolicyAnswerError, and nothing is taken.
    """
    for option, function in (("decide", decide), ("drain", drain), ("next_check", next_check)):
        is_left_out = function is None and option != "decide"
        if not is_left_out and not callable(function):
            raise OptionError("custom_policy", option, function, "Give a function of one Waiting.")
    check_name("custom_policy", "name", name)
    return _Custom(decide, drain, next_check, name)


def policy_from(value: object) -> ActivationPolicy:
    """The policy that `value` is, or a custom one whose `decide` it is; OptionError for anything else.

    Whatever comes back checks its own answers: a policy class of the user's is wrapped for that.
    """
    if isinstance(value, _Immediate | _BatchSize | _AllSlotsReady | _TimeInterval | _Custom):
        return value
    if isinstance(value, ActivationPolicy):
        return _Custom(value.decide, value.drain, value.next_check, value.name, value.needs)
    factories = (immediate_policy, batch_size_policy, all_slots_ready_policy, time_interval_policy, custom_policy)
    if callable(value) and not isinstance(value, type) and value not in factories and takes(value, 1):
        return custom_policy(value)
    remedy = "Give a policy such as immediate_policy(), or a function of what waits."
    raise OptionError("set_activation_policy", "policy", value, remedy)


def check_activation(activation: object, waiting: Waiting, policy: str = "custom") -> Activation | None:
    """`activation` if it is None or can be carried out; else PolicyAnswerError, naming `policy`."""
    if activation is None:
        return None
    if not isinstance(activation, Activation):
        raise PolicyAnswerError(policy, activation, "Return Activation({slot: number}) or None.")
    counts = waiting.counts
    for slot, number in activation.take.items():
        _check_take(activation, policy, slot, number, counts)
    if not any(activation.take.values()):
        raise PolicyAnswerError(policy, activation, "Take at least one message, or return None to wait.")
    return activation


def _check_take(activation: Activation, policy: str, slot: str, number: object, counts: Mapping[str, int]) -> None:
    if slot not in counts:
        choices = ", ".join(map(repr, counts)) or "none"
        raise PolicyAnswerError(policy, activation, f"There is no slot {slot!r}; the slots are: {choices}.")
    if not isinstance(number, int) or number < 0:
        raise PolicyAnswerError(policy, activation, f"Take a whole number of messages of {slot!r}, 0 or more.")
    if number > counts[slot]:
        remedy = f"Take no more than the {counts[slot]} waiting in {slot!r}."
        raise PolicyAnswerError(policy, activation, remedy)


def _check_delay(delay: object, policy: str) -> float | None:
    if delay is None:
        return None
    if isinstance(delay, int | float) and 0 <= delay < math.inf:
        return float(delay)
    raise PolicyAnswerError(policy, delay, "Return seconds from 0 up, or None if time changes nothing.")


def _all_of(counts: Mapping[str, int]) -> dict[str, int]:
    return {slot: count for slot, count in counts.items() if count}


def _share_out(size: int, counts: Mapping[str, int]) -> dict[str, int]:
    """Take `size` from `counts`, as even as they allow, so that no busy slot starves another."""
    take: dict[str, int] = {}
    left, slots = size, sorted(_all_of(counts).items(), key=lambda item: item[1])
    for done, (slot, count) in enumerate(slots):
        share = -(-left // (len(slots) - done))
        take[slot] = min(count, share)
        left -= take[slot]
    return {slot: take[slot] for slot in counts if take.get(slot)}
