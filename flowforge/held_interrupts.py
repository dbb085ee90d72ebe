"""Ctrl-C waits while the main thread does what must not be cut in two.

Guarantees:

- In the block, the program's handler of SIGINT is not called; if one came, it is called at the end of the block.
- What is `whole` waits for its lock as ever, and holds it no more when that handler is called.
- Other threads, and programs without a handler of their own or the interpreter's, are left as they are.
"""

from __future__ import annotations

import signal
import sys
import threading
from contextlib import contextmanager
from functools import wraps
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, Protocol, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import FrameType, TracebackType

__all__ = ["HeldInterrupts", "Locked", "holding", "locked", "whole"]

# The interpreter's own, if it shows that: the functions around it, which make enums, cost ten times as much.
_SIGNALS: Any = getattr(signal, "_signal", signal)
_SIGINT = int(signal.SIGINT)

O = TypeVar("O", bound="Locked")  # noqa: E741
P = ParamSpec("P")
T = TypeVar("T")


class HeldInterrupts:
    """A block, entered once, in which Ctrl-C is put off; it costs the main thread some microseconds.

    Not around a `yield` or an `await`.
    """

    __slots__ = ("_come", "_frame", "_handler")

    def __init__(self) -> None:
        self._handler: Callable[[int, FrameType | None], Any] | None = None
        self._frame: FrameType | None = None
        """Where the block is, while it lasts."""
        self._come: list[FrameType | None] = []

    def __enter__(self) -> None:
        self.begin(sys._getframe(1))  # noqa: SLF001 - there is no other way to it that costs as little

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.end()
        self.let_come()

    def begin(self, frame: FrameType) -> None:
        """Put Ctrl-C off from now on, as long as this frame is at work."""
        self._frame = frame
        if threading.current_thread() is threading.main_thread():
            handler = _SIGNALS.getsignal(_SIGINT)
            if callable(handler):
                self._handler = handler
                try:
                    _SIGNALS.signal(_SIGINT, self._note)
                except ValueError:
                    # The main thread of a subinterpreter, which no signal reaches.
                    self._handler = None

    def _note(self, number: int, frame: FrameType | None) -> None:
        caller = frame
        while caller is not None and caller is not self._frame:
            caller = caller.f_back
        if caller is not None or self._handler is None:
            self._come.append(frame)
            return
        # A handler of another signal that raised has ended the block without its end.
        _SIGNALS.signal(_SIGINT, self._handler)
        self._handler(number, frame)

    def end(self) -> None:
        """Put it off no longer."""
        if self._handler is not None:
            _SIGNALS.signal(_SIGINT, self._handler)
        self._frame = None

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


def locked(do: Callable[Concatenate[O, P], T]) -> Callable[Concatenate[O, P], T]:
    """Have `do` called with the lock of its first argument held."""

    @wraps(do)
    def done(owner: O, /, *args: P.args, **kwargs: P.kwargs) -> T:
        while True:
            lock = owner.lock
            # Not by `holding`: interrupted where that returns, it would keep the lock.
            with lock:
                if lock is owner.lock:
                    return do(owner, *args, **kwargs)

    return done


def whole(do: Callable[Concatenate[O, P], T]) -> Callable[Concatenate[O, P], T]:
    """Have `do` called with the lock of its first argument held, and done whole: Ctrl-C comes before it or after.

    Nothing is to be waited for in it, since Ctrl-C would not end that.
    """

    def put_off(owner: O, held: HeldInterrupts, /, *args: P.args, **kwargs: P.kwargs) -> T:
        try:
            held.begin(sys._getframe())  # noqa: SLF001 - as above
            return do(owner, *args, **kwargs)
        finally:
            held.end()

    with_lock = locked(put_off)

    @wraps(do)
    def done(owner: O, /, *args: P.args, **kwargs: P.kwargs) -> T:
        held = HeldInterrupts()
        try:
            return with_lock(owner, held, *args, **kwargs)
        finally:
            held.let_come()

    return done
