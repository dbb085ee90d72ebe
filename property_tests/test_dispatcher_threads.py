"""The dispatcher's own threads, stepped through chosen interleavings, and defects put into them to be found.

A scenario is run by threads of which one goes on at a time. After each step the books of the pool are compared with
what its workers are; at the end, everything must have happened once.
"""

import inspect
import itertools
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from operator import itemgetter
from random import Random
from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import Phase, example, find, given, settings

from actors.dispatcher import Group, TurnLimits
from actors.errors import ActorError, DispatcherClosedError
from actors.mailbox import Lane, Mailbox
from actors.pool_gauge import LOOK_INTERVAL, PoolGauge
from actors.pooled_dispatcher import PooledDispatcher
from actors.testing.stepped_locks import SteppedLock
from actors.testing.stepped_threads import SteppedThreads
from actors.testing.thread_schedule import SteppedThread
from actors.timers import PendingTimer, TimerThread
from actors.worker_pool import WorkerPool
from actors.worker_status import MonitorStatus, WorkerStatus
from tests.actors.stand_ins import Caller, Unstartable

Swaps = list[tuple[int, int]]
Submit = Callable[["Listener"], None]

LATEST = 35
"""The last choice that a scenario may change."""
EXAMPLES = 200
"""How many tries a defect may take to be found."""


def swaps_at(picks: Swaps) -> Swaps:
    """The swaps that make choice `at` fall on `pick`, for each `(at, pick)`; to drop one leaves the others in place."""
    made: Swaps = []
    following = 0
    for at, pick in sorted(picks):
        made.append((at - following, pick))
        following = at + 1
    return made


at_and_pick = st.tuples(st.integers(0, LATEST), st.integers(1, 2))
swaps = st.lists(at_and_pick, max_size=20, unique_by=itemgetter(0)).map(swaps_at)


def nothing() -> None:
    pass


@dataclass(frozen=True)
class Telling:
    """One message: who gets it, after which pause, and for how long it occupies him."""

    listener: int = 0
    pause: float = 0.0
    seconds: float = 0.0


# Few values, so that much happens at the same instant; two of the monitor's looks are one of them apart.
spans = st.sampled_from([0.0, LOOK_INTERVAL])
tellings = st.builds(Telling, st.integers(0, 2), spans, spans)


@dataclass(frozen=True)
class PoolScenario:
    """Threads that tell, a pool that gives turns, and what the schedule does to them."""

    tellers: list[list[Telling]]
    size: int = 1
    prompt: int = 1
    advice: list[int] = field(default_factory=list)
    stops_early: bool = False
    swap: Swaps = field(default_factory=list)


pool_scenarios = st.builds(
    PoolScenario,
    tellers=st.lists(st.lists(tellings, min_size=1, max_size=4), min_size=1, max_size=2),
    size=st.integers(1, 3),
    prompt=st.sampled_from([1, 1, 1, 3]),
    advice=st.just([]) | st.lists(st.integers(-2, 2), max_size=2),
    stops_early=st.sampled_from([False, False, False, True]),
    swap=swaps,
)
lone_scenarios = st.builds(
    PoolScenario, tellers=st.lists(st.lists(tellings, min_size=2, max_size=4), min_size=1, max_size=1), swap=swaps
)


class Threads(SteppedThreads):
    """Stepped threads of which those named in `refused` cannot be started."""

    refused: tuple[str, ...] = ()

    def thread(self, target: Callable[[], object], name: str) -> SteppedThread:
        return (Unstartable if name in self.refused else SteppedThread)(self, target, name)


class Advice(PoolGauge):
    """A gauge that says what the scenario wants, over and over."""

    def __init__(self, advice: list[int]) -> None:
        super().__init__(1)
        self.advice = itertools.cycle(advice)

    def look(self, turns: int, active: int, stuck: int, *, is_waiting: bool) -> int:
        return next(self.advice)


class Listener:
    """An actor with a mailbox, which remembers what it heard and whether it ever had two turns at once."""

    def __init__(self, threads: SteppedThreads, submit: Submit, group: Group, mailbox: Mailbox) -> None:
        self.threads = threads
        self.submit = submit
        self.group = group
        self.mailbox = mailbox
        self.heard: list[tuple[int, int]] = []
        self.turns_at_once = 0
        self.most_at_once = 0

    def tell(self, message: tuple[int, int, float]) -> None:
        with self.mailbox.lock:
            if self.mailbox.put(0, message):
                self.submit(self)

    def run_turn(self, limits: TurnLimits) -> None:
        self.turns_at_once += 1
        self.most_at_once = max(self.most_at_once, self.turns_at_once)
        with self.mailbox.lock:
            self.mailbox.start_turn()
            taken = [self.mailbox.pop(0) for _ in range(limits.max_messages) if self.mailbox.peek() >= 0]
        for teller, number, seconds in taken:
            self.threads.sleep(seconds)
            self.heard.append((teller, number))
        self.turns_at_once -= 1
        with self.mailbox.lock:
            if self.mailbox.end_turn():
                self.submit(self)

    def check(self, tellers: int) -> None:
        assert self.most_at_once <= 1, "two turns at once"
        for teller in range(tellers):
            numbers = [number for whose, number in self.heard if whose == teller]
            assert numbers == sorted(set(numbers)), "a message was heard twice or out of order"


class Run:
    """What the runs of a pool share: their threads, and a pool whose books are compared after each step."""

    def __init__(self, swap: Swaps, pool_class: type[WorkerPool]) -> None:
        self.threads = Threads(swap, max_steps=3_000, after_step=self.check_books)
        self.pool_class = pool_class
        self.pool: WorkerPool | None = None

    def run(self) -> None:
        self.threads.run(self.main)

    def main(self) -> None:
        raise NotImplementedError

    def make_pool(self, size: int, prompt: int = 1) -> WorkerPool:
        pool = self.pool_class(size, TurnLimits(max_messages=2), "pool", nothing, threads=self.threads)
        pool._prompt = prompt  # noqa: SLF001 - what an interpreter without the GIL would choose.
        self.pool = pool
        return pool

    def check_books(self) -> None:
        """What holds whenever nobody is about to change the books."""
        pool = self.pool
        if pool is None:
            return
        lock = pool._lock  # noqa: SLF001
        assert isinstance(lock, SteppedLock)
        if lock.holder is not None:
            return
        workers = pool._workers  # noqa: SLF001
        active = [worker for worker in workers if worker.status is WorkerStatus.ACTIVE]
        idle = {id(worker) for worker in workers if worker.status is WorkerStatus.IDLE}
        assert len(workers) <= pool.size, "too many workers"
        assert pool._active == len(active), "a worker is counted wrongly"  # noqa: SLF001
        assert {id(worker) for worker in pool._idle} == idle, "an idle worker is lost"  # noqa: SLF001
        if pool._queue and not pool._is_stopping:  # noqa: SLF001
            assert active, "a wake-up is lost"

    def wait_until_at_rest(self, pool: WorkerPool) -> None:
        def is_at_rest() -> bool:
            is_idle = all(worker.status is WorkerStatus.IDLE for worker in pool._workers)  # noqa: SLF001
            return is_idle and pool._monitor_status is MonitorStatus.PARKED  # noqa: SLF001

        self.threads.wait_until(is_at_rest, "the rest of all")

    def end(self, pool: WorkerPool) -> None:
        pool.stop()
        assert pool.join(lambda: None)
        assert {worker.status for worker in pool._workers} <= {WorkerStatus.ENDED}  # noqa: SLF001


class PoolRun(Run):
    """Tells listeners as its scenario says; raises whatever is wrong with it."""

    def __init__(
        self,
        scenario: PoolScenario,
        pool_class: type[WorkerPool] = WorkerPool,
        mailbox_class: type[Mailbox] = Mailbox,
    ) -> None:
        super().__init__(scenario.swap, pool_class)
        self.scenario = scenario
        self.mailbox_class = mailbox_class

    def main(self) -> None:
        scenario = self.scenario
        pool = self.make_pool(scenario.size, scenario.prompt)
        if scenario.advice:
            pool._gauge = Advice(scenario.advice)  # noqa: SLF001 - it may advise anything at any time.
        listeners = self.make_listeners(pool.submit)
        for teller, told in enumerate(scenario.tellers):
            self.threads.thread(partial(tell, self.threads, teller, told, listeners), f"teller {teller}").start()
        if not scenario.stops_early:
            left = sum(len(told) for told in scenario.tellers)
            self.threads.wait_until(lambda: sum(len(each.heard) for each in listeners) >= left, "all messages")
            self.wait_until_at_rest(pool)
        self.end(pool)
        for listener in listeners:
            listener.check(len(scenario.tellers))

    def make_listeners(self, submit: Submit) -> list["Listener"]:
        groups = [Group(), Group()]
        mailboxes = [self.mailbox_class([Lane("in")], self.threads.rlock()) for _ in range(3)]
        return [Listener(self.threads, submit, groups[n % 2], mailbox) for n, mailbox in enumerate(mailboxes)]


class FewThreadsRun(PoolRun):
    """A pool that gets no more than one worker, whatever its size."""

    def __init__(self, scenario: PoolScenario, pool_class: type[WorkerPool] = WorkerPool) -> None:
        super().__init__(scenario, pool_class)
        self.threads.refused = ("pool-worker-1", "pool-worker-2")


def tell(threads: SteppedThreads, teller: int, told: list[Telling], listeners: list["Listener"]) -> None:
    for number, telling in enumerate(told):
        threads.sleep(telling.pause)
        listeners[telling.listener].tell((teller, number, telling.seconds))


@dataclass(frozen=True)
class GateScenario:
    """Turns that block all workers but one until another turn has opened a gate."""

    size: int = 2
    rounds: int = 1
    rests: bool = True
    pause: float = 0.0
    swap: Swaps = field(default_factory=list)


gate_scenarios = st.builds(
    GateScenario,
    size=st.integers(2, 3),
    rounds=st.integers(1, 3),
    rests=st.booleans(),
    pause=st.sampled_from([0.0, LOOK_INTERVAL, 2 * LOOK_INTERVAL]),
    swap=swaps,
)


class GateRun(Run):
    """Blocks workers on gates; the monitor has to find out and wake further ones."""

    def __init__(self, scenario: GateScenario, pool_class: type[WorkerPool] = WorkerPool) -> None:
        super().__init__(scenario.swap, pool_class)
        self.scenario = scenario
        self.is_open = False
        self.left = 0

    def main(self) -> None:
        pool = self.make_pool(self.scenario.size)
        for _ in range(self.scenario.rounds):
            self.is_open = False
            self.left = self.scenario.size
            for _ in range(self.scenario.size - 1):
                pool.submit(Caller(self.pass_gate))
            self.threads.thread(partial(self.submit_opener, pool), "opener").start()
            self.threads.wait_until(lambda: not self.left, "all turns")
            if self.scenario.rests:
                self.wait_until_at_rest(pool)
        self.end(pool)

    def submit_opener(self, pool: WorkerPool) -> None:
        self.threads.sleep(self.scenario.pause)
        pool.submit(Caller(self.open_gate))

    def pass_gate(self) -> None:
        self.threads.wait_until(lambda: self.is_open, "the gate")
        self.left -= 1

    def open_gate(self) -> None:
        self.is_open = True
        self.left -= 1


@dataclass(frozen=True)
class TimerScenario:
    """Threads that each add timers with a delay, and cancel some of them after a pause."""

    adders: list[list[tuple[float, float | None]]]
    stops_early: bool = False
    swap: Swaps = field(default_factory=list)


timers = st.tuples(st.sampled_from([0.0, 1.0, 2.0]), st.sampled_from([None, None, 0.0, 1.0]))
timer_scenarios = st.builds(
    TimerScenario,
    adders=st.lists(st.lists(timers, min_size=1, max_size=3), min_size=1, max_size=2),
    stops_early=st.sampled_from([False, False, False, True]),
    swap=swaps,
)


@dataclass(eq=False)
class Added:
    """One timer, and at which points of the run things happened to it."""

    begun_at: int
    added_at: int = -1
    due: float = 0.0
    is_cancelled: bool = False
    called_at: list[int] = field(default_factory=list)


class TimerRun:
    """One run of a scenario; raises whatever is wrong with it."""

    def __init__(self, scenario: TimerScenario, timers_class: type[TimerThread] = TimerThread) -> None:
        self.scenario = scenario
        self.threads = SteppedThreads(scenario.swap, max_steps=3_000)
        self.timers_class = timers_class
        self.points = itertools.count()
        self.added: list[Added] = []
        self.adders_left = len(scenario.adders)

    def run(self) -> None:
        self.threads.run(self.main)

    def main(self) -> None:
        thread = self.timers_class(self.threads.clock, "test", nothing, threads=self.threads)
        for number, adding in enumerate(self.scenario.adders):
            self.threads.thread(partial(self.add, thread, adding), f"adder {number}").start()
        if not self.scenario.stops_early:
            self.threads.wait_until(self.is_done, "all calls")
        assert thread.thread is None or thread.thread.is_alive()
        thread.stop()
        called = self.calls()
        assert thread.join(lambda: None)
        assert self.calls() <= called + 1, "a call was taken after the stop"
        called = self.calls()
        self.threads.sleep(5.0)
        assert self.calls() == called, "a call was made after the end"
        self.check_order()

    def add(self, thread: TimerThread, adding: list[tuple[float, float | None]]) -> None:
        for delay, pause in adding:
            added = Added(next(self.points))
            timer: PendingTimer = thread.call_later(delay, partial(self.call, added))
            added.due = timer.due
            added.added_at = next(self.points)
            self.added.append(added)
            if pause is not None:
                self.threads.sleep(pause)
                added.is_cancelled = timer.cancel()
        self.adders_left -= 1

    def call(self, added: Added) -> None:
        added.called_at.append(next(self.points))
        assert self.threads.clock.monotonic() >= added.due

    def calls(self) -> int:
        return sum(len(added.called_at) for added in self.added)

    def is_done(self) -> bool:
        return not self.adders_left and all(added.is_cancelled or added.called_at for added in self.added)

    def check_order(self) -> None:
        for added in self.added:
            assert len(added.called_at) + added.is_cancelled <= 1, "called twice, or although it was cancelled"
        for first, second in itertools.permutations(self.added, 2):
            if first.added_at < second.begun_at and first.due <= second.due and second.called_at:
                assert first.is_cancelled or first.called_at < second.called_at, "called out of order"


class DispatcherRun:
    """Shuts a whole dispatcher down while others give it work."""

    def __init__(self, scenario: PoolScenario) -> None:
        self.scenario = scenario
        self.threads = SteppedThreads(scenario.swap, max_steps=3_000)
        self.refused = 0
        self.accepted = 0
        self.calls = 0

    def run(self) -> None:
        self.threads.run(self.main)

    def main(self) -> None:
        dispatcher = PooledDispatcher(
            self.scenario.size, clock=self.threads.clock, drains_at_exit=False, threads=self.threads
        )
        for number, told in enumerate(self.scenario.tellers):
            self.threads.thread(partial(self.give_work, dispatcher, told), f"teller {number}").start()
        if not self.scenario.stops_early:
            self.threads.wait_until(self.is_done, "all turns and calls")
        assert dispatcher.shutdown()
        figures = dispatcher.statistics()
        assert (figures.active_workers, figures.ready_actors, figures.pending_timers) == (0, 0, 0)
        with pytest.raises(DispatcherClosedError):
            dispatcher.submit(Caller(nothing))

    def give_work(self, dispatcher: PooledDispatcher, told: list[Telling]) -> None:
        try:
            for telling in told:
                dispatcher.submit(Caller(partial(self.turn, telling.seconds)))
                dispatcher.call_later(telling.seconds, self.call)
                self.accepted += 2
        except DispatcherClosedError:
            self.refused += 1

    def turn(self, seconds: float) -> None:
        self.threads.sleep(seconds)
        self.call()

    def call(self) -> None:
        self.calls += 1

    def is_done(self) -> bool:
        return self.calls == sum(2 * len(told) for told in self.scenario.tellers)


# A helper that could not be started counted as active while the only worker parked, so that nobody was woken.
UNSTARTED_HELPER = PoolScenario([[Telling(pause=LOOK_INTERVAL)] * 2] * 2, size=2, advice=[1], swap=[(19, 2)])


@given(pool_scenarios)
def test_pool_gives_each_turn_once_and_always_ends(scenario: PoolScenario) -> None:
    PoolRun(scenario).run()


@given(gate_scenarios)
def test_blocked_workers_get_help_whatever_the_order(scenario: GateScenario) -> None:
    GateRun(scenario).run()


@given(pool_scenarios)
@example(UNSTARTED_HELPER)
def test_pool_goes_on_with_the_threads_that_it_got(scenario: PoolScenario) -> None:
    FewThreadsRun(scenario).run()


@given(timer_scenarios)
def test_timer_thread_makes_each_call_once_and_in_order(scenario: TimerScenario) -> None:
    TimerRun(scenario).run()


@given(pool_scenarios)
def test_dispatcher_shuts_down_while_others_give_it_work(scenario: PoolScenario) -> None:
    DispatcherRun(scenario).run()


@dataclass(frozen=True)
class Defect:
    """A change of one method's source, and the run that should find it."""

    run: Callable[[Any, type[Any]], Any]
    scenarios: st.SearchStrategy[Any]
    subject: type[Any]
    method: str
    changes: tuple[tuple[str, str], ...]

    def made(self) -> type[Any]:
        """A subclass whose method has the defect."""
        source = inspect.getsource(getattr(self.subject, self.method))
        for old, new in self.changes:
            assert source.count(old) == 1, f"{old!r} is no longer in the source."
            source = source.replace(old, new)
        scope = dict(vars(sys.modules[self.subject.__module__]))
        exec(f"class Changed:\n{source}", scope)
        return type(self.subject.__name__, (self.subject,), {self.method: vars(scope["Changed"])[self.method]})


def in_pool(method: str, *changes: tuple[str, str]) -> Defect:
    return Defect(PoolRun, pool_scenarios, WorkerPool, method, changes)


def at_gate(method: str, *changes: tuple[str, str]) -> Defect:
    return Defect(GateRun, gate_scenarios, WorkerPool, method, changes)


def in_timers(method: str, *changes: tuple[str, str]) -> Defect:
    return Defect(TimerRun, timer_scenarios, TimerThread, method, changes)


def in_mailbox(method: str, *changes: tuple[str, str]) -> Defect:
    return Defect(
        lambda scenario, mailbox_class: PoolRun(scenario, mailbox_class=mailbox_class),
        pool_scenarios,
        Mailbox,
        method,
        changes,
    )


PARKS = """
                if parks:
                    self._move_monitor(_PARKED)"""
PARKS_LATE = """
            if parks:
                with self._lock:
                    self._move_monitor(_PARKED)
"""
RESTS = """
                if actor is None:
                    self._move(worker, _IDLE)
            if actor is None:
"""
RESTS_LATE = """
            if actor is None:
                with self._lock:
                    self._move(worker, _IDLE)
"""

TAKES_LATE = """
                    self.heap.lock.release()
                    self.heap.lock.acquire()
                    return timer.take()"""

DEFECTS = {
    "a worker is idle only after another look at the lock": Defect(
        PoolRun, lone_scenarios, WorkerPool, "_work", ((RESTS, RESTS_LATE),)
    ),
    "an actor is queued after the lock was given back": in_pool(
        "submit", ("            self._queue.push(actor)", "        self._queue.push(actor)")
    ),
    "the last active worker rests too": in_pool("_work", ("(self._active > 1 or self._is_stopping)", "True")),
    "submit fails when a further thread does not start": Defect(
        FewThreadsRun, pool_scenarios, WorkerPool, "_start_if_needed", (("not self._workers", "True"),)
    ),
    "one worker too many is made": in_pool("_wake_worker", ("len(self._workers) < self.size", "True")),
    "stop leaves idle workers parked": in_pool(
        "stop", ("self._wake_worker()", "self._move(self._idle.pop(), _ACTIVE)")
    ),
    "stop leaves the monitor parked": in_pool("stop", ("self._monitor_baton.locked()", "False")),
    "the monitor says that it parks when it has parked": at_gate(
        "_watch", (PARKS, ""), ("\n            if parks:\n", PARKS_LATE)
    ),
    "the monitor parks although somebody waits": at_gate("_watch", (" and not self._queue", "")),
    "submit leaves the monitor parked": at_gate("submit", ("self._monitor_status is _PARKED", "False")),
    "a message to a running actor submits it": in_mailbox("put", ("self.status is _IDLE and ", "")),
    "a turn ends without a look for more": in_mailbox("end_turn", ("self.has_work()", "False")),
    "a timer that goes first wakes nobody": in_timers(
        "call_later", ("timer.due < self._sleeps_until", "timer.due < -self._sleeps_until")
    ),
    "a timer is taken after the lock was given back": in_timers("_wait_for_next", ("return timer.take()", TAKES_LATE)),
    "the timer thread looks once instead of until it may go on": in_timers("_wait_for_next", ("while not", "if not")),
    "stop lets the timer thread sleep": in_timers("stop", ("self._condition.notify()", "pass")),
}


def is_found(defect: Defect, changed: type[Any], tried: list[bool], scenario: Any) -> bool:
    try:
        defect.run(scenario, changed).run()
    except (AssertionError, RuntimeError, ActorError):
        tried.append(True)
    else:
        tried.append(False)
    return tried[-1]


@pytest.mark.parametrize("seed", [0, *(pytest.param(seed, marks=pytest.mark.soak) for seed in range(1, 5))])
@pytest.mark.parametrize("name", DEFECTS)
def test_a_defect_is_found_within_200_examples(name: str, seed: int) -> None:
    defect = DEFECTS[name]
    tried: list[bool] = []

    find(
        defect.scenarios,
        partial(is_found, defect, defect.made(), tried),
        settings=settings(max_examples=EXAMPLES, deadline=None, database=None, phases=[Phase.generate]),
        random=Random(seed),
    )

    assert tried.index(True) < EXAMPLES


def test_the_wake_up_lost_with_an_unstarted_helper_stays_found() -> None:
    defect = Defect(FewThreadsRun, pool_scenarios, WorkerPool, "_start", (("self._queue and self._idle", "False"),))

    with pytest.raises(AssertionError, match="a wake-up is lost"):
        FewThreadsRun(UNSTARTED_HELPER, defect.made()).run()
