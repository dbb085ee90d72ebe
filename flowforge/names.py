"""What may be the name of a routine, slot, event or flow."""

from typing import Literal

from flowforge.graph_errors import IllegalNameError

__all__ = ["check_name", "is_encodable"]

_Kind = Literal["event name", "flow id", "flow name", "job id", "routine id", "slot name"]


def check_name(kind: _Kind, name: object) -> str:
    """Return `name` if it is a non-empty text without a dot, which UTF-8 can hold; else raise `IllegalNameError`."""
    if not isinstance(name, str) or not name or "." in name or not is_encodable(name):
        raise IllegalNameError(kind, name)
    return name


def is_encodable(text: str) -> bool:
    """Whether UTF-8 has a form of all of it, which it has not of a lone surrogate."""
    return text.isascii() or text == text.encode("utf-8", "replace").decode("utf-8")
