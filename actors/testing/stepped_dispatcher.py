"""A dispatcher without threads: each step is chosen, and time jumps when nothing can run.

Guarantees:

- Everything runs inside `step`, `run_until_idle`, `wait_for` and `shutdown`, on the thread that calls them.
- The same calls and choices lead to the same run; choice 0 is the order in which things became ready.
- The clock moves only when nothing can run, and then exactly to the next instant at which something can.
- A step inside a step is refused.
- What a turn, a timer or an `on_done` raises is a defect of the caller, and comes out of the step.
"""

import asyncio
import contextvars
import math
import threading
from collections import deque
from collections.abc import Callable, Coroutine
from typing import Any

from actors.async_task import CoroutineRun, LoopTask
from actors.dispatcher import Schedulable, TurnLimits
from actors.errors import DispatcherClosedError, WaitInsideTurnError
from actors.testing.manual_clock import ManualClock
from actors.testing.virtual_loop import VirtualLoop
from actors.timers import PendingTimer, TimerHeap
from actors.turn_context import TURN_DEPTH

__all__ = ["Choice", "SteppedDispatcher"]

Choice = Schedulable | PendingTimer | VirtualLoop
"""What one step can run: a turn of an actor, a timer that is due, or an iteration of the event loop."""

_SINGLE_MESSAGE = TurnLimits(max_messages=1, max_seconds=math.inf, splits_steps=True)


class SteppedDispatcher:
    """A `Dispatcher` that runs one thing at a time, when told, on the calling thread."""

    def __init__(self, clock: ManualClock | None = None, limits: TurnLimits = _SINGLE_MESSAGE) -> None:
        self.limits = limits
        self._clock = ManualClock() if clock is None else clock
        self._ready: deque[Choice] = deque()
        self._timers = TimerHeap()
        self._due_timers: list[PendingTimer] = []
        self._loop: VirtualLoop | None = None
        self._loop_is_queued = False
        self._tasks: set[asyncio.Task[None]] = set()
        self._defects: list[BaseException] = []
        self._is_stepping = False
        self._is_closed = False

    @property
    def clock(self) -> ManualClock:
        """The manual clock that timers, the loop and waiting go by."""
        return self._clock

    def submit(self, actor: Schedulable, /) -> None:
        """Queue one turn of `actor`; raises DispatcherClosedError after shutdown."""
        if self._is_closed:
            raise DispatcherClosedError("stepped")
        self._ready.append(actor)

    def call_later(self, delay: float, callback: Callable[[], None], /) -> PendingTimer:
        """Call `callback` in a step of its own, `delay` seconds from now."""
        if self._is_closed:
            raise DispatcherClosedError("stepped")
        return self._timers.add(self._clock.monotonic() + max(0.0, delay), callback)

    def run_async(
        self,
        coroutine: Coroutine[Any, Any, object],
        on_done: Callable[[object, BaseException | None], None],
        /,
        context: contextvars.Context | None = None,
    ) -> LoopTask:
        """Run `coroutine` on the virtual loop, an iteration a step."""
        if self._is_closed:
            coroutine.close()
            raise DispatcherClosedError("stepped")
        if self._loop is None:
            self._loop = VirtualLoop(self._clock)

        def report(result: object, error: BaseException | None) -> None:
            try:
                on_done(result, error)
            except BaseException as defect:  # noqa: BLE001
                self._defects.append(defect)

        task = CoroutineRun(coroutine, report, context).start(self._loop)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return LoopTask(task.cancel)

    def choices(self) -> tuple[Choice, ...]:
        """What can run now, in the order in which it became ready."""
        self._collect()
        return tuple(self._ready)

    def first(self) -> Choice | None:
        """What `step` would run; None if nothing can."""
        self._collect()
        return self._ready[0] if self._ready else None

    def step(self, choice: int = 0) -> bool:
        """Run one of `choices()`; False when there is none. Raises IndexError for a choice there is not."""
        self._check_outside_a_step("another step")
        self._collect()
        ready = self._ready
        if not ready:
            return False
        if choice:
            chosen = ready[choice]
            del ready[choice]
        else:
            chosen = ready.popleft()
        self._run(chosen)
        return True

    def run_until_idle(self, max_steps: int | None = None) -> int:
        """Run all there is, letting time jump, until nothing can run or `max_steps` ran; how many ran."""
        steps = 0
        while max_steps is None or steps < max_steps:
            if self.step():
                steps += 1
            elif not self.advance_to_next():
                break
        return steps

    def advance_to_next(self, limit: float = math.inf) -> bool:
        """Let time jump to the next instant at which something can run, if that is not after `limit`."""
        due = self.next_due()
        if due is None or due > limit:
            return False
        self._clock.advance_to(due)
        return True

    def next_due(self) -> float | None:
        """The monotonic instant of the earliest timer or sleep, or None if nothing waits for time."""
        of_timers = self._timers.next_due()
        of_loop = None if self._loop is None else self._loop.next_due()
        if of_timers is None or of_loop is None:
            return of_loop if of_timers is None else of_timers
        return min(of_timers, of_loop)

    def wait_for(self, event: threading.Event, timeout: float | None = None, /) -> bool:
        """Step until `event` is set; False once `timeout` virtual seconds passed, or if nothing can ever run.

        With a timeout of 0 it only looks. Raises WaitInsideTurnError inside a step.
        """
        self._check_outside_a_step("an event")
        if timeout is not None and timeout <= 0:
            return event.is_set()
        deadline = math.inf if timeout is None else self._clock.monotonic() + timeout
        while not event.is_set():
            if self.step() or self.advance_to_next(deadline):
                continue
            if timeout is not None:
                self._clock.advance_to(deadline)
            return False
        return True

    def shutdown(self, *, timeout: float | None = None) -> bool:
        """Cancel what the loop runs, drop turns and timers; False if a coroutine would not end.

        Raises WaitInsideTurnError inside a step.
        """
        self._check_outside_a_step("the end of its dispatcher")
        if self._is_closed:
            return True
        if self._loop is not None:
            deadline = math.inf if timeout is None else self._clock.monotonic() + timeout
            for task in list(self._tasks):
                task.cancel()
            self._pump_to_the_end(self._loop, deadline)
            closing = self._loop.create_task(self._loop.shutdown_asyncgens())
            while not closing.done():
                self._pump(self._loop)
            self._loop.close()
        has_ended = not self._tasks
        self._is_closed = True
        self._ready.clear()
        self._timers.clear()
        self._raise_defect()
        return has_ended

    def _check_outside_a_step(self, awaited: str) -> None:
        if self._is_stepping:
            raise WaitInsideTurnError(awaited)

    def _collect(self) -> None:
        """Bring the ready queue up to date with the timers and the loop."""
        if self._due_timers and not all(timer.is_pending for timer in self._due_timers):
            self._due_timers = [timer for timer in self._due_timers if timer.is_pending]
            kept = [c for c in self._ready if not isinstance(c, PendingTimer) or c.is_pending]
            self._ready = deque(kept)
        if self._timers:
            now = self._clock.monotonic()
            while timer := self._timers.pop_due(now):
                self._ready.append(timer)
                self._due_timers.append(timer)
        loop = self._loop
        if loop is not None and not self._loop_is_queued and loop.has_ready():
            self._loop_is_queued = True
            self._ready.append(loop)

    def _run(self, chosen: Choice) -> None:
        if isinstance(chosen, VirtualLoop):
            self._loop_is_queued = False
            self._pump(chosen)
            self._raise_defect()
        elif isinstance(chosen, PendingTimer):
            self._due_timers.remove(chosen)
            callback = self._timers.take(chosen)
            if callback is not None:
                self._call(callback)
        else:
            token = TURN_DEPTH.set(1)
            self._is_stepping = True
            try:
                chosen.run_turn(self.limits)
            finally:
                self._is_stepping = False
                TURN_DEPTH.reset(token)

    def _pump_to_the_end(self, loop: VirtualLoop, deadline: float) -> None:
        while self._tasks:
            if loop.has_ready():
                self._pump(loop)
                continue
            due = loop.next_due()
            if due is None or due > deadline:
                return
            self._clock.advance_to(due)

    def _pump(self, loop: VirtualLoop) -> None:
        self._call(loop.pump)

    def _call(self, function: Callable[[], None]) -> None:
        self._is_stepping = True
        try:
            contextvars.copy_context().run(_inside_turn, function)
        finally:
            self._is_stepping = False

    def _raise_defect(self) -> None:
        if self._defects:
            raise self._defects.pop(0)


def _inside_turn(function: Callable[[], None]) -> None:
    TURN_DEPTH.set(1)
    function()
