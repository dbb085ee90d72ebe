"""What gives actors their turns: the interface that pooled and stepped dispatchers share."""

import contextvars
import threading
from collections import deque
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any, Protocol

from actors.clock import Clock

__all__ = ["AsyncTask", "Dispatcher", "Group", "Schedulable", "Timer", "TurnLimits"]


@dataclass(frozen=True, slots=True)
class TurnLimits:
    """How much one turn may do before its actor goes to the tail of the ready queue."""

    max_messages: int = 16
    max_seconds: float = 0.001
    splits_steps: bool = False
    """Whether a turn ends between a message's handling and the taking of its effect."""


class Group:
    """Actors that share one place in the round robin, a job for example; FIFO inside."""

    __slots__ = ("is_queued", "name", "ready")

    def __init__(self, name: str = "") -> None:
        self.name = name
        self.ready: deque[Schedulable] = deque()
        self.is_queued = False


class Schedulable(Protocol):
    """Something that can be given turns; it sees to it that it is submitted at most once at a time."""

    @property
    def group(self) -> Group:
        """The fairness group it is queued with."""
        ...

    def run_turn(self, limits: TurnLimits) -> None:
        """Do a bounded piece of work on the calling thread; never two turns at once."""
        ...


class Timer(Protocol):
    """A pending call."""

    def cancel(self) -> bool:
        """Prevent the call; False when it has been made, is being made, or was cancelled before."""
        ...


class AsyncTask(Protocol):
    """A coroutine that runs on the dispatcher's event loop."""

    def cancel(self) -> None:
        """Raise CancelledError inside the coroutine; its `on_done` is still called."""
        ...


class Dispatcher(Protocol):
    """Gives turns, keeps time, runs coroutines; every method may be called from any thread."""

    @property
    def clock(self) -> Clock:
        """The time that timers go by."""
        ...

    def submit(self, actor: Schedulable, /) -> None:
        """Queue one turn of `actor`; never blocks, so it may be called with a mailbox lock held."""
        ...

    def call_later(self, delay: float, callback: Callable[[], None], /) -> Timer:
        """Call `callback` once after `delay` seconds, on a thread of the dispatcher; it must be short."""
        ...

    def run_async(
        self,
        coroutine: Coroutine[Any, Any, object],
        on_done: Callable[[object, BaseException | None], None],
        /,
        context: contextvars.Context | None = None,
    ) -> AsyncTask:
        """Run `coroutine` on the event loop, then `on_done(result, error)` once, there.

        Both run in `context`, which nothing else may have entered, or in a copy of the caller's.
        """
        ...

    def wait_for(self, event: threading.Event, timeout: float | None = None, /) -> bool:
        """Wait until `event` is set; False after `timeout` seconds, or when nothing that could set it can run."""
        ...

    def shutdown(self, *, timeout: float | None = None) -> bool:
        """Take no more work, finish the turns that run, end the threads; False when some still ran at the deadline."""
        ...
