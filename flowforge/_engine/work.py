"""What one call of a routine works on: the messages that it consumes, and what is called with them."""

from collections.abc import Callable
from typing import Any

from flowforge.records import Message

__all__ = ["Work", "ignore"]


class Work:
    """One call, from the first attempt to the commit that consumes its messages."""

    __slots__ = ("argument", "call", "is_merged", "is_undecided", "lane", "messages", "slot", "take")

    def __init__(  # noqa: PLR0917 - by position, once for each step
        self,
        slot: str,
        lane: int,
        messages: tuple[Message, ...],
        call: Callable[[Any], Any],
        argument: Any,
        take: dict[int, int] | None = None,
        is_merged: bool = False,  # noqa: FBT001, FBT002 - as above
    ) -> None:
        self.slot = slot
        self.lane = lane
        """The lane whose first message it consumes, unless `take` says how many of each lane."""
        self.messages = messages
        self.call = call
        """Runs the user's function with `argument`, in the step's thread and context."""
        self.argument = argument
        self.take = take
        self.is_undecided = False
        """Whether it stands for all that waits, because the policy failed to say what to take."""
        self.is_merged = is_merged
        """Whether the payload is to be merged into the slot's gathered one before the call."""

    def taken(self) -> list[tuple[int, int]]:
        """The lanes that its messages wait in, and how many in each."""
        return [(self.lane, 1)] if self.take is None else list(self.take.items())


def ignore(_payload: object) -> None:
    """What a slot without a handler does with a payload."""
