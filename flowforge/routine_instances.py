"""From a template to the instance that one job, or one replica, works with."""

import copy
from typing import Any

from flowforge.routine import Routine

__all__ = ["instantiate", "is_surely_equal"]

_OWN = frozenset(
    {
        "_config",
        "_constructed",
        "_initial_state",
        "_is_instance",
        "_latest_state",
        "_shapes",
        "constructor",
        "events",
        "slots",
    }
)


def instantiate(template: Routine) -> Routine:
    """Build an instance by the template's class and arguments, then give it what was set on the template since.

    Runs the user's constructor on the calling thread; what that raises passes through. Objects are shared by
    reference; handlers and logic bound to the template are bound to the instance.
    """
    cls = type(template)
    args, kwargs = template.constructor
    instance: Routine = cls.__new__(cls, *args, **kwargs)
    instance.__dict__["_shapes"] = template.__dict__["_shapes"]
    instance.__init__(*args, **kwargs)  # type: ignore[misc]  # the metaclass call would build the shapes anew
    _copy_later_settings(template, instance)
    instance._note_construction(args, kwargs)
    instance.__dict__["_is_instance"] = True
    return instance


def is_surely_equal(one: dict[str, Any], other: dict[str, Any]) -> bool:
    """Tell whether two states are equal; False as well if something in them, such as an array, cannot say."""
    try:
        return bool(one == other)
    except ValueError:
        return False


def _copy_later_settings(template: Routine, instance: Routine) -> None:
    then = template._constructed
    for name, value in template.__dict__.items():
        if name not in _OWN and then.get(name, instance) is not value:
            instance.__dict__[name] = _rebound(value, template, instance)
    for name, slot in template.slots.items():
        if then["slots"].get(name) is not slot:
            instance.slots[name] = slot.with_handler(_rebound(slot.handler, template, instance))
    for name, event in template.events.items():
        instance.events.setdefault(name, event)
    instance._config.update(template._config)
    if not is_surely_equal(template._initial_state, then["_initial_state"]):
        instance.__dict__["_initial_state"] = copy.deepcopy(template._initial_state)


def _rebound(value: Any, template: Routine, instance: Routine) -> Any:
    if value is template:
        return instance
    if getattr(value, "__self__", None) is template and hasattr(value, "__func__"):
        return value.__func__.__get__(instance)
    return value
