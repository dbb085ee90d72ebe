import time

import pytest

from actors.clock import SystemClock
from actors.errors import ClockError
from actors.testing.manual_clock import ManualClock


def test_system_clock_tells_the_time_of_day() -> None:
    before = time.time()

    now = SystemClock().now()

    assert before <= now <= time.time()


def test_system_clock_never_goes_back() -> None:
    clock = SystemClock()

    readings = [clock.monotonic() for _ in range(1000)]

    assert readings == sorted(readings)


def test_manual_clock_stands_still_until_told() -> None:
    clock = ManualClock(start=50.0)

    assert [clock.now(), clock.now()] == [50.0, 50.0]
    assert clock.monotonic() == 0.0


def test_manual_clock_moves_both_times_together() -> None:
    clock = ManualClock(start=50.0)

    clock.advance(2.5)

    assert (clock.now(), clock.monotonic()) == (52.5, 2.5)


@pytest.mark.parametrize("seconds", [-1.0, float("nan")])
def test_manual_clock_refuses_to_go_back(seconds: float) -> None:
    with pytest.raises(ClockError, match=r"cannot be advanced by .* seconds\. Give a number that is 0 or more\."):
        ManualClock().advance(seconds)


def test_manual_clock_reaches_an_instant_exactly_and_once() -> None:
    clock = ManualClock()

    clock.advance_to(0.1 + 0.2)
    clock.advance_to(0.1)

    assert clock.monotonic() == 0.1 + 0.2
