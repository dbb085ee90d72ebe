import functools
import threading
from collections.abc import Callable

import pytest

from actors.testing.stepped_threads import SteppedThreads
from actors.testing.thread_schedule import EndlessRunError, StandstillError, SwapError
from actors.threads import SYSTEM_THREADS, Threads

Body = Callable[[SteppedThreads], object]


def nothing() -> None:
    pass


def letters_of(threads: SteppedThreads, *, pauses: int = 1) -> str:
    """What three threads write that pause after each letter, the order in which they come."""
    written: list[str] = []

    def write(letter: str) -> None:
        for _ in range(pauses + 1):
            written.append(letter)
            threads.pause()

    def main() -> None:
        made = [threads.thread(functools.partial(write, letter), letter) for letter in "abc"]
        for thread in made:
            thread.start()

    threads.run(main)
    return "".join(written)


def failing_run(threads: SteppedThreads, body: Body) -> None:
    threads.run(lambda: body(threads))


def test_a_thread_runs_until_it_has_to_wait() -> None:
    assert letters_of(SteppedThreads(), pauses=2) == "aaabbbccc"


def test_a_swap_lets_another_thread_go_on() -> None:
    # The first three choices are made when main has started a thread; the fourth when it waits for the end of all.
    assert letters_of(SteppedThreads([(3, 1)])) == "bbaacc"
    assert letters_of(SteppedThreads([(0, 1)])) == "aabbcc"


def test_picks_count_round_and_round() -> None:
    assert letters_of(SteppedThreads([(3, 1)])) == letters_of(SteppedThreads([(3, 4)]))


def test_the_same_swaps_lead_to_the_same_run() -> None:
    swap = [(2, 1), (1, 2), (0, 1), (3, 3)]

    first, second = SteppedThreads(swap), SteppedThreads(swap)

    assert letters_of(first, pauses=5) == letters_of(second, pauses=5)
    assert first.steps == second.steps


def test_run_hands_on_what_main_returned() -> None:
    assert SteppedThreads().run(lambda: 3) == 3


@pytest.mark.parametrize("swap", [(-1, 1), (1, -1)])
def test_a_swap_that_cannot_be_made_is_refused(swap: tuple[int, int]) -> None:
    with pytest.raises(
        SwapError, match=r"A swap cannot be \(-?1, -?1\). Give two whole numbers, each 0 or more"
    ) as info:
        SteppedThreads([swap])

    assert (info.value.gap, info.value.pick) == swap


@pytest.mark.parametrize("gap", range(12))
def test_a_lock_is_held_by_one_thread_at_a_time(gap: int) -> None:
    threads = SteppedThreads([(gap, 1), (0, 1)])
    lock, inside, most = threads.lock(), [0], [0]

    def enter() -> None:
        with lock:
            inside[0] += 1
            most[0] = max(most[0], inside[0])
            threads.pause()
            inside[0] -= 1

    def main() -> None:
        for name in "ab":
            threads.thread(enter, name).start()

    threads.run(main)
    assert (most, lock.locked()) == ([1], False)


def test_an_unguarded_count_is_lost_under_some_swap() -> None:
    def lost(swap: tuple[int, int]) -> bool:
        threads, count = SteppedThreads([swap]), [0]

        def add() -> None:
            seen = count[0]
            threads.pause()
            count[0] = seen + 1

        def main() -> None:
            for name in "ab":
                threads.thread(add, name).start()

        threads.run(main)
        return count == [1]

    assert not lost((0, 0))
    assert any(lost((gap, 1)) for gap in range(5))


def test_any_thread_may_release_a_plain_lock() -> None:
    def main(threads: SteppedThreads) -> bool:
        baton = threads.lock()
        baton.acquire()
        threads.thread(baton.release, "other").start()
        return baton.acquire()

    threads = SteppedThreads()
    assert threads.run(lambda: main(threads))


def test_a_lock_can_be_taken_again_by_its_holder_only() -> None:
    def main(threads: SteppedThreads) -> list[bool]:
        lock, got = threads.rlock(), []
        other = threads.thread(lambda: got.append(lock.acquire(blocking=False)), "other")
        with lock, lock:
            other.start()
            other.join()
        return got

    threads = SteppedThreads()
    assert threads.run(lambda: main(threads)) == [False]


def test_releasing_what_is_not_held_raises() -> None:
    threads = SteppedThreads()

    with pytest.raises(RuntimeError, match="A lock that is not held cannot be released"):
        threads.run(threads.lock().release)
    threads = SteppedThreads()
    with pytest.raises(RuntimeError, match="A lock that another thread may hold cannot be released"):
        threads.run(threads.rlock().release)


def test_a_condition_asks_for_its_lock() -> None:
    for use in ("wait", "notify"):
        threads = SteppedThreads()
        condition = threads.condition(threads.rlock())

        with pytest.raises(RuntimeError, match="A condition can be used only while its lock is held"):
            threads.run(getattr(condition, use))


def test_a_notified_thread_goes_on_with_the_lock_as_it_was() -> None:
    threads = SteppedThreads()
    lock = threads.rlock()
    condition = threads.condition(lock)
    woken: list[bool] = []

    def sleep() -> None:
        with lock, condition:
            woken.append(condition.wait())

    def main() -> None:
        threads.thread(sleep, "sleeper").start()
        threads.sleep(1.0)
        with condition:
            condition.notify(2)

    threads.run(main)
    assert woken == [True]


def test_a_timed_wait_lets_the_clock_jump() -> None:
    threads = SteppedThreads()

    def main() -> list[object]:
        lock = threads.rlock()
        condition = threads.condition(lock)
        baton = threads.lock()
        baton.acquire()
        with condition:
            waited = condition.wait(2.5)
        return [waited, baton.acquire(timeout=1.5), baton.acquire(blocking=False), threads.perf_counter()]

    assert threads.run(main) == [False, False, False, 4.0]


def test_a_swap_lets_a_timed_wait_run_out_early() -> None:
    def winner(threads: SteppedThreads) -> bool:
        baton = threads.lock()
        baton.acquire()
        threads.thread(baton.release, "other").start()
        return baton.acquire(timeout=1.0)

    ordinary, swapped = SteppedThreads(), SteppedThreads([(1, 1)])
    assert ordinary.run(lambda: winner(ordinary)) is True
    assert swapped.run(lambda: winner(swapped)) is False


def test_a_join_waits_for_the_end_or_for_a_time() -> None:
    threads = SteppedThreads()

    def main() -> list[object]:
        thread = threads.thread(lambda: threads.sleep(2.0), "sleeper")
        before = thread.is_alive()
        thread.start()
        thread.join(1.0)
        during = thread.is_alive()
        thread.join()
        return [before, during, thread.is_alive(), threads.perf_counter(), threads.process_time()]

    assert threads.run(main) == [False, True, False, 2.0, 0.0]


def test_a_thread_that_was_not_started_cannot_be_joined() -> None:
    threads = SteppedThreads()

    with pytest.raises(RuntimeError, match="The thread 'late' cannot be joined before it is started"):
        threads.run(threads.thread(nothing, "late").join)


def test_a_standstill_names_who_waits_for_what() -> None:
    def main(threads: SteppedThreads) -> None:
        first, second = threads.lock(), threads.lock()

        def cross() -> None:
            with second:
                threads.sleep(1.0)
                first.acquire()

        first.acquire()
        threads.thread(cross, "other").start()
        threads.sleep(2.0)
        second.acquire()

    with pytest.raises(StandstillError, match="No thread can go on: 'main' waits for lock 2, which 'other'") as info:
        failing_run(SteppedThreads(), main)

    assert info.value.waits == (
        ("main", "lock 2, which 'other' took"),
        ("other", "lock 1, which 'main' took"),
    )


def test_main_waits_for_the_end_of_all_others() -> None:
    def main(threads: SteppedThreads) -> None:
        lock = threads.lock()
        lock.acquire()
        threads.thread(lock.acquire, "left over").start()

    with pytest.raises(StandstillError, match="'main' waits for the end of all others"):
        failing_run(SteppedThreads(), main)


def test_a_run_without_end_is_given_up() -> None:
    def main(threads: SteppedThreads) -> None:
        while True:
            threads.pause()

    with pytest.raises(EndlessRunError, match="had not ended after 50 steps: 'main' waits for its turn") as info:
        failing_run(SteppedThreads(max_steps=50), main)

    assert (info.value.max_steps, info.value.waits) == (50, (("main", "its turn"),))


@pytest.mark.parametrize("error", [ValueError("wrong"), SystemExit(3), KeyboardInterrupt()])
def test_what_a_thread_raises_ends_the_run(error: BaseException) -> None:
    def fail() -> None:
        raise error

    def main(threads: SteppedThreads) -> None:
        threads.thread(threads.lock().acquire, "fine").start()
        threads.thread(fail, "failing").start()
        threads.sleep(1.0)
        pytest.fail("Main went on.")

    with pytest.raises(type(error)) as info:
        failing_run(SteppedThreads(), main)

    assert info.value is error


def test_what_is_found_after_a_step_ends_the_run() -> None:
    seen: list[int] = []

    def look() -> None:
        seen.append(threads.steps)
        assert threads.steps < 3, "three"

    threads = SteppedThreads(after_step=look)

    with pytest.raises(AssertionError, match="three"):
        letters_of(threads)
    assert seen == [1, 2, 3]


def test_no_thread_is_left_by_a_run_that_failed() -> None:
    before = threading.active_count()
    cleaned: list[str] = []

    def main(threads: SteppedThreads) -> None:
        lock = threads.rlock()
        condition = threads.condition(lock)

        def wait(name: str) -> None:
            try:
                with condition:
                    condition.wait()
            finally:
                cleaned.append(name)

        for name in "ab":
            threads.thread(functools.partial(wait, name), name).start()
        threads.sleep(1.0)
        raise ValueError("enough")

    with pytest.raises(ValueError, match="enough"):
        failing_run(SteppedThreads(), main)

    assert (sorted(cleaned), threading.active_count()) == (["a", "b"], before)


def test_a_failed_run_starts_no_thread_and_takes_no_lock() -> None:
    tried: list[str] = []

    def main(threads: SteppedThreads) -> None:
        lock = threads.lock()

        def try_on() -> None:
            try:
                threads.sleep(9.0)
            finally:
                tried.append("once more")
                lock.release()
                threads.thread(nothing, "too late").start()

        threads.thread(try_on, "stubborn").start()
        threads.thread(nothing, "fine").start()
        threads.sleep(1.0)
        raise ValueError("enough")

    with pytest.raises(ValueError, match="enough"):
        failing_run(SteppedThreads(), main)

    assert tried == ["once more"]


@pytest.mark.parametrize("threads", [SYSTEM_THREADS, SteppedThreads()], ids=["system", "stepped"])
def test_stepped_threads_do_what_real_ones_do(threads: Threads) -> None:
    lock, baton = threads.rlock(), threads.lock()
    condition = threads.condition(lock)
    seen: list[object] = []

    def answer() -> None:
        baton.acquire()
        with condition, lock:
            seen.append("told")
            condition.notify()

    def main() -> None:
        thread = threads.thread(answer, "answering")
        with condition:
            seen.append(baton.acquire(blocking=False))
            thread.start()
            seen.append(baton.locked())
            baton.release()
            seen.append(condition.wait(60.0))
        thread.join(60.0)
        seen.extend([thread.is_alive(), lock.acquire(timeout=0.0), baton.acquire(timeout=0.0)])
        lock.release()

    if isinstance(threads, SteppedThreads):
        threads.run(main)
    else:
        main()
    assert seen == [True, True, "told", True, False, True, False]
