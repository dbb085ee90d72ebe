"""A clock whose time moves only when it is told to."""

from actors.errors import ClockError

__all__ = ["ManualClock"]


class ManualClock:
    """Both times of a `Clock`, moved by hand; the monotonic one starts at 0."""

    __slots__ = ("_elapsed", "_start")

    def __init__(self, start: float = 1_700_000_000.0) -> None:
        self._start = start
        self._elapsed = 0.0

    def now(self) -> float:
        """Seconds since the epoch: `start`, and what it was advanced by."""
        return self._start + self._elapsed

    def monotonic(self) -> float:
        """Seconds that it was advanced by."""
        return self._elapsed

    def advance(self, seconds: float) -> None:
        """Let `seconds` pass; raises ClockError if they are negative."""
        if not seconds >= 0:
            raise ClockError(seconds)
        self._elapsed += seconds

    def advance_to(self, instant: float) -> None:
        """Let the monotonic time reach `instant` exactly; one that has passed changes nothing."""
        self._elapsed = max(self._elapsed, instant)
