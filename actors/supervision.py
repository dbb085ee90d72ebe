"""Supervision as pure values: what to do with a failed actor, and how often it may be restarted."""

from collections import deque
from dataclasses import dataclass
from enum import Enum

from actors.errors import SupervisionOptionError

__all__ = ["RESTART", "RESUME", "SKIP", "STOP", "Action", "Directive", "RestartBudget", "retry"]


class Action(Enum):
    """What an actor that failed is told to do with itself and the message it failed on."""

    STOP = "stop"
    """Stop; the message goes to `on_undelivered` with all that is queued."""
    RESUME = "resume"
    """Go on; the message counts as handled."""
    SKIP = "skip"
    """Go on; the message goes to `on_undelivered`."""
    RETRY = "retry"
    """Take the message again, with everything behind it waiting."""
    RESTART = "restart"
    """Be replaced by a fresh instance, which takes the message again and keeps all that is queued."""


@dataclass(frozen=True, slots=True)
class Directive:
    """A supervisor's answer to a failure, to take effect after `delay` seconds."""

    action: Action
    delay: float = 0.0

    def __post_init__(self) -> None:
        if not self.delay >= 0:
            raise SupervisionOptionError("delay", self.delay, "Give seconds, 0 or more.")


STOP = Directive(Action.STOP)
RESUME = Directive(Action.RESUME)
SKIP = Directive(Action.SKIP)
RESTART = Directive(Action.RESTART)


def retry(delay: float = 0.0) -> Directive:
    """Take the message again after `delay` seconds."""
    return Directive(Action.RETRY, delay)


class RestartBudget:
    """How many restarts are allowed in how many seconds, each later than the one before.

    The k-th restart of a window waits `first_delay * backoff ** k` seconds, at most `max_delay`. It reads no
    clock and holds no lock: the caller gives the time and takes turns.
    """

    __slots__ = ("_times", "backoff", "first_delay", "max_delay", "max_restarts", "within_seconds")

    def __init__(
        self,
        max_restarts: int = 3,
        within_seconds: float = 60.0,
        *,
        first_delay: float = 0.0,
        backoff: float = 2.0,
        max_delay: float = 60.0,
    ) -> None:
        if max_restarts < 0:
            raise SupervisionOptionError("max_restarts", max_restarts, "Give a whole number, 0 or more.")
        if not within_seconds > 0:
            raise SupervisionOptionError("within_seconds", within_seconds, "Give seconds above 0.")
        if not first_delay >= 0:
            raise SupervisionOptionError("first_delay", first_delay, "Give seconds, 0 or more.")
        if not backoff >= 1:
            raise SupervisionOptionError("backoff", backoff, "Give a factor of 1 or more.")
        if not max_delay >= first_delay:
            raise SupervisionOptionError("max_delay", max_delay, "Give at least the first delay.")
        self.max_restarts = max_restarts
        self.within_seconds = within_seconds
        self.first_delay = first_delay
        self.backoff = backoff
        self.max_delay = max_delay
        self._times: deque[float] = deque()

    def next_delay(self, now: float) -> float | None:
        """Spend one restart at time `now`: the seconds to wait before it, or None if none is left."""
        times = self._times
        while times and now - times[0] >= self.within_seconds:
            times.popleft()
        if len(times) >= self.max_restarts:
            return None
        delay = self.first_delay
        for _ in times:
            delay = min(delay * self.backoff, self.max_delay)
        times.append(now)
        return delay

    def note(self, time: float) -> None:
        """Count a restart that was made before, at `time`; earlier ones first."""
        self._times.append(time)

    def spent(self, now: float) -> int:
        """How many restarts of the window that ends at `now` have been used."""
        return sum(now - time < self.within_seconds for time in self._times)
