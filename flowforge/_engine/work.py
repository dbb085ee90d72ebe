"""What one call of a routine works on: the messages that it consumes, and what is called with them."""

from collections.abc import Callable
from typing import Any

from flowforge.records import Message
from flowforge.structs import Struct

__all__ = ["Work", "ignore"]


class Work(Struct, eq=False):
    """One call, from the first attempt to the commit that consumes its messages."""

    slot: str
    lane: int
    """The lane whose first message it consumes, unless `take` says how many of each lane."""
    messages: tuple[Message, ...]
    call: Callable[[Any], Any]
    """Runs the user's function with `argument`, in the step's thread and context."""
    argument: Any
    is_merged: bool = False
    """Whether the payload is to be merged into the slot's gathered one before the call."""
    take: dict[int, int] | None = None
    is_undecided: bool = False
    """Whether it stands for all that waits, because the policy failed to say what to take."""

    def taken(self) -> list[tuple[int, int]]:
        """The lanes that its messages wait in, and how many in each."""
        return [(self.lane, 1)] if self.take is None else list(self.take.items())


def ignore(_payload: object) -> None:
    """What a slot without a handler does with a payload."""
