"""What happens to live objects when their process ends or forks.

Guarantees:

- A call registered with `run_at_exit` is made once, on the main thread, when that has ended in any way that
  lets the interpreter finish: end of the program, exception, `sys.exit`; in a multiprocessing child too.
- It is made while other threads still run, daemons too, and before others are waited for. It should bound its
  own time, since the process waits for it; a second Ctrl-C ends it.
- Cancelled, it is not made; nothing but an empty record of it stays behind, no thread in particular.
- A method registered with `run_in_forked_child` is called in each child after the fork, if its object lives.
"""

import atexit
import os
import threading
import weakref
from collections.abc import Callable

__all__ = ["ExitCall", "run_at_exit", "run_in_forked_child"]


class ExitCall:
    """A call to be made at the end of the process."""

    __slots__ = ("_callback",)

    def __init__(self, callback: Callable[[], object]) -> None:
        self._callback: Callable[[], object] | None = callback

    def __call__(self) -> None:
        """Make the call, unless it was made or cancelled."""
        callback, self._callback = self._callback, None
        if callback is not None:
            callback()

    def cancel(self) -> None:
        """Do not make the call; may be called from any thread, also when it is too late."""
        self._callback = None


def run_at_exit(callback: Callable[[], object]) -> ExitCall:
    """Call `callback` when the main thread has ended; later registrations go first."""
    call = ExitCall(callback)
    # A thread that waits for the end of the main one cannot be ended before, so each closed dispatcher would
    # leave one; concurrent.futures relies on this hook too. In some children atexit never comes.
    register: Callable[[Callable[[], object]], object] = getattr(threading, "_register_atexit", atexit.register)
    try:
        register(call)
    except RuntimeError:
        # The main thread has ended already, and somebody's other thread goes on.
        atexit.register(call)
    return call


class _ForkedCalls:
    """The methods to call in a forked child; one registration for all, since none can be taken back."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._methods: list[weakref.WeakMethod[Callable[[], None]]] = []
        self._limit = 64
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=self._call_all)

    def add(self, callback: Callable[[], None]) -> None:
        with self._lock:
            self._methods.append(weakref.WeakMethod(callback))
            if len(self._methods) > self._limit:
                # Those of objects that are gone; half of all at least, on average.
                self._methods = [method for method in self._methods if method() is not None]
                self._limit = max(64, 2 * len(self._methods))

    def _call_all(self) -> None:
        self._lock = threading.Lock()
        for method in tuple(self._methods):
            living = method()
            if living is not None:
                living()


_FORKED_CALLS = _ForkedCalls()


def run_in_forked_child(callback: Callable[[], None]) -> None:
    """Call the method `callback` after each fork in the child; its object is not kept alive for that."""
    _FORKED_CALLS.add(callback)
