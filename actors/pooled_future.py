"""A future that never makes a pool wait for itself.

Guarantees:

- `get` of an unresolved future inside a turn raises at once; a resolved one answers everywhere.
- Outside a turn `get` waits through the answering actor's dispatcher, which a stepped one needs to run on.
"""

import threading
from typing import Any, TypeVar

from actors.dispatcher import Dispatcher
from actors.errors import WaitInsideTurnError
from actors.pykka_door import ThreadingFuture, Timeout
from actors.turn_context import is_inside_turn

__all__ = ["PooledFuture"]

T = TypeVar("T")


class PooledFuture(ThreadingFuture[T]):
    """pykka's future, answered by a pooled actor."""

    _dispatcher: Dispatcher | None = None
    _arrival: threading.Event | None = None

    def answered_by(self, dispatcher: Dispatcher) -> None:
        """Tell it whose dispatcher must run for the answer to come."""
        self._dispatcher = dispatcher

    def get(self, *, timeout: float | None = None) -> Any:
        """The answer, or the exception that is the answer; Timeout after `timeout` seconds.

        WaitInsideTurnError when it would have to wait inside a turn.
        """
        if self._result is None and self._get_hook is None:
            if is_inside_turn():
                raise WaitInsideTurnError(repr(self))
            if self._dispatcher is not None:
                self._wait(self._dispatcher, timeout)
        return super().get(timeout=timeout)

    def set(self, value: Any | None = None) -> None:
        super().set(value)
        if self._arrival is not None:
            self._arrival.set()

    def set_exception(self, exc_info: Any = None) -> None:
        super().set_exception(exc_info)
        if self._arrival is not None:
            self._arrival.set()

    def _wait(self, dispatcher: Dispatcher, timeout: float | None) -> None:
        with self._condition:
            arrival = self._arrival = self._arrival or threading.Event()
        # An answer set before the event was there is in the result; one set later sets the event.
        if self._result is None and not dispatcher.wait_for(arrival, timeout):
            raise Timeout("no answer can come" if timeout is None else f"{timeout} seconds")
