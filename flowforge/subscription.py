"""A numbered stream of a job's records for one reader."""

from __future__ import annotations

import threading
import weakref
from collections import deque
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from flowforge.job_errors import RuntimeOptionError, WaitInStepError
from flowforge.records import JobMoved, Record
from flowforge.step_context import CURRENT_STEP

if TYPE_CHECKING:
    from flowforge._engine.view import JobView

__all__ = ["Lagged", "Subscription"]


class Lagged:
    """Says that records were let go before this reader came to them."""

    __slots__ = ("first", "last")

    def __init__(self, first: int, last: int) -> None:
        self.first = first
        self.last = last

    def __repr__(self) -> str:
        return f"Lagged(first={self.first}, last={self.last})"


class Subscription(Iterator[Record | Lagged]):
    """Iterates over a job's records in the order of their positions, without a gap, and ends when the job rests.

    Where records were let go, because of the history's limit or because this reader is slow, one `Lagged` stands in
    their place. `next` waits for the next record; any number of readers may subscribe; one thread reads each.
    """

    def __init__(self, view: JobView, from_position: int, max_waiting: int) -> None:
        if type(from_position) is not int or from_position < 1:
            raise RuntimeOptionError("from_position", from_position, "Give a whole number, 1 or more.")
        if type(max_waiting) is not int or max_waiting < 1:
            raise RuntimeOptionError("max_waiting", max_waiting, "Give a whole number of records, 1 or more.")
        self._view = view
        self._next = from_position
        self._max_waiting = max_waiting
        self._waiting: deque[Record] = deque()
        self._arrived = threading.Condition()
        self._has_ended = False
        with view.lock:
            view.catch_up()
            for record in view.history:
                self.receive(record)
            self._has_ended = not view.is_live
            self._last = view.position
            self._listener = _weak_listener(view, self)
            view.add_listener(self._listener)

    def close(self) -> None:
        """Stop receiving; what has arrived can still be read."""
        self._view.remove_listener(self._listener)
        with self._arrived:
            self._has_ended = True
            self._arrived.notify_all()

    def __next__(self) -> Record | Lagged:
        found = self._take()
        if found is None:
            self.close()
            raise StopIteration
        return found

    def _take(self) -> Record | Lagged | None:
        with self._arrived:
            while not self._waiting and not self._has_ended:
                if CURRENT_STEP.get() is not None:
                    raise WaitInStepError(f"the records of the job {self._view.job_id!r}")
                self._arrived.wait()
            if not self._waiting:
                return self._end()
            position = self._waiting[0].position
            if position > self._next:
                lagged = Lagged(self._next, position - 1)
                self._next = position
                return lagged
            self._next = position + 1
            return self._waiting.popleft()

    def _end(self) -> Lagged | None:
        if self._next > self._last:
            return None
        lagged = Lagged(self._next, self._last)
        self._next = self._last + 1
        return lagged

    def receive(self, record: Record) -> None:
        """Take the next record; called by the view, with its lock held."""
        with self._arrived:
            if record.position >= self._next:
                self._waiting.append(record)
            if len(self._waiting) > self._max_waiting:
                self._waiting.popleft()
            if isinstance(record, JobMoved):
                self._has_ended = record.status != "running"
            self._arrived.notify_all()


def _weak_listener(view: JobView, subscription: Subscription) -> Callable[[Record], None]:
    """What hands records to a subscription for as long as somebody holds it."""
    living = weakref.ref(subscription)

    def hand_over(record: Record) -> None:
        reader = living()
        if reader is None:
            view.remove_listener(hand_over)
        else:
            reader.receive(record)

    return hand_over
