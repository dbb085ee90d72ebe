"""What may be the name of a routine, slot, event or flow."""

from typing import Literal

from flowforge.graph_errors import IllegalNameError

__all__ = ["check_name"]

_Kind = Literal["event name", "flow id", "flow name", "job id", "routine id", "slot name"]


def check_name(kind: _Kind, name: object) -> str:
    """Return `name` if it is a non-empty string without a dot; raise `IllegalNameError` otherwise."""
    if not isinstance(name, str) or not name or "." in name:
        raise IllegalNameError(kind, name)
    return name
