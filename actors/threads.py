"""What the threads of a dispatcher are made of: the real things, or those of a test that steps them."""

import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import Protocol

__all__ = [
    "LONGEST_WAIT",
    "SYSTEM_THREADS",
    "Condition",
    "DaemonThread",
    "Lock",
    "Mutex",
    "SystemThreads",
    "Thread",
    "Threads",
]

LONGEST_WAIT = threading.TIMEOUT_MAX
"""Seconds that one wait may take at most."""


class Lock(Protocol):
    """A `threading.RLock`."""

    def acquire(self, blocking: bool = ..., timeout: float = ...) -> bool:  # noqa: FBT001 - as in threading.
        """Take it; False when it was not free in time."""
        ...

    def release(self) -> None:
        """Give it back; raises RuntimeError if it is not held."""
        ...

    def __enter__(self) -> bool: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None, /
    ) -> None: ...


class Mutex(Lock, Protocol):
    """A `threading.Lock`: any thread may release it, so that it serves as a baton."""

    def locked(self) -> bool:
        """Whether somebody holds it."""
        ...


class Condition(Protocol):
    """A `threading.Condition`; `wait` and `notify` ask for its lock to be held."""

    def __enter__(self) -> bool: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None, /
    ) -> None: ...

    def wait(self, timeout: float | None = None) -> bool:
        """Let go of the lock until notified; False when `timeout` seconds passed first."""
        ...

    def notify(self, n: int = 1) -> None:
        """Wake up to `n` of those who wait."""
        ...


class Thread(Protocol):
    """A `threading.Thread` that is a daemon."""

    def start(self) -> None:
        """Begin its target; raises RuntimeError when no further thread can be had."""
        ...

    def join(self, timeout: float | None = None) -> None:
        """Wait for its end, or for `timeout` seconds."""
        ...

    def is_alive(self) -> bool:
        """Whether it has begun and not ended."""
        ...


class DaemonThread(threading.Thread):
    """A daemon that calls `target`; whoever is interrupted while he joins it may join it again, and waits again."""

    def __init__(self, target: Callable[[], object], name: str) -> None:
        super().__init__(target=target, name=name, daemon=True)
        self._has_run = threading.Event()

    def run(self) -> None:
        try:
            super().run()
        finally:
            self._has_run.set()

    def join(self, timeout: float | None = None) -> None:
        # An interrupt within the interpreter's own wait makes it take a thread that runs for one that has ended.
        if self is threading.current_thread() or not self.is_alive() or self._has_run.wait(timeout):
            super().join(timeout)


class Threads(Protocol):
    """Makes locks and threads, and knows the time they go by; every method may be called from any thread."""

    def lock(self) -> Mutex:
        """A lock that is free."""
        ...

    def rlock(self) -> Lock:
        """A lock that its holder may take again, and has to give back as often."""
        ...

    def condition(self, lock: Lock) -> Condition:
        """A condition on `lock`, which `rlock` made."""
        ...

    def thread(self, target: Callable[[], object], name: str) -> Thread:
        """A daemon, not yet started, that will call `target`."""
        ...

    def perf_counter(self) -> float:
        """Seconds from an arbitrary start; never goes back."""
        ...

    def process_time(self) -> float:
        """Seconds of processor time that the process has used."""
        ...


class SystemThreads:
    """Those of the interpreter."""

    __slots__ = ()

    perf_counter = staticmethod(time.perf_counter)
    process_time = staticmethod(time.process_time)

    def lock(self) -> Mutex:
        """A `threading.Lock`."""
        return threading.Lock()

    def rlock(self) -> Lock:
        """A `threading.RLock`."""
        return threading.RLock()

    def condition(self, lock: Lock) -> Condition:
        """A `threading.Condition`."""
        # It takes whatever behaves as a lock does, which its stub does not say.
        return threading.Condition(lock)  # type: ignore[arg-type]

    def thread(self, target: Callable[[], object], name: str) -> Thread:
        """A `DaemonThread`."""
        return DaemonThread(target, name)


SYSTEM_THREADS: Threads = SystemThreads()
"""What everybody uses outside of tests; it has no state."""
