"""Ctrl-C waits while the main thread does what must not be cut in two.

Guarantees:

- In the block, the program's handler of SIGINT is not called; if one came, it is called at the end of the block.
- Other threads, and programs without a handler of their own or the interpreter's, are left as they are.
"""

from __future__ import annotations

import signal
import threading
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType, TracebackType

__all__ = ["HeldInterrupts"]

# The interpreter's own, if it shows that: the functions around it, which make enums, cost ten times as much.
_SIGNALS: Any = getattr(signal, "_signal", signal)
_SIGINT = int(signal.SIGINT)


class HeldInterrupts:
    """A block, entered once, in which Ctrl-C is put off; it costs the main thread some microseconds."""

    __slots__ = ("_come", "_handler")

    def __enter__(self) -> None:
        self._handler: Callable[[int, FrameType | None], Any] | None = None
        self._come: list[FrameType | None] = []
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

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._handler is not None:
            _SIGNALS.signal(_SIGINT, self._handler)
            if self._come:
                self._handler(_SIGINT, self._come[0])
