import threading
from collections.abc import Iterator

import pytest

from actors.clock import SystemClock
from actors.errors import DispatcherClosedError
from actors.testing.manual_clock import ManualClock
from actors.timers import COMPACTION_MINIMUM, TimerHeap, TimerThread


@pytest.fixture
def thread() -> Iterator[TimerThread]:
    timers = TimerThread(SystemClock(), "test", lambda: None)
    yield timers
    timers.stop()
    assert timers.join(lambda: 5.0)


def nothing() -> None:
    pass


def closed() -> DispatcherClosedError:
    return DispatcherClosedError("test")


def due_names(heap: TimerHeap, now: float) -> list[float]:
    dues = []
    while timer := heap.pop_due(now):
        dues.append(timer.due)
    return dues


def test_timers_come_out_by_due_time() -> None:
    heap = TimerHeap()
    for due in (3.0, 1.0, 2.0, 9.0):
        heap.add(due, nothing)

    assert due_names(heap, 5.0) == [1.0, 2.0, 3.0]
    assert heap.next_due() == 9.0


def test_timers_of_one_instant_come_out_in_the_order_added() -> None:
    heap = TimerHeap()
    timers = [heap.add(1.0, nothing) for _ in range(5)]

    assert [heap.pop_due(1.0) for _ in timers] == timers


def test_a_callback_is_taken_at_most_once() -> None:
    heap = TimerHeap()
    heap.add(1.0, nothing)
    timer = heap.pop_due(1.0)

    assert timer is not None
    assert (heap.take(timer), heap.take(timer)) == (nothing, None)
    assert timer.cancel() is False


def test_cancelling_twice_succeeds_once() -> None:
    timer = TimerHeap().add(1.0, nothing)

    assert [timer.cancel(), timer.cancel()] == [True, False]
    assert not timer.is_pending


def test_a_popped_timer_can_still_be_cancelled() -> None:
    heap = TimerHeap()
    heap.add(1.0, nothing)
    timer = heap.pop_due(1.0)

    assert timer is not None
    assert timer.cancel() is True
    assert heap.take(timer) is None


def test_a_cancelled_timer_does_not_come_out() -> None:
    heap = TimerHeap()
    heap.add(1.0, nothing).cancel()
    heap.add(2.0, nothing)

    assert (len(heap), heap.next_due()) == (1, 2.0)
    assert due_names(heap, 5.0) == [2.0]


def test_entries_are_dropped_when_half_of_the_heap_is_cancelled() -> None:
    heap = TimerHeap()
    timers = [heap.add(float(due), nothing) for due in range(1000)]

    for timer in timers[:-1]:
        timer.cancel()

    assert len(heap) == 1
    assert len(heap._entries) <= COMPACTION_MINIMUM * 2  # noqa: SLF001


def test_a_hundred_thousand_timers_need_one_thread(thread: TimerThread) -> None:
    before = threading.active_count()

    timers = [thread.call_later(3600.0 + number % 977, nothing) for number in range(100_000)]

    assert threading.active_count() == before + 1
    assert (len(thread.heap), all(timer.cancel() for timer in timers)) == (100_000, True)


def test_the_thread_calls_at_the_due_time_and_in_order(thread: TimerThread) -> None:
    calls: list[str] = []
    done = threading.Event()
    thread.call_later(0.03, done.set)
    thread.call_later(0.02, lambda: calls.append("later"))
    thread.call_later(0.0, lambda: calls.append("sooner"))

    assert done.wait(5.0)
    assert calls == ["sooner", "later"]


def test_an_earlier_timer_wakes_the_sleeping_thread(thread: TimerThread) -> None:
    thread.call_later(3600.0, nothing)
    done = threading.Event()

    thread.call_later(0.0, done.set)

    assert done.wait(5.0)


def test_what_a_callback_raises_is_logged_and_ends_nothing(
    thread: TimerThread, caplog: pytest.LogCaptureFixture
) -> None:
    def leave() -> None:
        raise SystemExit(3)

    done = threading.Event()
    thread.call_later(0.0, leave)
    thread.call_later(0.001, done.set)

    assert done.wait(5.0)
    assert "raised" in caplog.text


def test_setting_the_clock_of_the_machine_moves_no_timer() -> None:
    class SetBack(ManualClock):
        def now(self) -> float:
            return super().now() - 1e6

    thread = TimerThread(SetBack(), "test", lambda: None)
    done = threading.Event()
    thread.call_later(0.0, done.set)

    assert done.wait(5.0)
    thread.stop()
    assert thread.join(lambda: 5.0)


def test_a_refusing_thread_takes_no_timer_and_forgets_the_others(thread: TimerThread) -> None:
    timer = thread.call_later(3600.0, nothing)

    thread.refuse(closed)

    assert timer.cancel() is False
    with pytest.raises(DispatcherClosedError, match="'test' has been shut down and takes no more work"):
        thread.call_later(1.0, nothing)


def test_a_stopped_thread_that_never_started_has_ended() -> None:
    timers = TimerThread(SystemClock(), "test", lambda: None)

    timers.stop()
    timers.call_later(0.0, nothing)

    assert timers.join(lambda: 0.0)
