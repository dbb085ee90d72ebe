"""Threads that run one at a time, in an order that a test chooses: for exploring code that is made of locks.

Guarantees:

- Only one thread runs at any moment. Another one may go on only where that one takes a lock, has given one back,
  waits, has notified, has started a thread, joins, sleeps or pauses.
- Without swaps a thread runs until it has to wait; then the one goes on that has not run for longest.
- The same swaps lead to the same run.
- A timed wait may run out at any of these points: when a swap asks for it, else when nothing else can run.
  The clock then jumps to its end, and stands still otherwise.
- When nobody can go on, and after `max_steps`, `run` raises, and names what each thread waits for. It raises too
  what any thread raised, at once.
- `run` leaves no thread behind: one that has not ended is left by an exception out of the place where it waits.
"""

from collections.abc import Callable

from actors.testing.stepped_locks import SteppedCondition, SteppedLock, SteppedMutex
from actors.testing.thread_schedule import SteppedThread, ThreadSchedule
from actors.threads import Condition, Lock, Mutex, Thread

__all__ = ["SteppedThreads"]


class SteppedThreads(ThreadSchedule):
    """A `Threads` whose threads take turns; what it makes is used inside one call of `run`."""

    _locks = 0

    def lock(self) -> Mutex:
        """A lock that is free."""
        return SteppedMutex(self, self._next_name())

    def rlock(self) -> Lock:
        """A lock that its holder may take again, and has to give back as often."""
        return SteppedLock(self, self._next_name())

    def condition(self, lock: Lock) -> Condition:
        """A condition on `lock`, which `rlock` made."""
        assert isinstance(lock, SteppedLock)
        return SteppedCondition(self, lock)

    def thread(self, target: Callable[[], object], name: str) -> Thread:
        """A daemon, not yet started, that will call `target`."""
        return SteppedThread(self, target, name)

    def perf_counter(self) -> float:
        """The monotonic time of the clock."""
        return self.clock.monotonic()

    def process_time(self) -> float:
        """Always 0: time passes only while nobody computes."""
        return 0.0

    def _next_name(self) -> str:
        self._locks += 1
        return f"lock {self._locks}"
