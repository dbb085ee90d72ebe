"""What waits to be made safe, and who waits for it: the part of a durable store that knows no database.

Guarantees:

- `append` may be called from any thread and never waits for a disk; numbers have no gap and follow the order of the
  calls. `take` hands records out in that order, to one writer.
- What is appended in a group is handed out at once, or, if the queue is closed before the group ends, never.
- Callbacks are called by the writer alone, with no lock held, once their record is safe, in the order of the records;
  none is called after a failure.
- One lock guards the queue.
"""

from __future__ import annotations

import heapq
import itertools
import logging
import threading
from typing import TYPE_CHECKING, NamedTuple

from flowforge.stores.frames import encode_entry

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from flowforge.errors import FlowForgeError
    from flowforge.stores.frames import Entry

__all__ = ["Batch", "CommitQueue"]

logger = logging.getLogger("flowforge")


class Batch(NamedTuple):
    """What had come while the writer was busy: the next frame; empty if there are callbacks only."""

    first: int
    entries: list[Entry]
    apart: dict[tuple[str, bytes], bytes]
    """Large values of jobs by their digests, to be kept before the frame."""


class CommitQueue:
    """The queue of one store, whose records up to `safe` are safe already."""

    def __init__(self, safe: int, window: int, window_bytes: int) -> None:
        self.safe = self._last = safe
        self.failure: FlowForgeError | None = None
        self.is_closing = False
        self.is_quiet = True
        """Whether the writer waits, and has waited in vain for some time."""
        self._window = window
        self._window_bytes = window_bytes
        self._order = itertools.count()
        self._empty()

    def _empty(self) -> None:
        self._entries: list[Entry] = []
        self._apart: list[tuple[int, str, Mapping[bytes, bytes]]] = []
        self._bytes = 0
        self._callbacks: list[tuple[int, int, Callable[[], None]]] = []
        self._when_failed: list[Callable[[], None]] = []
        self._is_idle = False
        self._is_called = False
        self._open_groups = 0
        self._takeable = 0
        """How many of the entries come before the groups that are open."""
        # Reentrant, for a handler of signals may append while it interrupts an append.
        self._lock = threading.RLock()
        self._changed = threading.Condition(self._lock)
        self._became_safe = threading.Condition(self._lock)

    @property
    def last(self) -> int:
        """The number of the last record that has come."""
        return self._last

    @property
    def is_full(self) -> bool:
        """Whether so much waits that no further step should start."""
        return self._last - self.safe >= self._window or self._bytes >= self._window_bytes

    @property
    def is_idle(self) -> bool:
        """Whether nothing waits for the writer."""
        return not self._ready() and not self._is_due()

    def _ready(self) -> int:
        """How many entries may be taken."""
        return self._takeable if self._open_groups else len(self._entries)

    def append(self, entry: Entry, apart: Mapping[bytes, bytes] | None = None) -> int:
        """Take the next record, and give its number; after a failure, or once it is closed, it is dropped.

        `apart` are its large values. UnicodeEncodeError for the first record of a job whose name is no text.
        """
        if entry.flow is not None:
            encode_entry(entry)
        with self._lock:
            self._last += 1
            if self.failure is None and not self.is_closing:
                self._entries.append(entry)
                self._bytes += len(entry.data)
                if apart:
                    self._apart.append((self._last, entry.job, apart))
                    self._bytes += sum(map(len, apart.values()))
                if not self._open_groups:
                    self._wake()
            return self._last

    def _wake(self) -> None:
        if self._is_idle:
            # In this order: whoever is interrupted between the two wakes it once too often, and not too seldom.
            self._changed.notify()
            self._is_idle = False

    def begin_group(self) -> None:
        """Hand out nothing that comes from here on until the group ends."""
        with self._lock:
            if not self._open_groups:
                self._takeable = len(self._entries)
            self._open_groups += 1

    def end_group(self) -> None:
        """End a group that was begun."""
        with self._lock:
            self._open_groups -= 1
            if self._ready():
                self._wake()

    def call_when_safe(self, number: int, callback: Callable[[], None]) -> None:
        """Have the writer call `callback` once the record is safe; never if it fails before."""
        with self._lock:
            if self.failure is not None:
                return
            heapq.heappush(self._callbacks, (number, next(self._order), callback))
            if number <= self.safe:
                self._wake()

    def call_when_failed(self, callback: Callable[[], None]) -> None:
        """Call `callback` once it has failed or was closed, at once if it has."""
        with self._lock:
            if self.failure is None:
                self._when_failed.append(callback)
                return
        callback()

    def wait_until_safe(self, number: int, timeout: float | None = None) -> bool:
        """Return once the record is safe, or False after `timeout` seconds; raises why it never will be."""
        with self._lock:
            is_decided = self._became_safe.wait_for(lambda: self.safe >= number or self.failure is not None, timeout)
            if self.safe < number and self.failure is not None:
                raise self.failure
            return is_decided

    # For the writer

    def wait_for_work(self, timeout: float | None = None) -> bool:
        """Wait for something to do; False once the queue is closed and nothing is left.

        It returns as well when somebody else has done what had come, and after `timeout` seconds without anything: then
        `is_quiet` is true until something comes.
        """
        with self._lock:
            if self.is_idle and not self._is_called and not self.is_closing:
                self._is_idle = True
                if not self._changed.wait(timeout) and self.is_idle:
                    self.is_quiet = True
                    return True
            is_called, self._is_called = self._is_called, False
            self._is_idle = self.is_quiet = False
            return is_called or not self.is_closing or not self.is_idle

    def wake_writer(self) -> None:
        """Have `wait_for_work` return once, whatever there is to do."""
        with self._lock:
            self._is_called = True
            self._wake()

    def take_now(self) -> Batch:
        """What is to be written next; empty if nothing is."""
        with self._lock:
            count = self._ready()
            batch = Batch(self.safe + 1, self._entries[:count], self._take_apart(count))
            self._bytes -= sum([len(entry.data) for entry in batch.entries])
            del self._entries[:count]
            self._takeable = 0
            return batch

    def _take_apart(self, count: int) -> dict[tuple[str, bytes], bytes]:
        """The large values of the first entries, and of no other: what no record names is not kept."""
        if not self._apart:
            return {}
        last = self.safe + count
        taken = [(job, values) for number, job, values in self._apart if number <= last]
        del self._apart[: len(taken)]
        self._bytes -= sum(len(data) for _, values in taken for data in values.values())
        return {(job, digest): data for job, values in taken for digest, data in values.items()}

    def made_safe(self, number: int) -> None:
        """All records up to this one are safe."""
        with self._lock:
            self.safe = number
            self._became_safe.notify_all()
            if self._is_due():
                self._wake()

    def call_back(self) -> None:
        """Make the calls that are due."""
        while True:
            with self._lock:
                if not self._is_due():
                    return
                callback = heapq.heappop(self._callbacks)[2]
            try:
                callback()
            except Exception:
                logger.exception("What was to follow a commit raised.")

    def _is_due(self) -> bool:
        return bool(self._callbacks) and self._callbacks[0][0] <= self.safe

    def wait_a_while(self, seconds: float) -> bool:
        """Wait that long, or until it is closed; False if it is."""
        with self._lock:
            if not self.is_closing:
                self._changed.wait(seconds)
            return not self.is_closing

    def fail(self, failure: FlowForgeError) -> None:
        """Acknowledge nothing any more; the first failure stays, and who asked to is told of it."""
        with self._lock:
            if self.failure is None:
                self.failure = failure
            self._entries, self._apart, self._bytes = [], [], 0
            self._callbacks.clear()
            self._became_safe.notify_all()
            told, self._when_failed = self._when_failed, []
        for callback in told:
            callback()

    def close(self) -> None:
        """Let the writer end when it has done what is left."""
        with self._lock:
            self.is_closing = True
            self._changed.notify_all()

    def give_up_in_child(self, failure: FlowForgeError) -> None:
        """In a forked child, whose copy of the lock may be held by a thread that it does not have."""
        self._empty()
        self.failure = failure
