import asyncio
import threading
from collections.abc import Callable, Iterator

import pytest

from actors.async_loop import BLOCKED_SECONDS, AsyncLoop
from actors.errors import DispatcherClosedError
from actors.testing.manual_clock import ManualClock

PATIENCE = 10.0


class Bench:
    """A loop whose timers are called by hand."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.timers: list[Callable[[], None]] = []
        self.loop = AsyncLoop("test", self.clock, self.call_later, lambda: None)

    def call_later(self, delay: float, callback: Callable[[], None]) -> None:
        self.timers.append(callback)

    def fire(self) -> None:
        self.timers.pop()()

    def flush(self) -> None:
        """Wait until the loop has taken all orders given so far."""
        done = threading.Event()
        self.loop.run(asyncio.sleep(0), lambda result, error: done.set())
        assert done.wait(PATIENCE)


@pytest.fixture
def bench() -> Iterator[Bench]:
    made = Bench()
    yield made
    made.loop.stop()
    assert made.loop.join(lambda: PATIENCE)


def ignore(result: object, error: BaseException | None) -> None:
    pass


def test_no_thread_is_started_before_the_first_coroutine(bench: Bench) -> None:
    assert bench.loop.thread is None


def test_every_report_comes_on_the_thread_of_the_loop(bench: Bench) -> None:
    threads: list[threading.Thread] = []
    done = threading.Event()

    def report(result: object, error: BaseException | None) -> None:
        threads.append(threading.current_thread())
        done.set()

    bench.loop.run(asyncio.sleep(0), report)

    assert done.wait(PATIENCE)
    assert threads == [bench.loop.thread]


def test_coroutines_given_while_the_loop_is_busy_start_in_one_batch(bench: Bench) -> None:
    log: list[str] = []
    gate, entered, done = threading.Event(), threading.Event(), threading.Event()

    async def block() -> None:
        entered.set()
        gate.wait(PATIENCE)

    async def note() -> None:
        log.append("start")
        await asyncio.sleep(0)
        log.append("end")

    bench.loop.run(block(), ignore)
    assert entered.wait(PATIENCE)
    for _ in range(100):
        bench.loop.run(note(), lambda result, error: done.set() if log.count("end") == 100 else None)
    gate.set()

    assert done.wait(PATIENCE)
    assert log == ["start"] * 100 + ["end"] * 100


def test_a_coroutine_cancelled_before_its_start_never_runs(bench: Bench) -> None:
    log: list[str] = []
    errors: list[BaseException | None] = []
    gate, entered, done = threading.Event(), threading.Event(), threading.Event()

    async def block() -> None:
        entered.set()
        gate.wait(PATIENCE)

    async def note() -> None:
        log.append("ran")

    def report(result: object, error: BaseException | None) -> None:
        errors.append(error)
        done.set()

    bench.loop.run(block(), ignore)
    assert entered.wait(PATIENCE)
    bench.loop.run(note(), report).cancel()
    gate.set()

    assert done.wait(PATIENCE)
    assert (log, [type(error) for error in errors]) == ([], [asyncio.CancelledError])


def test_cancelling_what_has_ended_changes_nothing(bench: Bench) -> None:
    reports: list[object] = []
    task = bench.loop.run(asyncio.sleep(0, "result"), lambda result, error: reports.append(result))
    bench.flush()

    task.cancel()
    bench.flush()

    assert reports == ["result"]


def test_a_report_that_raises_is_logged_and_ends_nothing(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    def fail(result: object, error: BaseException | None) -> None:
        raise SystemExit

    bench.loop.run(asyncio.sleep(0), fail)
    bench.flush()

    assert "The end of coroutine 'sleep' could not be reported." in caplog.text


def test_a_callback_that_exits_does_not_end_the_loop(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    def leave() -> None:
        raise SystemExit

    async def plant() -> None:
        asyncio.get_running_loop().call_soon(leave)

    bench.loop.run(plant(), ignore)
    bench.flush()
    bench.flush()

    assert "A callback on the event loop of dispatcher 'test' raised." in caplog.text


def test_a_coroutine_that_blocks_the_loop_is_named_once(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    gate, entered = threading.Event(), threading.Event()

    async def hog() -> None:
        entered.set()
        gate.wait(PATIENCE)

    bench.loop.run(hog(), ignore)
    assert entered.wait(PATIENCE)
    assert len(bench.timers) == 1
    for _ in range(3):
        bench.fire()
        bench.clock.advance(BLOCKED_SECONDS)
    gate.set()

    assert caplog.text.count("hog' has blocked the event loop of dispatcher 'test' for 1.0 s.") == 1
    assert "Use await, or asyncio.to_thread for calls that block." in caplog.text


def test_a_loop_that_gives_signs_of_life_is_not_warned_of(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    bench.loop.run(asyncio.sleep(3600.0), ignore)
    bench.flush()

    for _ in range(3):
        bench.fire()
        bench.flush()
        bench.clock.advance(BLOCKED_SECONDS)

    assert caplog.text == ""


def test_a_loop_without_coroutines_is_not_watched(bench: Bench) -> None:
    bench.loop.run(asyncio.sleep(0), ignore)
    bench.loop.stop()
    assert bench.loop.join(lambda: PATIENCE)

    for timer in bench.timers.copy():
        bench.timers.remove(timer)
        timer()

    assert bench.timers == []


def test_stop_cancels_what_is_left_and_what_comes(bench: Bench) -> None:
    errors: list[BaseException | None] = []

    def restart(result: object, error: BaseException | None) -> None:
        errors.append(error)
        bench.loop.run(asyncio.sleep(3600.0), lambda result, error: errors.append(error))

    bench.loop.run(asyncio.sleep(3600.0), restart)
    bench.flush()
    bench.loop.stop()

    assert bench.loop.join(lambda: PATIENCE)
    assert [type(error) for error in errors] == [asyncio.CancelledError] * 2


def test_a_refusing_loop_closes_the_coroutine_it_is_given(bench: Bench) -> None:
    coroutine = asyncio.sleep(1.0)
    bench.loop.refuse(lambda: DispatcherClosedError("test"))

    with pytest.raises(DispatcherClosedError, match="'test' has been shut down"):
        bench.loop.run(coroutine, ignore)

    with pytest.raises(RuntimeError, match="cannot reuse already awaited coroutine"):
        coroutine.send(None)
