"""Ctrl-C waits while the main thread does what must not be cut in two.

Guarantees:

- In the block, the program's handler of SIGINT is not called; if one came, it is called at the end of the block.
- What is `whole` waits for its lock as ever, and holds it no more when that handler is called.
- Other threads, and programs without a handler of their own or the interpreter's, are left as they are.
"""

from __future__ import annotations

import signal
import threading
from contextlib import contextmanager
from functools import wraps
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, Protocol, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import FrameType, TracebackType

__all__ = ["HeldInterrupts", "Locked", "holding", "whole"]

# The interpreter's own, if it shows that: the functions around it, which make enums, cost ten times as much.
_SIGNALS: Any = getattr(signal, "_signal", signal)
_SIGINT = int(signal.SIGINT)

O = TypeVar("O", bound="Locked")  # noqa: E741
P = ParamSpec("P")
T = TypeVar("T")


class HeldInterrupts:
    """A block, entered once, in which Ctrl-C is put off; it costs the main thread some microseconds."""

    __slots__ = ("_come", "_handler")

    def __init__(self) -> None:
        self._handler: Callable[[int, FrameType | None], Any] | None = None
        self._come: list[FrameType | None] = []

    def __enter__(self) -> None:
        self.begin()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.end()
        self.let_come()

    def begin(self) -> None:
        """Put Ctrl-C off from now on."""
        if threading.current_thread() is threading.main_thread():
            handler = _SIGNALS.getsignal(_SIGINT)
            if callable(handler):
                self._handler = handler
                try:
                    _SIGNALS.signal(_SIGINT, self._note)
                except ValueError:
                    # The main thread of a subinterpreter, which no signal reaches.
                    self._handler = None

    def _note(self, _number: int, frame: FrameType | None) -> None:
        self._come.append(frame)

    def end(self) -> None:
        """Put it off no longer."""
        if self._handler is not None:
            _SIGNALS.signal(_SIGINT, self._handler)

    def let_come(self) -> None:
        """Call the program's handler if Ctrl-C was put off."""
        if self._come and self._handler is not None:
            self._handler(_SIGINT, self._come[0])


class Locked(Protocol):
    """Whose lock, reentrant, may become another one while it is not held."""

    @property
    def lock(self) -> threading.RLock:
        """The lock that guards it now."""
        ...


@contextmanager
def holding(owner: Locked) -> Iterator[None]:
    """A block with the owner's lock held."""
    while True:
        lock = owner.lock
        with lock:
            # It may have got another one while this was waited for.
            if lock is owner.lock:
                yield
                return


def whole(do: Callable[Concatenate[O, P], T]) -> Callable[Concatenate[O, P], T]:
    """Have `do` called with the lock of its first argument held, and done whole: Ctrl-C comes before it or after.

    Nothing is to be waited for in it, since Ctrl-C would not end that.
    """

    @wraps(do)
    def done(owner: O, /, *args: P.args, **kwargs: P.kwargs) -> T:
        held = HeldInterrupts()
        try:
            while True:
                lock = owner.lock
                # Not by `holding`: interrupted where that returns, it would keep the lock.
                with lock:
                    if lock is owner.lock:
                        try:
                            held.begin()
                            return do(owner, *args, **kwargs)
                        finally:
                            held.end()
        finally:
            held.let_come()

    return done
