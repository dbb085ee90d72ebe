"""Real threads and real time: races that no chosen schedule would find."""

import os
import random
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from actors.dispatcher import Dispatcher, Group, TurnLimits
from actors.errors import DispatcherClosedError
from actors.mailbox import Lane, Mailbox
from actors.pooled_dispatcher import PooledDispatcher
from tests.actors.stand_ins import Caller

pytestmark = pytest.mark.stress

PATIENCE = 60.0


class Counter:
    """An actor with a mailbox that counts what it is told, and says when it has heard all."""

    def __init__(self, dispatcher: Dispatcher, expected: int, group: Group) -> None:
        self.dispatcher = dispatcher
        self.group = group
        self.mailbox = Mailbox([Lane("in")])
        self.left = expected
        self.turns_at_once = 0
        self.done = threading.Event()

    def tell(self, message: object) -> None:
        with self.mailbox.lock:
            if self.mailbox.put(0, message):
                self.dispatcher.submit(self)

    def run_turn(self, limits: TurnLimits) -> None:
        self.turns_at_once += 1
        assert self.turns_at_once == 1
        with self.mailbox.lock:
            self.mailbox.start_turn()
            for _ in range(limits.max_messages):
                if self.mailbox.peek() < 0:
                    break
                self.mailbox.pop(0)
                self.left -= 1
        if self.left == 0:
            self.done.set()
        self.turns_at_once -= 1
        with self.mailbox.lock:
            if self.mailbox.end_turn():
                self.dispatcher.submit(self)


@pytest.fixture
def dispatcher() -> Iterator[PooledDispatcher]:
    made = PooledDispatcher(8)
    yield made
    assert made.shutdown(timeout=PATIENCE)


def sleeper(seconds: float, finished: threading.Semaphore) -> Callable[[], None]:
    def sleep() -> None:
        time.sleep(seconds)
        finished.release()

    return sleep


def race_submits_with_parking(dispatcher: PooledDispatcher, rounds: int) -> None:
    """Give one turn at a time, so that the worker parks, or is about to, whenever the next is submitted."""
    for _ in range(rounds):
        done = threading.Lock()
        done.acquire()
        dispatcher.submit(Caller(done.release))
        assert done.acquire(timeout=PATIENCE)


def tell_from_many_threads(dispatcher: PooledDispatcher, threads: int, messages: int) -> None:
    groups = [Group() for _ in range(4)]
    counters = [Counter(dispatcher, threads * messages, groups[index % 4]) for index in range(10)]

    def tell() -> None:
        for number in range(messages):
            for counter in counters:
                counter.tell(number)

    tellers = [threading.Thread(target=tell) for _ in range(threads)]
    for teller in tellers:
        teller.start()
    for teller in tellers:
        teller.join(PATIENCE)
    assert all(dispatcher.wait_for(counter.done, PATIENCE) for counter in counters)


def test_no_wake_up_is_lost_when_submits_race_with_parking(dispatcher: PooledDispatcher) -> None:
    race_submits_with_parking(dispatcher, 100_000)


def test_no_message_is_lost_or_handled_twice_from_many_threads(dispatcher: PooledDispatcher) -> None:
    tell_from_many_threads(dispatcher, threads=4, messages=3_000)


def test_no_wake_up_is_lost_without_the_lazy_waking(dispatcher: PooledDispatcher) -> None:
    dispatcher._pool._prompt = 4  # noqa: SLF001 - what an interpreter without the GIL would choose.

    race_submits_with_parking(dispatcher, 5_000)
    tell_from_many_threads(dispatcher, threads=4, messages=1_000)


def test_a_shutdown_amid_submits_ends_and_runs_nothing_twice() -> None:
    for _ in range(200):
        dispatcher = PooledDispatcher(4)
        counters = [Counter(dispatcher, 1_000_000, Group()) for _ in range(2)]

        def tell(counter: Counter) -> None:
            try:
                for number in range(500):
                    counter.tell(number)
            except DispatcherClosedError:
                pass

        tellers = [threading.Thread(target=tell, args=(counter,)) for counter in counters]
        for teller in tellers:
            teller.start()
        assert dispatcher.shutdown(timeout=PATIENCE)
        for teller in tellers:
            teller.join(PATIENCE)
        assert [counter.turns_at_once for counter in counters] == [0, 0]


def test_light_and_blocking_turns_mixed_all_come_to_their_end(dispatcher: PooledDispatcher) -> None:
    chance = random.Random(1)
    finished = threading.Semaphore(0)
    for _ in range(2_000):
        pause = chance.choice([0.0, 0.0, 0.0, 0.0, 0.003])
        dispatcher.submit(Caller(sleeper(pause, finished)))

    assert all(finished.acquire(timeout=PATIENCE) for _ in range(2_000))


def test_a_blocked_worker_delays_another_actor_by_milliseconds(dispatcher: PooledDispatcher) -> None:
    gate = threading.Event()
    dispatcher.submit(Caller(lambda: gate.wait(PATIENCE)))
    delays = []

    for _ in range(51):
        done = threading.Event()
        before = time.perf_counter()
        dispatcher.submit(Caller(done.set))
        assert done.wait(PATIENCE)
        delays.append(time.perf_counter() - before)
    gate.set()

    assert sorted(delays)[25] < 0.010


def test_blocking_turns_soon_have_all_workers(dispatcher: PooledDispatcher) -> None:
    finished = threading.Semaphore(0)
    before = time.perf_counter()

    for _ in range(80):
        dispatcher.submit(Caller(sleeper(0.05, finished)))
    assert all(finished.acquire(timeout=PATIENCE) for _ in range(80))

    # One after the other they would take 4 s, on eight workers 0.5 s.
    assert time.perf_counter() - before < 2.0


FORKS = """
import os, signal
from actors.dispatcher import Group
from actors.errors import ForkedDispatcherError
from actors.pooled_dispatcher import PooledDispatcher

class Busy:
    group = Group()
    def run_turn(self, limits): dispatcher.submit(self)

def fork_and_submit():
    child = os.fork()
    if child == 0:
        signal.alarm(20)
        try:
            dispatcher.submit(Busy())
        except ForkedDispatcherError:
            os._exit(0)
        os._exit(1)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])

dispatcher = PooledDispatcher(8)
dispatcher.submit(Busy())
print(*(fork_and_submit() for _ in range(50)), flush=True)
os._exit(0)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="The platform cannot fork.")
def test_a_fork_at_any_instant_leaves_no_lock_held_in_the_child(repository: Path) -> None:
    # In a process of its own, for coverage has a lock that a fork may leave held.
    ended = subprocess.run(
        [sys.executable, "-W", "ignore::DeprecationWarning", "-c", FORKS],
        env={"PYTHONPATH": str(repository), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        encoding="utf-8",
        check=False,
        timeout=PATIENCE,
    )

    assert (ended.stdout.split(), ended.stderr) == (["0"] * 50, "")


@pytest.mark.soak
def test_no_wake_up_is_lost_in_a_million_races(dispatcher: PooledDispatcher) -> None:
    race_submits_with_parking(dispatcher, 1_000_000)
    tell_from_many_threads(dispatcher, threads=8, messages=30_000)
