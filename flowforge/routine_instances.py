"""From a template to the instances that a job, with each of its replicas, works with."""

import copy
from collections.abc import Mapping
from operator import is_
from types import MappingProxyType
from typing import Any, TypeVar

from flowforge.routine import Routine

__all__ = ["Blueprint", "is_surely_equal"]

T = TypeVar("T")

_OWN = frozenset(
    {
        "_config",
        "_constructed",
        "_initial_state",
        "_is_instance",
        "_latest_state",
        "_routine_id",
        "_shapes",
        "constructor",
        "events",
        "slots",
    }
)
_UNASKED: Mapping[str, Any] = MappingProxyType({})


class Blueprint:
    """A template as it was at one moment: what it is set to later counts for later jobs only."""

    __slots__ = (
        "_config",
        "_events",
        "_later",
        "_later_slots",
        "_settings",
        "_slots",
        "initial_state",
        "owners",
        "routine_id",
        "template",
    )

    def __init__(self, template: Routine, routine_id: str) -> None:
        self.template = template
        self.routine_id = routine_id
        numbers = range(template.concurrency) if template.concurrency == 1 else range(-1, template.concurrency)
        self.owners = tuple((routine_id, replica) for replica in numbers)
        """The routine with each of its replicas, -1 being the front of several."""
        self.initial_state = copy.deepcopy(template._initial_state)
        self._settings = {name: value for name, value in template.__dict__.items() if name not in _OWN}
        then = template._constructed
        self._slots = _frozen(template.slots, then["slots"])
        self._events = _frozen(template.events, then["events"])
        self._config = dict(template._config)
        self._later = {name: value for name, value in self._settings.items() if then.get(name, self) is not value}
        self._later_slots = {name: slot for name, slot in self._slots.items() if then["slots"].get(name) is not slot}

    def is_current(self) -> bool:
        """Whether the template still is what it was."""
        template = self.template
        return (
            len(template.__dict__) == len(self._settings) + len(_OWN)
            and _are_in(self._settings, template.__dict__)
            and self._slots == template.slots
            and self._events == template.events
            and len(self._config) == len(template._config)
            and _are_in(self._config, template._config)
            and is_surely_equal(self.initial_state, template._initial_state)
        )

    def build(self) -> Routine:
        """Build an instance by the template's class and arguments, then give it what was set on the template since.

        Runs the user's constructor on the calling thread; what that raises passes through. Objects are shared by
        reference; handlers and logic bound to the template are bound to the instance.
        """
        template = self.template
        cls = type(template)
        args, kwargs = template.constructor
        instance: Routine = cls.__new__(cls, *args, **kwargs)
        # By `object`: to touch its dict would cost memory, and to look for a running step would cost time.
        put = object.__setattr__
        put(instance, "_shapes", template._shapes)
        instance.__init__(*args, **kwargs)  # type: ignore[misc]  # the metaclass call would build the shapes anew
        self._copy_later_settings(instance)
        instance._complete()
        # What it is made of is asked of templates only.
        put(instance, "constructor", template.constructor)
        put(instance, "_constructed", _UNASKED)
        put(instance, "_is_instance", True)  # noqa: FBT003 - a value
        put(instance, "_routine_id", self.routine_id)
        return instance

    def _copy_later_settings(self, instance: Routine) -> None:
        template = self.template
        for name, value in self._later.items():
            object.__setattr__(instance, name, _rebound(value, template, instance))
        for name, slot in self._later_slots.items():
            instance.slots[name] = slot.with_handler(_rebound(slot.handler, template, instance))
        for name, event in self._events.items():
            made = instance.events.get(name)
            if made is None or made.output_params == event.output_params:
                instance.events[name] = event
        instance._config.update(self._config)
        object.__setattr__(instance, "_initial_state", self.initial_state)


def is_surely_equal(one: dict[str, Any], other: dict[str, Any]) -> bool:
    """Tell whether two states are equal; False as well if something in them, such as an array, cannot say."""
    try:
        return bool(one == other)
    except ValueError:
        return False


def _frozen(now: dict[str, T], then: dict[str, T]) -> dict[str, T]:
    """What is there now, in a dict that nobody changes: most often the one that the constructor's end was noted in."""
    return then if now == then else dict(now)


def _are_in(expected: Mapping[str, Any], found: Mapping[str, Any]) -> bool:
    """Whether the same objects are found under the same names."""
    return all(map(is_, expected.values(), map(found.get, expected)))


def _rebound(value: Any, template: Routine, instance: Routine) -> Any:
    if value is template:
        return instance
    if getattr(value, "__self__", None) is template and hasattr(value, "__func__"):
        return value.__func__.__get__(instance)
    return value
