import asyncio
import os
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from actors.dispatcher import Dispatcher, Group, TurnLimits
from actors.errors import DispatcherOptionError, ForkedDispatcherError
from actors.pooled_dispatcher import PooledDispatcher
from tests.actors.stand_ins import Caller

PATIENCE = 10.0


@pytest.fixture
def dispatcher() -> Iterator[PooledDispatcher]:
    made = PooledDispatcher(4, name="test")
    yield made
    assert made.shutdown(timeout=PATIENCE)


def finish(dispatcher: Dispatcher) -> None:
    """Wait until a turn that is submitted now has been run."""
    done = threading.Event()
    dispatcher.submit(Caller(done.set))
    assert dispatcher.wait_for(done, PATIENCE)


def nothing() -> None:
    pass


def own_threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("test-")]


def test_no_thread_is_started_before_it_is_needed(dispatcher: PooledDispatcher) -> None:
    assert own_threads() == []
    assert dispatcher.statistics().workers == 0


def test_shutdown_leaves_no_thread(dispatcher: PooledDispatcher) -> None:
    finish(dispatcher)
    dispatcher.call_later(3600.0, nothing)
    assert len(own_threads()) == 3

    assert dispatcher.shutdown(timeout=PATIENCE)

    assert own_threads() == []


def test_there_are_never_more_workers_than_its_size(dispatcher: PooledDispatcher) -> None:
    gate = threading.Event()
    entered = threading.Semaphore(0)

    def block() -> None:
        entered.release()
        gate.wait(PATIENCE)

    for _ in range(12):
        dispatcher.submit(Caller(block))
    for _ in range(4):
        assert entered.acquire(timeout=PATIENCE)

    figures = dispatcher.statistics()
    gate.set()
    assert (figures.workers, figures.active_workers, figures.ready_actors) == (4, 4, 8)


def test_a_turn_that_blocks_holds_up_its_own_worker_only(dispatcher: PooledDispatcher) -> None:
    gate = threading.Event()
    dispatcher.submit(Caller(lambda: gate.wait(PATIENCE)))

    for _ in range(20):
        finish(dispatcher)

    assert not gate.is_set()
    gate.set()


@pytest.mark.parametrize("error", [ValueError, SystemExit, KeyboardInterrupt, GeneratorExit, MemoryError])
def test_a_turn_that_raises_is_logged_and_ends_no_worker(
    caplog: pytest.LogCaptureFixture, error: type[BaseException]
) -> None:
    def fail() -> None:
        raise error

    dispatcher = PooledDispatcher(1, name="test")
    dispatcher.submit(Caller(fail))
    finish(dispatcher)

    assert "raised, which is a defect of the actor" in caplog.text
    assert (dispatcher.statistics().workers, caplog.records[0].name) == (1, "actors")
    assert dispatcher.shutdown(timeout=PATIENCE)


def test_light_turns_run_on_a_single_worker(dispatcher: PooledDispatcher) -> None:
    threads: set[str] = set()
    done = threading.Event()
    left = [2000]

    def count_down() -> None:
        threads.add(threading.current_thread().name)
        left[0] -= 1
        if left[0]:
            dispatcher.submit(actor)
        else:
            done.set()

    actor = Caller(count_down)
    dispatcher.submit(actor)

    assert dispatcher.wait_for(done, PATIENCE)
    assert threads == {"test-worker-0"}


def test_workers_are_parked_when_nothing_is_ready(dispatcher: PooledDispatcher) -> None:
    finish(dispatcher)
    assert dispatcher.shutdown(timeout=PATIENCE)

    figures = dispatcher.statistics()

    assert (figures.active_workers, figures.turns, figures.longest_turn) == (0, 1, 0.0)


def test_statistics_tell_how_long_a_turn_has_taken(dispatcher: PooledDispatcher) -> None:
    gate, entered = threading.Event(), threading.Event()

    def block() -> None:
        entered.set()
        gate.wait(PATIENCE)

    dispatcher.submit(Caller(block))
    assert entered.wait(PATIENCE)

    assert dispatcher.statistics().longest_turn > 0.0
    gate.set()


def test_statistics_count_timers_and_coroutines(dispatcher: PooledDispatcher) -> None:
    dispatcher.call_later(3600.0, nothing)
    dispatcher.run_async(asyncio.sleep(3600.0), lambda result, error: None)

    before = dispatcher.statistics()
    dispatcher.shutdown(timeout=PATIENCE)
    after = dispatcher.statistics()

    assert (before.pending_timers >= 1, before.async_tasks) == (True, 1)
    assert (after.pending_timers, after.async_tasks) == (0, 0)


def test_shutdown_answers_false_while_a_turn_still_runs(dispatcher: PooledDispatcher) -> None:
    gate, entered = threading.Event(), threading.Event()

    def block() -> None:
        entered.set()
        gate.wait(PATIENCE)

    dispatcher.submit(Caller(block))
    assert entered.wait(PATIENCE)

    assert dispatcher.shutdown(timeout=0.01) is False
    gate.set()
    assert dispatcher.shutdown(timeout=PATIENCE) is True


def test_shutdown_runs_no_turn_that_was_only_queued() -> None:
    dispatcher = PooledDispatcher(1)
    turns: list[str] = []
    gate, entered = threading.Event(), threading.Event()

    def block() -> None:
        entered.set()
        gate.wait(PATIENCE)
        dispatcher.submit(Caller(lambda: turns.append("submitted late")))

    dispatcher.submit(Caller(block))
    dispatcher.submit(Caller(lambda: turns.append("queued")))
    assert entered.wait(PATIENCE)
    threading.Timer(0.01, gate.set).start()

    assert dispatcher.shutdown(timeout=PATIENCE)
    assert turns == []


def refuse_to_start(thread: threading.Thread) -> None:
    raise RuntimeError("can't start new thread")


def test_a_thread_that_cannot_be_started_is_told_to_the_caller(
    dispatcher: PooledDispatcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[Callable[[], object]] = [
        lambda: dispatcher.submit(Caller(nothing)),
        lambda: dispatcher.call_later(0.0, nothing),
        lambda: dispatcher.run_async(asyncio.sleep(0), lambda result, error: None),
    ]
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuse_to_start)
        for call in calls:
            with pytest.raises(RuntimeError, match="can't start new thread"):
                call()

    assert dispatcher.statistics() == PooledDispatcher(4).statistics()
    finish(dispatcher)


def test_a_pool_that_cannot_grow_goes_on_and_warns_once(
    dispatcher: PooledDispatcher, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    tries = threading.Semaphore(0)

    def refuse(thread: threading.Thread) -> None:
        tries.release()
        refuse_to_start(thread)

    gate = threading.Event()
    dispatcher.submit(Caller(lambda: gate.wait(PATIENCE)))
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuse)
        dispatcher.submit(Caller(nothing))
        assert all(tries.acquire(timeout=PATIENCE) for _ in range(3))
        gate.set()
        finish(dispatcher)

    assert caplog.text.count("'test' could not start another thread and goes on with 1.") == 1


def test_two_dispatchers_do_not_meet(dispatcher: PooledDispatcher) -> None:
    other = PooledDispatcher(1)
    finish(other)

    assert other.shutdown(timeout=PATIENCE)

    finish(dispatcher)


@pytest.mark.parametrize("size", [0, -3])
def test_a_size_without_workers_is_refused(size: int) -> None:
    with pytest.raises(DispatcherOptionError, match=r"The size of a dispatcher cannot be .*\. Give the most"):
        PooledDispatcher(size)


def test_a_turn_gets_the_limits_of_its_dispatcher() -> None:
    limits = TurnLimits(max_messages=3)
    seen: list[TurnLimits] = []
    done = threading.Event()

    class Recorder:
        group = Group()

        def run_turn(self, limits: TurnLimits) -> None:
            seen.append(limits)
            done.set()

    dispatcher = PooledDispatcher(1, limits=limits)
    dispatcher.submit(Recorder())

    assert dispatcher.wait_for(done, PATIENCE)
    assert dispatcher.shutdown(timeout=PATIENCE)
    assert seen == [limits]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="The platform cannot fork.")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_child_is_refused_and_the_parent_goes_on(dispatcher: PooledDispatcher) -> None:
    finish(dispatcher)
    calls: list[Callable[[], object]] = [
        lambda: dispatcher.submit(Caller(nothing)),
        lambda: dispatcher.call_later(0.0, nothing),
        lambda: dispatcher.wait_for(threading.Event(), 0.0),
        dispatcher.statistics,
        dispatcher.shutdown,
    ]
    reading, writing = os.pipe()

    child = os.fork()
    if child == 0:
        os.write(writing, bytes([count_refusals(calls)]))
        os._exit(0)
    os.close(writing)

    with os.fdopen(reading, "rb") as answers:
        assert answers.read() == bytes([len(calls)])
    os.waitpid(child, 0)
    finish(dispatcher)


def count_refusals(calls: list[Callable[[], object]]) -> int:
    refusals = 0
    for call in calls:
        try:
            call()
        except ForkedDispatcherError as error:
            refusals += "belongs to the parent of this process. Create a new one in the child." in str(error)
    return refusals


@pytest.mark.skipif(not hasattr(os, "fork"), reason="The platform cannot fork.")
def test_a_dispatcher_that_was_not_used_works_in_a_forked_child() -> None:
    dispatcher = PooledDispatcher(1)

    child = os.fork()
    if child == 0:
        done = threading.Event()
        dispatcher.submit(Caller(done.set))
        os._exit(0 if dispatcher.wait_for(done, PATIENCE) else 1)

    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_the_time_of_a_dispatcher_is_its_clock(dispatcher: PooledDispatcher) -> None:
    before = time.perf_counter()

    assert before <= dispatcher.clock.monotonic() <= time.perf_counter()
