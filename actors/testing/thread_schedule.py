"""Who of several threads goes on: real threads that run one at a time, as `stepped_threads` promises."""

import math
import threading
from collections import deque
from collections.abc import Callable, Iterable
from typing import TypeVar

from actors.errors import ActorError
from actors.testing.manual_clock import ManualClock
from actors.threads import Thread

__all__ = ["EndlessRunError", "StandstillError", "SteppedThread", "SwapError", "ThreadSchedule"]

T = TypeVar("T")

_Waits = tuple[tuple[str, str], ...]


def _account(waits: _Waits) -> str:
    return ", ".join(f"{name!r} waits for {what}" for name, what in waits)


class StandstillError(ActorError):
    """No thread can go on, and some have not ended: a deadlock, or a wake-up that was lost."""

    def __init__(self, waits: _Waits) -> None:
        super().__init__(
            f"No thread can go on: {_account(waits)}. "
            "Look for a wake-up that was lost, or for locks that are taken in two orders."
        )
        self.waits = waits


class EndlessRunError(ActorError):
    """The threads go on and on."""

    def __init__(self, max_steps: int, waits: _Waits) -> None:
        super().__init__(
            f"The threads had not ended after {max_steps!r} steps: {_account(waits)}. "
            "Look for a loop that waits for what never comes, or give a larger max_steps."
        )
        self.max_steps = max_steps
        self.waits = waits


class SwapError(ActorError, ValueError):
    """A swap was given that cannot be made."""

    def __init__(self, gap: int, pick: int) -> None:
        super().__init__(f"A swap cannot be {(gap, pick)!r}. Give two whole numbers, each 0 or more.")
        self.gap = gap
        self.pick = pick


class _Abandoned(BaseException):
    """Ends a thread of a run that has failed."""


def _always() -> bool:
    return True


def _never() -> bool:
    return False


class ThreadSchedule:
    """Chooses who goes on at each point where another thread may; used for one call of `run`.

    Of the choices between several threads, each swap `(gap, pick)` lets `gap` go the ordinary way and makes the next
    one fall on candidate `pick`, counted round and round; 0 is the ordinary one. `after_step` is called at each
    such point; it may look at everything and must not wait.
    """

    def __init__(
        self,
        swap: Iterable[tuple[int, int]] = (),
        *,
        clock: ManualClock | None = None,
        max_steps: int = 20_000,
        after_step: Callable[[], None] | None = None,
    ) -> None:
        self.clock = ManualClock() if clock is None else clock
        self.max_steps = max_steps
        self.steps = 0
        self._swaps = deque(swap)
        for gap, pick in self._swaps:
            if gap < 0 or pick < 0:
                raise SwapError(gap, pick)
        self._ordinary_choices = 0
        self._after_step = after_step
        self._failure: BaseException | None = None
        self._main = SteppedThread(self, _never, "main")
        self._running = self._main
        # The one that runs comes first, the one that has run last before it comes last.
        self._order = [self._main]
        self._begun: list[SteppedThread] = []

    def run(self, main: Callable[[], T]) -> T:
        """Call `main` as the thread 'main', wait for the end of all that it starts, and hand on what it returned."""
        returned: list[T] = []
        try:
            returned.append(main())
            self.wait_until(self._are_others_over, "the end of all others")
        except _Abandoned:
            pass
        except BaseException as error:  # noqa: BLE001 - raised below, when no other thread is left.
            self._failure = self._failure or error
        self._end_threads()
        if self._failure is not None:
            raise self._failure
        return returned[0]

    def pause(self) -> None:
        """Let others go on, if a swap asks for it."""
        self.wait_until(_always, "its turn")

    def sleep(self, seconds: float) -> None:
        """Let `seconds` of the clock pass."""
        self.wait_until(_never, f"{seconds!r} s to pass", seconds)

    def wait_until(self, can_go: Callable[[], bool], what: object, timeout: float | None = None) -> bool:
        """Let others go on until `can_go()`; False when `timeout` seconds passed first. Errors call it `what`."""
        self.check_goes_on()
        thread = self._running
        thread.can_go, thread.what = can_go, what
        thread.due = math.inf if timeout is None else self.clock.monotonic() + max(0.0, timeout)
        self._hand_over(thread)
        return can_go()

    @property
    def running(self) -> "SteppedThread":
        """The thread that runs."""
        return self._running

    @property
    def has_failed(self) -> bool:
        """Whether the threads of the run are being abandoned."""
        return self._failure is not None

    def check_goes_on(self) -> None:
        """Leave the thread, by an exception that is not for others to catch, if its run has failed."""
        if self._failure is not None:
            raise _Abandoned

    def begin(self, thread: "SteppedThread") -> None:
        """Let `thread`, which waits for its baton, take part."""
        self._order.append(thread)
        self._begun.append(thread)
        self.pause()

    def end(self, thread: "SteppedThread", error: BaseException | None) -> None:
        """Let another one than `thread` go on for good; unless all are being abandoned."""
        thread.has_ended = True
        self._order.remove(thread)
        if self._failure is None:
            if error is not None:
                self._failure = error
            self._next().baton.release()

    def _are_others_over(self) -> bool:
        return len(self._order) == 1

    def _hand_over(self, thread: "SteppedThread") -> None:
        chosen = self._next()
        if chosen is not thread:
            self._order.remove(thread)
            self._order.append(thread)
            chosen.baton.release()
            thread.baton.acquire()
        self.check_goes_on()

    def _next(self) -> "SteppedThread":
        """Choose who goes on, put it first, and count it as the one that runs; after a failure that is 'main'."""
        chosen = self._main
        if self._failure is None:
            try:
                chosen = self._choose()
            except BaseException as error:  # noqa: BLE001 - `run` raises it.
                self._failure = error
        self._order.remove(chosen)
        self._order.insert(0, chosen)
        self._running = chosen
        return chosen

    def _choose(self) -> "SteppedThread":
        self.steps += 1
        if self.steps > self.max_steps:
            raise EndlessRunError(self.max_steps, self._waits())
        if self._after_step is not None:
            self._after_step()
        now = self.clock.monotonic()
        candidates: list[SteppedThread] = []
        first_due = math.inf
        timed: SteppedThread | None = None
        for thread in self._order:
            if thread.due <= now or thread.can_go():
                candidates.append(thread)
            elif thread.due < first_due:
                first_due, timed = thread.due, thread
        if timed is not None:
            candidates.append(timed)
        if not candidates:
            raise StandstillError(self._waits())
        chosen = candidates[self._pick(len(candidates))]
        if chosen is timed:
            self.clock.advance_to(first_due)
        return chosen

    def _pick(self, candidates: int) -> int:
        if candidates == 1 or not self._swaps:
            return 0
        gap, pick = self._swaps[0]
        if self._ordinary_choices < gap:
            self._ordinary_choices += 1
            return 0
        self._ordinary_choices = 0
        self._swaps.popleft()
        return pick % candidates

    def _waits(self) -> _Waits:
        return tuple((thread.name, str(thread.what)) for thread in self._order)

    def _end_threads(self) -> None:
        """Wait for what is left of each; in a run that failed some have to be sent off first, one by one."""
        for thread in self._begun:
            if not thread.has_ended:
                self._running = thread
                thread.baton.release()
            thread.real.join()


class SteppedThread(Thread):
    """A `threading.Thread` that goes on when its baton is released."""

    __slots__ = ("_schedule", "_target", "baton", "can_go", "due", "has_begun", "has_ended", "name", "real", "what")

    def __init__(self, schedule: ThreadSchedule, target: Callable[[], object], name: str) -> None:
        self.name = name
        self.can_go: Callable[[], bool] = _always
        self.due = math.inf
        self.what: object = "its turn"
        self.has_begun = False
        self.has_ended = False
        self.baton = threading.Lock()
        self.baton.acquire()
        self.real = threading.Thread(target=self._run, name=name, daemon=True)
        self._target = target
        self._schedule = schedule

    def start(self) -> None:
        self._schedule.check_goes_on()
        self.real.start()
        self.has_begun = True
        self._schedule.begin(self)

    def join(self, timeout: float | None = None) -> None:
        if not self.has_begun:
            raise RuntimeError(f"The thread {self.name!r} cannot be joined before it is started.")
        self._schedule.wait_until(lambda: self.has_ended, f"the end of {self.name!r}", timeout)

    def is_alive(self) -> bool:
        return self.has_begun and not self.has_ended

    def _run(self) -> None:
        self.baton.acquire()
        failure: BaseException | None = None
        try:
            if not self._schedule.has_failed:
                self._target()
        except _Abandoned:
            pass
        except BaseException as error:  # noqa: BLE001 - `run` raises it.
            failure = error
        self._schedule.end(self, failure)
