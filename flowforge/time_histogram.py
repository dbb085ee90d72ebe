"""How long things took, in bounded memory: exact sum, smallest and largest, percentiles within 5 %.

Times fall into buckets whose bounds grow by a constant factor, so the error is relative and the same at any
scale: the idea of Gil Tene's HdrHistogram, in the logarithmic form of DDSketch (C. Masson, J. E. Rim and
H. K. Lee, VLDB 2019). Only buckets that were hit take memory, and there are at most 347 of them.
"""

import math
from collections import Counter
from collections.abc import Sequence
from typing import Any, Self

__all__ = ["MAX_RELATIVE_ERROR", "TimeHistogram"]

MAX_RELATIVE_ERROR = 0.05
"""By how much, at most, a percentile is off, for times from a nanosecond to eleven days."""

_SHORTEST, _LONGEST = 1e-9, 1e6
_GROWTH = (1 + MAX_RELATIVE_ERROR) / (1 - MAX_RELATIVE_ERROR)
_PER_E = 1 / math.log(_GROWTH)
# Bucket 0 is for what is too short. Numbers stay positive because int() rounds towards zero.
_OFFSET = 1 - math.log(_SHORTEST) * _PER_E
_LAST = int(math.log(_LONGEST) * _PER_E + _OFFSET)


class TimeHistogram:
    """Seconds, counted in buckets; the caller keeps threads apart."""

    __slots__ = ("_buckets", "longest", "shortest", "total")

    def __init__(self) -> None:
        # A plain dict of numbers, unlike a Counter, is nothing that the garbage collector has to look at.
        self._buckets: dict[int, int] = {}
        self.total = 0.0
        self.shortest = math.inf
        self.longest = 0.0

    def add(self, seconds: float) -> None:
        """Count one time."""
        self.add_all((seconds,))

    def add_all(self, times: Sequence[float]) -> None:
        """Count several times, at least one; what each costs is less than by itself."""
        shortest, longest = min(times), max(times)
        self.total = sum(times, self.total)
        self.shortest = min(self.shortest, shortest)
        self.longest = max(self.longest, longest)
        if shortest >= _SHORTEST and longest <= _LONGEST:
            numbers = [int(_log(seconds) * _PER_E + _OFFSET) for seconds in times]
        else:
            numbers = list(map(_bucket_of, times))
        buckets = self._buckets
        # To make a Counter takes longer than to count one without.
        for number, count in Counter(numbers).items() if len(numbers) > 1 else ((numbers[0], 1),):
            buckets[number] = buckets.get(number, 0) + count

    def to_list(self) -> list[Any]:
        """Sum, smallest, largest and buckets, as plain data; `from_list` is the way back."""
        shortest = None if self.shortest == math.inf else self.shortest
        return [self.total, shortest, self.longest, [list(pair) for pair in sorted(self._buckets.items())]]

    @classmethod
    def from_list(cls, total: float, shortest: float | None, longest: float, buckets: list[tuple[int, int]]) -> Self:
        """The histogram that `to_list` described."""
        found = cls()
        found.total, found.longest = total, longest
        found.shortest = math.inf if shortest is None else shortest
        found._buckets.update(dict(buckets))
        return found

    def copy(self) -> Self:
        """One that later times do not change."""
        twin = type(self)()
        twin._buckets.update(self._buckets)  # noqa: SLF001 - the same class
        twin.total, twin.shortest, twin.longest = self.total, self.shortest, self.longest
        return twin

    @property
    def count(self) -> int:
        """How many times were added."""
        return sum(self._buckets.values())

    def percentiles(self, *shares: float) -> tuple[float, ...]:
        """For each of the rising `shares` (0 to 1), a time that this share does not exceed; 0 if empty."""
        if not self._buckets:
            return (0.0,) * len(shares)
        buckets, count = sorted(self._buckets.items()), self.count
        found: list[float] = []
        index, seen = 0, buckets[0][1]
        for share in shares:
            while seen < math.ceil(share * count):
                index += 1
                seen += buckets[index][1]
            found.append(self._value(buckets[index][0]))
        return tuple(found)

    def _value(self, bucket: int) -> float:
        # The point of a bucket from which both its ends are equally far, relative to themselves.
        middle = math.exp((bucket - _OFFSET) / _PER_E) * (1 + MAX_RELATIVE_ERROR) if bucket else 0.0
        return min(max(middle, self.shortest), self.longest)


def _bucket_of(seconds: float) -> int:
    if seconds < _SHORTEST:
        return 0
    return int(_log(seconds) * _PER_E + _OFFSET) if seconds <= _LONGEST else _LAST


_log = math.log
