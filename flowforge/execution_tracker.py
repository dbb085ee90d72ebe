"""Figures about a job, counted from its records as they are committed: calls, errors, times, traffic.

Guarantees:

- `apply` and `apply_steps` are called by one thread at a time, in the order of positions; equal records give equal
  figures.
- Readers on any thread get frozen figures of one instant, between two records. One lock guards all counts; a
  reader holds it only to copy them, and works out its figures afterwards.
- Memory is bounded by the numbers of routines and connections, not by the number of records.
"""

import threading
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from types import MappingProxyType
from typing import Any

from flowforge.records import Destination, MessageGivenUp, Record, RetryScheduled, StepCommitted, StepFailed
from flowforge.time_histogram import TimeHistogram

__all__ = ["ExecutionTracker", "FlowStatistics", "RoutineStatistics"]


@dataclass(frozen=True, slots=True)
class RoutineStatistics:
    """Figures of one routine, over all its replicas; times are seconds, and 0 while there are none."""

    calls: int = 0
    """Attempts that ended, well or not."""
    steps: int = 0
    """Commits; a generator commits at each yield and at its end."""
    errors: int = 0
    retries: int = 0
    dead_letters: int = 0
    """Messages given up on, whether or not they were requeued later; an activation counts once."""
    min_time: float = 0.0
    mean_time: float = 0.0
    p50_time: float = 0.0
    """Percentiles are within 5 %."""
    p99_time: float = 0.0
    max_time: float = 0.0
    mean_queue_time: float = 0.0
    """Between the commit of a call's first message and the call."""
    max_queue_time: float = 0.0


@dataclass(frozen=True, slots=True)
class FlowStatistics:
    """Figures of a job at one instant."""

    routines: Mapping[str, RoutineStatistics]
    connections: Mapping[str, int]
    """Messages sent, by `a.output -> b.input`."""
    steps: int
    steps_per_second: float
    """Between the first record and the last; 0 while no time has passed."""

    def to_dict(self) -> dict[str, Any]:
        """All figures as plain data."""
        return {
            "routines": {routine: asdict(figures) for routine, figures in self.routines.items()},
            "connections": dict(self.connections),
            "steps": self.steps,
            "steps_per_second": self.steps_per_second,
        }


class ExecutionTracker:
    """Counts a job's records; never looks at payloads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._tallies: defaultdict[str, _Tally] = defaultdict(_Tally)
        self._sent: Counter[tuple[str, Destination]] = Counter()
        self._first_at: float | None = None
        self._last_at = 0.0

    def apply(self, record: Record) -> None:
        """Count one record; those that say nothing about the figures only move the time."""
        if isinstance(record, StepCommitted):
            self.apply_steps([record], {record.routine: [record]})
            return
        with self._lock:
            self._note_time(record, record)
            if isinstance(record, StepFailed):
                tally = self._tallies[record.routine]
                tally.errors += 1
                tally.times.add(record.duration)
                tally.add_calls([record.queued])
            elif isinstance(record, RetryScheduled):
                self._tallies[record.routine].retries += 1
            elif isinstance(record, MessageGivenUp):
                self._tallies[record.routine].dead_letters += 1

    def apply_steps(self, steps: Sequence[StepCommitted], by_routine: Mapping[str, Sequence[StepCommitted]]) -> None:
        """`apply` for several steps, at least one, which are given by routine as well; each costs less so."""
        sent = [(delivery.message.source, delivery.to) for step in steps for delivery in step.deliveries]
        with self._lock:
            self._note_time(steps[0], steps[-1])
            self._sent.update(sent)
            for routine, own in by_routine.items():
                tally = self._tallies[routine]
                tally.steps += len(own)
                tally.times.add_all([step.duration for step in own])
                tally.add_calls([step.queued for step in own if step.is_final])

    def statistics(self) -> FlowStatistics:
        """All figures at this instant; any thread may ask."""
        with self._lock:
            tallies = {routine: tally.copy() for routine, tally in self._tallies.items()}
            sent = dict(self._sent)
            elapsed = self._last_at - (self._first_at or 0.0)
        steps = sum(tally.steps for tally in tallies.values())
        return FlowStatistics(
            MappingProxyType({routine: tally.figures() for routine, tally in tallies.items()}),
            MappingProxyType({f"{source} -> {to.routine}.{to.slot}": n for (source, to), n in sent.items() if source}),
            steps,
            steps / elapsed if elapsed > 0 else 0.0,
        )

    def routine(self, routine_id: str) -> RoutineStatistics:
        """The figures of one routine at this instant, all 0 if it has done nothing; any thread may ask."""
        with self._lock:
            tally = self._tallies[routine_id].copy() if routine_id in self._tallies else _Tally()
        return tally.figures()

    def to_dict(self) -> dict[str, Any]:
        """All figures at this instant as plain data; any thread may ask."""
        return self.statistics().to_dict()

    def to_tree(self) -> dict[str, Any]:
        """All that it has counted, as plain data; `take_tree` is the way back."""
        with self._lock:
            return {
                "first_at": self._first_at,
                "last_at": self._last_at,
                "routines": {name: [*tally.counts(), *tally.times.to_list()] for name, tally in self._tallies.items()},
                "sent": [[source, to.routine, to.slot, number] for (source, to), number in self._sent.items()],
            }

    def take_tree(self, tree: Mapping[str, Any]) -> None:
        """Go on from what `to_tree` gave."""
        with self._lock:
            self._first_at, self._last_at = tree["first_at"], tree["last_at"]
            for name, (calls, steps, errors, retries, letters, queued, longest, *times) in tree["routines"].items():
                tally = self._tallies[name]
                tally.calls, tally.steps, tally.errors = calls, steps, errors
                tally.retries, tally.dead_letters = retries, letters
                tally.queued, tally.longest_queued = queued, longest
                tally.times = TimeHistogram.from_list(*times)
            for source, routine, slot, number in tree["sent"]:
                self._sent[source, Destination(routine, slot)] = number

    def _note_time(self, first: Record, last: Record) -> None:
        self._last_at = last.at
        if self._first_at is None:
            self._first_at = first.at


class _Tally:
    """What is counted for one routine."""

    __slots__ = ("calls", "dead_letters", "errors", "longest_queued", "queued", "retries", "steps", "times")

    def __init__(self) -> None:
        self.calls = self.steps = self.errors = self.retries = self.dead_letters = 0
        self.times = TimeHistogram()
        self.queued = self.longest_queued = 0.0

    def add_calls(self, queued: Sequence[float]) -> None:
        self.calls += len(queued)
        self.queued = sum(queued, self.queued)
        self.longest_queued = max((self.longest_queued, *queued))

    def counts(self) -> list[float]:
        facts = self.calls, self.steps, self.errors, self.retries, self.dead_letters
        return [*facts, self.queued, self.longest_queued]

    def copy(self) -> "_Tally":
        twin = _Tally()
        twin.calls, twin.steps, twin.errors = self.calls, self.steps, self.errors
        twin.retries, twin.dead_letters = self.retries, self.dead_letters
        twin.times = self.times.copy()
        twin.queued, twin.longest_queued = self.queued, self.longest_queued
        return twin

    def figures(self) -> RoutineStatistics:
        timed = self.times.count
        p50, p99 = self.times.percentiles(0.5, 0.99)
        return RoutineStatistics(
            calls=self.calls,
            steps=self.steps,
            errors=self.errors,
            retries=self.retries,
            dead_letters=self.dead_letters,
            min_time=self.times.shortest if timed else 0.0,
            mean_time=self.times.total / timed if timed else 0.0,
            p50_time=p50,
            p99_time=p99,
            max_time=self.times.longest,
            mean_queue_time=self.queued / self.calls if self.calls else 0.0,
            max_queue_time=self.longest_queued,
        )
