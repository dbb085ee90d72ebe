"""An actor and a thread that stand for any: the one makes a call in its turn, the other cannot be started."""

from collections.abc import Callable

from actors.dispatcher import Group, TurnLimits
from actors.testing.thread_schedule import SteppedThread

__all__ = ["Caller", "Unstartable"]


class Caller:
    """An actor whose turn is a call; in a group of its own, unless it is given one."""

    def __init__(self, call: Callable[[], object], group: Group | None = None) -> None:
        self.call = call
        self.group = Group() if group is None else group

    def run_turn(self, limits: TurnLimits) -> None:
        self.call()


class Unstartable(SteppedThread):
    """A thread for which the system has no room."""

    def start(self) -> None:
        raise RuntimeError("can't start new thread")
