import pytest

from actors.pool_gauge import LIGHT_TURNS, PoolGauge

BUSY, IDLE = 1.0, 0.0


def gauge_of(*, size: int = 32, share: float = BUSY) -> PoolGauge:
    """A gauge that has had its first look, in a process that uses `share` of one processor."""
    ticks = iter(range(1000))
    now = 0.0

    def elapsed() -> float:
        nonlocal now
        now = float(next(ticks))
        return now

    gauge = PoolGauge(size, elapsed, lambda: now * share)
    gauge.look(0, 1, 0, is_waiting=True)
    return gauge


def test_the_first_look_only_takes_the_figures() -> None:
    assert PoolGauge(4).look(100, 1, 1, is_waiting=True) == 0


def test_each_look_at_a_queue_that_stands_still_doubles_the_workers_woken() -> None:
    gauge = gauge_of(size=8)

    advice = [gauge.look(0, 1, 1, is_waiting=True) for _ in range(5)]

    assert advice == [1, 2, 4, 8, 8]


def test_nobody_is_woken_when_nobody_waits() -> None:
    assert gauge_of(share=IDLE).look(0, 1, 1, is_waiting=False) == 0


def test_doubling_starts_again_after_the_queue_has_moved() -> None:
    gauge = gauge_of()
    gauge.look(0, 1, 1, is_waiting=True)
    gauge.look(LIGHT_TURNS, 1, 0, is_waiting=True)

    assert gauge.look(LIGHT_TURNS, 1, 1, is_waiting=True) == 1


def test_light_turns_wake_nobody() -> None:
    assert gauge_of(share=IDLE).look(LIGHT_TURNS, 1, 0, is_waiting=True) == 0


def test_light_turns_let_all_rest_but_one_and_the_stuck() -> None:
    assert gauge_of().look(1000, 6, 2, is_waiting=True) == -3


@pytest.mark.parametrize(("share", "advice"), [(IDLE, 1), (BUSY, 0)])
def test_middling_turns_wake_another_only_if_the_processor_idles(share: float, advice: int) -> None:
    assert gauge_of(share=share).look(3, 2, 0, is_waiting=True) == advice


def test_a_restarted_gauge_does_not_count_the_pause() -> None:
    gauge = gauge_of()

    gauge.restart()

    assert gauge.look(0, 1, 1, is_waiting=True) == 0
