import math

from hypothesis import given
from hypothesis import strategies as st

from flowforge.time_histogram import MAX_RELATIVE_ERROR, TimeHistogram

# A float's own rounding, on top of the promised error.
SLACK = 1e-9


@given(st.lists(st.floats(1e-9, 1e6), min_size=1, max_size=200), st.floats(0, 1))
def test_a_percentile_is_within_the_promised_error(times: list[float], share: float) -> None:
    histogram = TimeHistogram()
    for seconds in times:
        histogram.add(seconds)

    [found] = histogram.percentiles(share)

    exact = sorted(times)[max(0, math.ceil(share * len(times)) - 1)]
    assert abs(found - exact) <= exact * (MAX_RELATIVE_ERROR + SLACK)


@given(st.lists(st.floats(0, 1e9), max_size=50))
def test_count_sum_and_extremes_are_exact(times: list[float]) -> None:
    histogram = TimeHistogram()
    for seconds in times:
        histogram.add(seconds)

    assert (histogram.count, histogram.total) == (len(times), sum(times))
    assert histogram.longest == max(times, default=0.0)
    assert histogram.shortest == min(times, default=math.inf)


@given(st.lists(st.floats(0, 1e9)), st.lists(st.floats(0, 1), min_size=1))
def test_percentiles_rise_with_their_shares(times: list[float], shares: list[float]) -> None:
    histogram = TimeHistogram()
    for seconds in times:
        histogram.add(seconds)

    found = histogram.percentiles(*sorted(shares))

    assert list(found) == sorted(found)
