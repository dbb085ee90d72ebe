"""Pending calls in a heap, O(log n) to add and O(1) to cancel, and one thread that makes them.

Guarantees:

- Every method may be called from any thread, with any lock held; callbacks are called without a lock.
- One thread makes all calls, started with the first timer; it sleeps until the earliest is due, and is woken
  before only by a timer that is earlier still. What a callback raises is logged and ends nothing.
- Timers go by the monotonic time: when somebody sets the machine's clock, nothing happens.
- A timer's callback is taken at most once: by the one who makes the call, or by the one who cancels it.
- Timers come out by due time, those of one instant in the order in which they were added.
- A cancelled timer lets go of its callback at once; its entry is dropped when half of the heap is such.
"""

import heapq
import logging
import math
from collections.abc import Callable

from actors.clock import Clock
from actors.errors import ActorError
from actors.threads import LONGEST_WAIT, SYSTEM_THREADS, Thread, Threads
from actors.turn_context import TURN_DEPTH

__all__ = ["COMPACTION_MINIMUM", "PendingTimer", "TimerHeap", "TimerThread"]

logger = logging.getLogger("actors")

COMPACTION_MINIMUM = 64
"""Up to so many cancelled entries are not worth a clearing."""


class PendingTimer:
    """One call to be made once; `due` is a monotonic instant."""

    __slots__ = ("_callback", "_heap", "due", "is_in_heap")

    def __init__(self, due: float, callback: Callable[[], None], heap: "TimerHeap") -> None:
        self.due = due
        self.is_in_heap = True
        self._callback: Callable[[], None] | None = callback
        self._heap = heap

    @property
    def is_pending(self) -> bool:
        """Whether the call is still to be made."""
        return self._callback is not None

    def cancel(self) -> bool:
        """Prevent the call; False when it has been made, is being made, or was cancelled before."""
        return self._heap.cancel(self)

    def take(self) -> Callable[[], None] | None:
        """The callback for the one caller who gets it; None for everybody else."""
        callback, self._callback = self._callback, None
        return callback


class TimerHeap:
    """The timers of one dispatcher, earliest first."""

    __slots__ = ("_added", "_cancelled", "_entries", "lock")

    def __init__(self, threads: Threads = SYSTEM_THREADS) -> None:
        self.lock = threads.rlock()
        self._entries: list[tuple[float, int, PendingTimer]] = []
        self._added = 0
        self._cancelled = 0

    def __len__(self) -> int:
        """How many timers wait."""
        return len(self._entries) - self._cancelled

    def add(self, due: float, callback: Callable[[], None]) -> PendingTimer:
        """A timer for the instant `due`."""
        timer = PendingTimer(due, callback, self)
        with self.lock:
            self._added += 1
            heapq.heappush(self._entries, (due, self._added, timer))
        return timer

    def next_due(self) -> float | None:
        """The earliest instant at which a timer is due, or None if none waits."""
        with self.lock:
            entries = self._entries
            while entries and not entries[0][2].is_pending:
                heapq.heappop(entries)
                self._cancelled -= 1
            return entries[0][0] if entries else None

    def pop_due(self, now: float) -> PendingTimer | None:
        """Take out the first timer that is due at `now`; it can be cancelled until its callback is taken."""
        with self.lock:
            due = self.next_due()
            if due is None or due > now:
                return None
            timer = heapq.heappop(self._entries)[2]
            timer.is_in_heap = False
            return timer

    def take(self, timer: PendingTimer) -> Callable[[], None] | None:
        """The callback of a timer that was popped; None if it was cancelled."""
        with self.lock:
            return timer.take()

    def cancel(self, timer: PendingTimer) -> bool:
        """Take the callback away; False when somebody else was first."""
        with self.lock:
            if timer.take() is None:
                return False
            if timer.is_in_heap:
                self._cancelled += 1
                if self._cancelled > COMPACTION_MINIMUM and self._cancelled * 2 > len(self._entries):
                    self._compact()
            return True

    def clear(self) -> None:
        """Cancel all."""
        with self.lock:
            for _, _, timer in self._entries:
                timer.take()
            self._entries.clear()
            self._cancelled = 0

    def _compact(self) -> None:
        self._entries = [entry for entry in self._entries if entry[2].is_pending]
        heapq.heapify(self._entries)
        self._cancelled = 0


class TimerThread:
    """Makes the calls of a heap on a daemon thread of its own."""

    def __init__(
        self, clock: Clock, name: str, before_start: Callable[[], None], *, threads: Threads = SYSTEM_THREADS
    ) -> None:
        self.heap = TimerHeap(threads)
        self.thread: Thread | None = None
        self._threads = threads
        self._clock = clock
        self._name = name
        self._before_start = before_start
        # Entered by its lock: an interrupt within its own entering would leave that taken.
        self._condition = self._threads.condition(self.heap.lock)
        self._sleeps_until = -math.inf
        self._is_stopping = False
        self._refusal: Callable[[], ActorError] | None = None

    def call_later(self, delay: float, callback: Callable[[], None], /) -> PendingTimer:
        """Call `callback` on the thread in `delay` seconds; raises what `refuse` was given, if it was."""
        with self.heap.lock:
            if self._refusal is not None:
                raise self._refusal()
            if self.thread is None and not self._is_stopping:
                self._start_thread()
            timer = self.heap.add(self._clock.monotonic() + max(0.0, delay), callback)
            if timer.due < self._sleeps_until:
                self._sleeps_until = timer.due
                self._condition.notify()
            return timer

    def stop(self) -> None:
        """Make no further call."""
        with self.heap.lock:
            self._is_stopping = True
            self._condition.notify()

    def join(self, remaining: Callable[[], float | None]) -> bool:
        """Wait for the thread after `stop`; False when a callback still runs after `remaining()` seconds."""
        if self.thread is None:
            return True
        self.thread.join(remaining())
        return not self.thread.is_alive()

    def refuse(self, refusal: Callable[[], ActorError]) -> None:
        """Cancel all timers, and raise `refusal()` for each new one from now on."""
        with self.heap.lock:
            self._refusal = refusal
            self.heap.clear()

    def reset_after_fork(self, refusal: Callable[[], ActorError]) -> None:
        """Make the copy in a forked child, which has no thread, refuse all without waiting for a lock."""
        self.heap.lock = self._threads.rlock()
        self._condition = self._threads.condition(self.heap.lock)
        self._is_stopping = True
        self._refusal = refusal

    def _start_thread(self) -> None:
        self._before_start()
        thread = self._threads.thread(self._run, f"{self._name}-timers")
        thread.start()
        self.thread = thread

    def _run(self) -> None:
        TURN_DEPTH.set(1)
        while (callback := self._wait_for_next()) is not None:
            try:
                callback()
            except BaseException:
                logger.exception("The timer callback %r raised.", callback)
            del callback

    def _wait_for_next(self) -> Callable[[], None] | None:
        """The next callback, once it is due; None when the thread is to end."""
        with self.heap.lock:
            while not self._is_stopping:
                now = self._clock.monotonic()
                timer = self.heap.pop_due(now)
                if timer is not None:
                    self._sleeps_until = -math.inf
                    return timer.take()
                due = self.heap.next_due()
                self._sleeps_until = math.inf if due is None else due
                self._condition.wait(None if due is None else min(due - now, LONGEST_WAIT))
            return None
