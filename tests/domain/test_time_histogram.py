import pytest

from flowforge.time_histogram import MAX_RELATIVE_ERROR, TimeHistogram


def histogram(*times: float) -> TimeHistogram:
    found = TimeHistogram()
    for seconds in times:
        found.add(seconds)
    return found


def test_nothing_added_gives_zeros() -> None:
    empty = histogram()

    assert (empty.count, empty.total, empty.percentiles(0.0, 0.5, 1.0)) == (0, 0.0, (0.0, 0.0, 0.0))


def test_one_time_is_every_percentile() -> None:
    assert histogram(0.37).percentiles(0.0, 0.5, 1.0) == (0.37, 0.37, 0.37)


def test_percentiles_never_leave_what_was_added() -> None:
    lowest, highest = histogram(0.37, 0.371).percentiles(0.0, 1.0)

    assert 0.37 <= lowest <= highest <= 0.371


@pytest.mark.parametrize("extreme", [0.0, 1e-12, 1e-9, 1e6, 1e12])
def test_times_out_of_range_are_counted_too(extreme: float) -> None:
    found = histogram(1.0, 1.0, extreme)

    assert found.count == 3
    assert found.percentiles(0.6)[0] == pytest.approx(1.0, rel=MAX_RELATIVE_ERROR)


def test_a_copy_stays_as_it_was() -> None:
    found = histogram(1.0)
    copied = found.copy()

    found.add(9.0)

    assert (copied.count, copied.total, copied.longest) == (1, 1.0, 1.0)
