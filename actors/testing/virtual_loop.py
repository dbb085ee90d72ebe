"""An asyncio event loop that never blocks: it is pumped by hand and its time is a manual clock."""

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Any, TypeVar, TypeVarTuple, Unpack

from actors.testing.manual_clock import ManualClock

__all__ = ["VirtualLoop"]

Result = TypeVar("Result")
Arguments = TypeVarTuple("Arguments")


class _NothingToSelect:
    """What BaseEventLoop asks for I/O events; there are none."""

    def select(self, timeout: float | None) -> list[Any]:
        return []


class VirtualLoop(asyncio.BaseEventLoop):
    """A deterministic loop on the calling thread; it has no sockets, and executors run calls in line."""

    _ready: deque[asyncio.Handle]
    _scheduled: list[asyncio.TimerHandle]

    def __init__(self, clock: ManualClock) -> None:
        super().__init__()
        self._virtual_clock = clock
        self._selector = _NothingToSelect()

    def time(self) -> float:
        """The manual clock's monotonic time."""
        return self._virtual_clock.monotonic()

    def has_ready(self) -> bool:
        """Whether an iteration would call something now."""
        if self._ready:
            return True
        due = self.next_due()
        return due is not None and due <= self.time()

    def next_due(self) -> float | None:
        """The earliest instant that something sleeps until, or None."""
        scheduled = self._scheduled
        if scheduled and scheduled[0].cancelled():
            return min((handle.when() for handle in scheduled if not handle.cancelled()), default=None)
        return scheduled[0].when() if scheduled else None

    def pump(self) -> None:
        """Run one iteration: what is ready now, not what that makes ready."""
        self.stop()
        self.run_forever()

    def run_in_executor(
        self, executor: Any, func: Callable[[Unpack[Arguments]], Result], *args: *Arguments
    ) -> asyncio.Future[Result]:
        """Call `func` at once, on this thread, so that a schedule decides everything."""
        future: asyncio.Future[Result] = self.create_future()
        try:
            future.set_result(func(*args))
        except Exception as error:  # noqa: BLE001
            future.set_exception(error)
        return future

    def __del__(self) -> None:
        # It holds no descriptor, so one that was dropped open has leaked nothing worth a ResourceWarning.
        if not self.is_closed():
            self.close()

    def _process_events(self, event_list: list[Any]) -> None:
        """BaseEventLoop's hook for I/O events."""

    def _write_to_self(self) -> None:
        """BaseEventLoop's hook to end a select that blocks, which ours never does."""
