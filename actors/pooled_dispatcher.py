"""The dispatcher for real: a few worker threads, one for timers, one for coroutines, each when first needed.

Guarantees:

- Actors get turns as `worker_pool` promises, timers and coroutines go as `timers` and `async_loop` promise.
- Waiting inside a turn, a timer callback or a coroutine raises, since others need the thread.
- `shutdown` lets running turns end, cancels coroutines, reports them, and leaves no thread. Until it has
  returned, what turns submit is accepted and not run; then whatever gives work raises DispatcherClosedError.
- At the end of the process an open dispatcher is shut down within EXIT_SECONDS, and never holds it up longer.
- In a forked child every method raises ForkedDispatcherError and waits for no lock; the parent is unharmed.
"""

import contextvars
import functools
import threading
from collections.abc import Callable, Coroutine
from typing import Any

from actors.async_loop import AsyncLoop
from actors.async_task import LoopTask
from actors.clock import Clock, SystemClock
from actors.dispatcher import Schedulable, TurnLimits
from actors.errors import (
    ActorError,
    DispatcherClosedError,
    DispatcherOptionError,
    ForkedDispatcherError,
    WaitInsideTurnError,
)
from actors.process_life import ExitCall, run_at_exit, run_in_forked_child
from actors.statistics import DispatcherStatistics
from actors.threads import SYSTEM_THREADS, Threads
from actors.timers import PendingTimer, TimerThread
from actors.turn_context import is_inside_turn
from actors.worker_pool import WorkerPool

__all__ = ["EXIT_SECONDS", "PooledDispatcher"]

EXIT_SECONDS = 10.0
"""How long the end of the process waits for the turns of an open dispatcher."""


class PooledDispatcher:
    """A `Dispatcher` with at most `size` worker threads; it may be used from any thread.

    With `drains_at_exit=False` its owner sees to the shutdown at the end of the process. Workers and timers are
    made of `threads`; coroutines run on a real one.
    """

    def __init__(
        self,
        size: int = 32,
        *,
        limits: TurnLimits | None = None,
        name: str = "flowforge",
        clock: Clock | None = None,
        drains_at_exit: bool = True,
        threads: Threads = SYSTEM_THREADS,
    ) -> None:
        if size < 1:
            raise DispatcherOptionError("size", size, "Give the most worker threads it may have, 1 or more.")
        self.name = name
        self._clock = SystemClock() if clock is None else clock
        self._timers = TimerThread(self._clock, name, self._before_start, threads=threads)
        self._loop = AsyncLoop(name, self._clock, self._timers.call_later, self._before_start)
        limits = TurnLimits() if limits is None else limits
        self._pool = WorkerPool(size, limits, name, self._before_start, threads=threads)
        self._now = threads.perf_counter
        self._drains_at_exit = drains_at_exit
        self._exit_call: ExitCall | None = None
        self._life_lock = threads.rlock()
        self._has_started = False
        self._is_forked = False
        self._refusal: Callable[[], ActorError] | None = None
        # Bound here, since a method around it would cost a tenth of what it does.
        self.submit: Callable[[Schedulable], None] = self._pool.submit
        """Queue one turn of an actor; never blocks; raises DispatcherClosedError after shutdown."""

    @property
    def clock(self) -> Clock:
        """The time that timers go by."""
        return self._clock

    def call_later(self, delay: float, callback: Callable[[], None], /) -> PendingTimer:
        """Call `callback` on the timer thread after `delay` seconds; it must be short."""
        return self._timers.call_later(delay, callback)

    def run_async(
        self,
        coroutine: Coroutine[Any, Any, object],
        on_done: Callable[[object, BaseException | None], None],
        /,
        context: contextvars.Context | None = None,
    ) -> LoopTask:
        """Run `coroutine` on the loop's thread in a copy of the caller's context, then `on_done` there."""
        return self._loop.run(coroutine, on_done, context)

    def wait_for(self, event: threading.Event, timeout: float | None = None, /) -> bool:
        """Wait until `event` is set; False after `timeout` seconds, or if it is not set after a shutdown.

        Raises WaitInsideTurnError inside a turn, a timer callback or a coroutine.
        """
        if is_inside_turn():
            raise WaitInsideTurnError("an event")
        if self._refusal is not None:
            self._check_not_forked()
            return event.is_set()
        return event.wait(timeout)

    def statistics(self) -> DispatcherStatistics:
        """What it has and does; may be called from any thread."""
        self._check_not_forked()
        workers, active, ready, turns, longest = self._pool.statistics()
        return DispatcherStatistics(
            workers=workers,
            active_workers=active,
            ready_actors=ready,
            turns=turns,
            longest_turn=longest,
            pending_timers=len(self._timers.heap),
            async_tasks=len(self._loop),
        )

    def shutdown(self, *, timeout: float | None = None) -> bool:
        """End everything; False when a turn, callback or coroutine still runs after `timeout` seconds.

        It may be called again, to wait for these. Raises WaitInsideTurnError on a thread of the dispatcher.
        """
        self._check_not_forked()
        if is_inside_turn():
            raise WaitInsideTurnError("the end of its dispatcher")
        deadline = None if timeout is None else self._now() + timeout

        def remaining() -> float | None:
            return None if deadline is None else max(0.0, deadline - self._now())

        self._pool.stop()
        self._timers.stop()
        have_ended = [self._pool.join(remaining), self._timers.join(remaining)]
        # Turns that were running may have started coroutines.
        self._loop.stop()
        have_ended.append(self._loop.join(remaining))
        self._refuse(functools.partial(DispatcherClosedError, self.name))
        if self._exit_call is not None:
            self._exit_call.cancel()
        return all(have_ended)

    def _refuse(self, refusal: Callable[[], ActorError]) -> None:
        self._refusal = refusal
        self._pool.refuse(refusal)
        self._timers.refuse(refusal)
        self._loop.refuse(refusal)

    def _check_not_forked(self) -> None:
        if self._is_forked:
            raise ForkedDispatcherError(self.name)

    def _before_start(self) -> None:
        """See to the ends of the process, before the first thread is started."""
        with self._life_lock:
            if self._has_started:
                return
            self._has_started = True
            run_in_forked_child(self._reset_after_fork)
            if self._drains_at_exit:
                self._exit_call = run_at_exit(self._drain)

    def _drain(self) -> None:
        self.shutdown(timeout=EXIT_SECONDS)

    def _reset_after_fork(self) -> None:
        refusal = functools.partial(ForkedDispatcherError, self.name)
        self._is_forked = True
        self._refusal = refusal
        self._pool.reset_after_fork(refusal)
        self._timers.reset_after_fork(refusal)
        self._loop.reset_after_fork(refusal)
        if self._exit_call is not None:
            self._exit_call.cancel()
