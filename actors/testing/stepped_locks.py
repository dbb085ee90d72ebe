"""Locks and conditions of stepped threads: where one of them is taken, given back or told, another thread may go on."""

from collections import deque
from types import TracebackType

from actors.testing.thread_schedule import SteppedThread, ThreadSchedule
from actors.threads import Condition, Lock, Mutex

__all__ = ["SteppedCondition", "SteppedLock", "SteppedMutex"]


class SteppedMutex(Mutex):
    """A `threading.Lock`; whoever waits may get it, not only the first."""

    __slots__ = ("_name", "_schedule", "holder")

    def __init__(self, schedule: ThreadSchedule, name: str) -> None:
        self.holder: SteppedThread | None = None
        self._schedule = schedule
        self._name = name

    def __str__(self) -> str:
        return self._name if self.holder is None else f"{self._name}, which {self.holder.name!r} took"

    def acquire(self, blocking: bool = True, timeout: float = -1.0) -> bool:  # noqa: FBT001, FBT002 - as in threading.
        limit = None if timeout < 0 else timeout
        is_taken = self._schedule.wait_until(self._is_free, self, limit if blocking else 0.0)
        if is_taken:
            self.holder = self._schedule.running
        return is_taken

    def release(self) -> None:
        if self._schedule.has_failed:
            return
        if self.holder is None:
            raise RuntimeError("A lock that is not held cannot be released.")
        self.holder = None
        self._schedule.pause()

    def locked(self) -> bool:
        return self.holder is not None

    def __enter__(self) -> bool:
        return self.acquire()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None, /
    ) -> None:
        self.release()

    def _is_free(self) -> bool:
        return self.holder is None


class SteppedLock(SteppedMutex, Lock):
    """A `threading.RLock`."""

    __slots__ = ("_depth",)

    def __init__(self, schedule: ThreadSchedule, name: str) -> None:
        super().__init__(schedule, name)
        self._depth = 0

    def acquire(self, blocking: bool = True, timeout: float = -1.0) -> bool:  # noqa: FBT001, FBT002 - as in threading.
        is_taken = self.is_mine() or super().acquire(blocking, timeout)
        self._depth += is_taken
        return is_taken

    def release(self) -> None:
        if self._schedule.has_failed:
            return
        if not self.is_mine():
            raise RuntimeError("A lock that another thread may hold cannot be released.")
        self._depth -= 1
        if not self._depth:
            super().release()

    def is_mine(self) -> bool:
        """Whether the thread that runs holds it."""
        return self.holder is self._schedule.running

    def let_go(self) -> int:
        """Give it back as often as it is held, with no other thread going on yet; how often that was."""
        depth, self._depth, self.holder = self._depth, 0, None
        return depth

    def take_back(self, depth: int) -> None:
        """Wait for it, and hold it `depth` times."""
        super().acquire()
        self._depth = depth


class SteppedCondition(Condition):
    """A `threading.Condition`; somebody else may get the lock before the one who was notified."""

    __slots__ = ("_lock", "_schedule", "_waiting")

    def __init__(self, schedule: ThreadSchedule, lock: SteppedLock) -> None:
        self._schedule = schedule
        self._lock = lock
        self._waiting: deque[SteppedThread] = deque()

    def wait(self, timeout: float | None = None) -> bool:
        self._check_held()
        thread = self._schedule.running
        self._waiting.append(thread)
        depth = self._lock.let_go()
        is_notified = self._schedule.wait_until(lambda: thread not in self._waiting, "a notification", timeout)
        if not is_notified:
            self._waiting.remove(thread)
        self._lock.take_back(depth)
        return is_notified

    def notify(self, n: int = 1) -> None:
        self._check_held()
        for _ in range(min(n, len(self._waiting))):
            self._waiting.popleft()
        self._schedule.pause()

    def __enter__(self) -> bool:
        return self._lock.acquire()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None, /
    ) -> None:
        self._lock.release()

    def _check_held(self) -> None:
        if not self._lock.is_mine():
            raise RuntimeError("A condition can be used only while its lock is held.")
