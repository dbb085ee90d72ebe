"""A threading.Event that costs next to nothing until somebody waits for it.

Guarantees:

- It can be used as an Event is, from any thread; whoever waits while it is set, or before it is, returns.
- Its lock is made by the first who waits.
"""

import threading

__all__ = ["LazyEvent"]


class LazyEvent(threading.Event):
    """For what most often nobody waits for, such as the end of an actor."""

    def __init__(self) -> None:
        self._is_set = False

    def is_set(self) -> bool:
        return self._is_set

    def set(self) -> None:
        # The flag first: a waiter publishes its event, then looks at the flag; so one sees the other.
        self._is_set = True
        event = self.__dict__.get("_event")
        if event is not None:
            event.set()

    def clear(self) -> None:
        self._is_set = False
        event = self.__dict__.get("_event")
        if event is not None:
            event.clear()

    def wait(self, timeout: float | None = None) -> bool:
        if self._is_set:
            return True
        event: threading.Event = self.__dict__.setdefault("_event", threading.Event())
        return self.is_set() or event.wait(timeout)
