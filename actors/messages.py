"""What supervisors and their children say to each other, and what starts an actor."""

from dataclasses import dataclass
from typing import Any

from actors.pykka_door import ActorRef
from actors.supervision import Directive

__all__ = ["Apply", "ChildFailed", "ChildStopped", "SetUp"]


@dataclass(frozen=True, slots=True)
class SetUp:
    """To an actor, first of all: run `on_start`."""


@dataclass(frozen=True, slots=True)
class Apply:
    """To a child, as a control message: do as the directive says, now; its delay is over."""

    directive: Directive


@dataclass(frozen=True, slots=True)
class ChildFailed:
    """To a supervisor: the child has suspended itself on a message and waits for a directive."""

    child: ActorRef[Any]
    error: BaseException
    message: Any
    """The message it failed on; a `SetUp` when `on_start` failed."""
    attempts: int
    """How often in a row it has failed on that message, this time included."""


@dataclass(frozen=True, slots=True)
class ChildStopped:
    """To a supervisor, as a control message: the child has stopped and takes no more messages."""

    child: ActorRef[Any]
