"""One event loop on a thread of its own, for all coroutines of a dispatcher.

Guarantees:

- `run` may be called on any thread, with any lock held; a coroutine runs in a copy of its caller's context.
- Each `on_done` is called exactly once, on the loop's thread, with `(result, None)` or `(None, error)`.
- However many coroutines are started or cancelled at once, the loop is woken once for all of them.
- A coroutine that keeps the loop from running for longer than a second is named in a warning, once.
- `stop` cancels what is left, and what comes until `refuse`; the thread ends when all coroutines have.
- `_lock` guards what is handed over; tasks are touched by the loop's thread only.
"""

import asyncio
import contextvars
import functools
import logging
import threading
from collections import deque
from collections.abc import Callable, Coroutine
from typing import Any

from actors.async_task import CoroutineRun, LoopTask
from actors.clock import Clock
from actors.errors import ActorError
from actors.threads import DaemonThread
from actors.turn_context import TURN_DEPTH

__all__ = ["BLOCKED_SECONDS", "AsyncLoop"]

logger = logging.getLogger("actors")

BLOCKED_SECONDS = 1.0
"""A coroutine that keeps the loop for longer is named in a warning."""
_WATCH_INTERVAL = 0.25


class AsyncLoop:
    """Runs coroutines on a daemon thread, started with the first one."""

    def __init__(
        self,
        name: str,
        clock: Clock,
        call_later: Callable[[float, Callable[[], None]], object],
        before_start: Callable[[], None],
    ) -> None:
        self.thread: threading.Thread | None = None
        self._name = name
        self._clock = clock
        self._call_later = call_later
        self._before_start = before_start
        self._lock = threading.RLock()
        self._new: deque[CoroutineRun] = deque()
        self._orders: deque[Callable[[], None]] = deque()
        self._is_woken = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._runs: set[CoroutineRun] = set()
        self._pending = 0
        self._context = contextvars.Context()
        self._context.run(TURN_DEPTH.set, 1)
        self._is_stopping = False
        self._has_ended = False
        self._refusal: Callable[[], ActorError] | None = None
        self._is_watched = False
        self._asked_at: float | None = None
        self._has_warned = False

    def __len__(self) -> int:
        """How many coroutines have not ended."""
        return self._pending

    def run(
        self,
        coroutine: Coroutine[Any, Any, object],
        on_done: Callable[[object, BaseException | None], None],
        /,
        context: contextvars.Context | None = None,
    ) -> LoopTask:
        """Run `coroutine`, then `on_done`; once refused, closes it and raises what `refuse` was given."""
        with self._lock:
            if self._refusal is not None:
                coroutine.close()
                raise self._refusal()
            run = CoroutineRun(coroutine, on_done, context)
            try:
                self._wake()
            except BaseException:
                coroutine.close()
                raise
            self._new.append(run)
            self._pending += 1
        return LoopTask(functools.partial(self._cancel_soon, run))

    def stop(self) -> None:
        """Cancel all coroutines, now and from now on."""
        with self._lock:
            self._is_stopping = True
            if self._loop is not None:
                self._order(self._cancel_all)

    def join(self, remaining: Callable[[], float | None]) -> bool:
        """Wait for the thread after `stop`; False when a coroutine still runs after `remaining()` seconds."""
        if self.thread is None:
            return True
        self.thread.join(remaining())
        return not self.thread.is_alive()

    def refuse(self, refusal: Callable[[], ActorError]) -> None:
        """Raise `refusal()` in each `run` from now on."""
        self._refusal = refusal

    def reset_after_fork(self, refusal: Callable[[], ActorError]) -> None:
        """Make the copy in a forked child, which has no thread, refuse all without waiting for a lock."""
        self._lock = threading.RLock()
        self._has_ended = True
        self._refusal = refusal

    def _order(self, order: Callable[[], None]) -> None:
        """Have `order` called on the loop's thread."""
        with self._lock:
            self._wake()
            self._orders.append(order)

    def _wake(self) -> None:
        """Have the loop's thread look for what is handed over, unless it has ended; with the lock held."""
        if self._has_ended:
            return
        if self._loop is None:
            self._loop = self._start_thread()
        if not self._is_woken:
            self._is_woken = True
            self._loop.call_soon_threadsafe(self._take_orders, context=self._context)

    def _start_thread(self) -> asyncio.AbstractEventLoop:
        self._before_start()
        loop = asyncio.new_event_loop()
        thread = DaemonThread(functools.partial(self._serve, loop), f"{self._name}-loop")
        try:
            thread.start()
        except BaseException:
            loop.close()
            raise
        self.thread = thread
        return loop

    def _take_orders(self) -> None:
        with self._lock:
            new, self._new = self._new, deque()
            orders, self._orders = self._orders, deque()
            self._is_woken = False
        for run in new:
            self._start(run)
        if new:
            self._watch_if_needed()
        for order in orders:
            order()

    def _start(self, run: CoroutineRun) -> None:
        assert self._loop is not None
        task = run.start(self._loop, self._end)
        self._runs.add(run)
        if self._is_stopping:
            task.cancel()

    def _watch_if_needed(self) -> None:
        with self._lock:
            if not self._is_stopping and not self._is_watched:
                self._is_watched = True
                self._call_later(_WATCH_INTERVAL, self._watch)

    def _cancel_soon(self, run: CoroutineRun) -> None:
        self._order(functools.partial(self._cancel, run))

    def _cancel(self, run: CoroutineRun) -> None:
        if run.task is not None:
            run.task.cancel()

    def _cancel_all(self) -> None:
        for run in list(self._runs):
            self._cancel(run)
        self._stop_if_done()

    def _end(self, run: CoroutineRun) -> None:
        self._runs.discard(run)
        with self._lock:
            self._pending -= 1
        self._stop_if_done()

    def _stop_if_done(self) -> None:
        if self._is_stopping and not self._pending and self._loop is not None:
            self._loop.stop()

    def _serve(self, loop: asyncio.AbstractEventLoop) -> None:
        TURN_DEPTH.set(1)
        while not self._has_ended:
            try:
                loop.run_forever()
            except BaseException:
                # Only SystemExit and KeyboardInterrupt of somebody's callback come here.
                logger.exception("A callback on the event loop of dispatcher %r raised.", self._name)
            with self._lock:
                self._has_ended = self._is_stopping and not self._pending
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.run_until_complete(loop.shutdown_default_executor())
        loop.close()

    def _watch(self) -> None:
        """Ask the loop for a sign of life, on the timer thread, as long as it has coroutines."""
        now = self._clock.monotonic()
        with self._lock:
            if self._is_stopping or not self._runs:
                self._is_watched = False
                return
            if self._asked_at is None:
                self._asked_at = now
                self._has_warned = False
                self._order(self._give_sign_of_life)
            elif now - self._asked_at >= BLOCKED_SECONDS and not self._has_warned:
                self._has_warned = True
                self._warn(now - self._asked_at)
        self._call_later(_WATCH_INTERVAL, self._watch)

    def _give_sign_of_life(self) -> None:
        self._asked_at = None

    def _warn(self, seconds: float) -> None:
        task = asyncio.current_task(self._loop)
        name = "a callback" if task is None else task.get_name()
        logger.warning(
            "Coroutine %r has blocked the event loop of dispatcher %r for %.1f s. "
            "Use await, or asyncio.to_thread for calls that block.",
            name,
            self._name,
            seconds,
        )
