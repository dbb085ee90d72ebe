"""Measuring: rounds in which all contenders take turns, medians with their spread, rows that know their target."""

import gc
import logging
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

__all__ = [
    "Effort",
    "Row",
    "Sample",
    "Target",
    "at_least",
    "at_most",
    "be_quiet",
    "cpu_seconds_of",
    "percentile",
    "seconds_of",
    "take_turns",
]


@dataclass(frozen=True, slots=True)
class Effort:
    """How often each figure is taken, the share of the full size that works have, and whether the largest are taken."""

    rounds: int = 7
    scale: float = 1.0
    is_full: bool = False

    def size(self, full: int) -> int:
        """`full` messages, jobs or actors at this effort; at least 10."""
        return max(10, round(full * self.scale))

    def sizes(self, *usual: int, largest: int) -> list[int]:
        """Sizes to compare growth over, smallest first, each once; the largest only in a full run."""
        return sorted({min(size, self.size(size)) for size in ((*usual, largest) if self.is_full else usual)})


@dataclass(frozen=True, slots=True)
class Sample:
    """A figure taken several times, one value a round."""

    values: tuple[float, ...]
    unit: str

    @property
    def median(self) -> float:
        """The middle value."""
        return statistics.median(self.values)

    def over(self, other: "Sample") -> "Sample":
        """This figure divided by `other`, round by round: what slowed the machine in a round slowed both."""
        ratios = (mine / theirs for mine, theirs in zip(self.values, other.values, strict=True))
        return Sample(tuple(ratios), "x")

    def __str__(self) -> str:
        text = f"{_shown(self.median)} {self.unit}"
        if len(self.values) == 1 or min(self.values) == max(self.values):
            return text
        return f"{text} ({_shown(min(self.values))} to {_shown(max(self.values))})"


@dataclass(frozen=True, slots=True)
class Target:
    """What the median of a row's ratio, or of its figure if it has no ratio, is to reach, and what it may reach for."""

    bound: float | None
    is_lower: bool
    stretch: float | None = None

    def verdict(self, median: float) -> str:
        """What is reached; to be on a bound is to have met it."""
        if self.stretch is not None and self._meets(median, self.stretch):
            return "stretch met"
        if self.bound is None:
            return "stretch not met"
        return "met" if self._meets(median, self.bound) else "NOT MET"

    def _meets(self, median: float, bound: float) -> bool:
        return median >= bound if self.is_lower else median <= bound

    def __str__(self) -> str:
        side = "at least" if self.is_lower else "at most"
        stretch = "" if self.stretch is None else f"stretch {_shown(self.stretch)}"
        if self.bound is None:
            return f"stretch: {side} {_shown(self.stretch or 0)}"
        return f"{side} {_shown(self.bound)}" + (f" ({stretch})" if stretch else "")


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One line of the table: a work, FlowForge's figure, what it is held against, and the target if it has one.

    A limit is what no library can be better than, for it does the bare work only; other peers could be chosen instead.
    """

    work: str
    ours: Sample
    peer: str = ""
    theirs: Sample | None = None
    target: Target | None = None
    is_limit: bool = False

    @property
    def ratio(self) -> Sample | None:
        """FlowForge's figure divided by the other's; None if there is no other."""
        return None if self.theirs is None else self.ours.over(self.theirs)

    @property
    def judged(self) -> Sample:
        """What the target is about."""
        return self.ratio or self.ours

    @property
    def verdict(self) -> str:
        """Whether the median meets the target; empty if there is none."""
        return "" if self.target is None else self.target.verdict(self.judged.median)

    def to_dict(self) -> dict[str, Any]:
        """All of it as plain data, medians included."""
        ratio = self.ratio
        return {
            **asdict(self),
            "median": self.ours.median,
            "ratio": None if ratio is None else {"median": ratio.median, "values": ratio.values},
            "verdict": self.verdict,
        }


def at_least(bound: float | None = None, stretch: float | None = None) -> Target:
    """The target of a figure that should be high."""
    return Target(bound, is_lower=True, stretch=stretch)


def at_most(bound: float | None = None, stretch: float | None = None) -> Target:
    """The target of a figure that should be low."""
    return Target(bound, is_lower=False, stretch=stretch)


def take_turns(
    contenders: Mapping[str, Callable[[], float]], rounds: int, unit: str, *, warms_up: bool = True
) -> dict[str, Sample]:
    """Call every contender once to warm up, then once a round, in turn; the figures that they return, by name."""
    figures: dict[str, list[float]] = {name: [] for name in contenders}
    for contender in contenders.values() if warms_up else ():
        _undisturbed(contender)
    for _ in range(rounds):
        for name, contender in contenders.items():
            figures[name].append(_undisturbed(contender))
    return {name: Sample(tuple(values), unit) for name, values in figures.items()}


def percentile(seconds: Sequence[float], percent: int) -> Sample:
    """In milliseconds, how long the so-many-th hundredth took, of times in any order."""
    times = sorted(seconds)
    return Sample((times[min(len(times) - 1, len(times) * percent // 100)] * 1e3,), "ms")


def seconds_of(work: Callable[[], object]) -> float:
    """How long a call takes."""
    before = time.perf_counter()
    work()
    return time.perf_counter() - before


def be_quiet() -> None:
    """Leave out warnings about bounded histories, which these works fill on purpose."""
    logging.getLogger("flowforge").setLevel(logging.ERROR)


def cpu_seconds_of(work: Callable[[], object]) -> float:
    """How much processor time this process takes for a call, on all its threads."""
    before = time.process_time()
    work()
    return time.process_time() - before


def _undisturbed(contender: Callable[[], float]) -> float:
    # What one contender leaves behind must not be collected on the time of the next.
    gc.collect()
    return contender()


def _shown(value: float) -> str:
    if value == round(value) or abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"
