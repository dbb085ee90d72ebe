"""What a simulated run does next: the first that is ready, but for what its schedule says."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from flowforge._engine.worker import Worker
from flowforge.testing.candidates import TIME, Candidate, candidates
from flowforge.testing.faults import Faults

if TYPE_CHECKING:
    from collections.abc import Callable

    from actors.testing.stepped_dispatcher import SteppedDispatcher
    from flowforge.testing.schedule import Schedule

__all__ = ["MOST_LEAPS", "Chooser"]

MOST_LEAPS = 100
"""How often time leaps while all that is ready is held, so that timers without end do not hold it for ever."""


class Chooser:
    """Takes one thing at a time, and holds, swaps and fails what the schedule says."""

    def __init__(self, schedule: Schedule, note: Callable[[str], None], *, names_all: bool) -> None:
        self.choices = 0
        """How many things were taken."""
        self.taken = ("", "")
        """The routine and the most particular name of what was taken last; of use only if it `names_all`."""
        self.deadline: Callable[[], float] = lambda: math.inf
        """The instant that time does not leap to while something is ready: that of the job's own timeout."""
        self._leaps = 0
        self.faults = Faults(dict(schedule.fail), note)
        self._note = note
        self._names_all = names_all
        self._holds = frozenset(schedule.hold)
        self._swaps = list(reversed(schedule.swap))
        self._left = self._swaps[-1][0] if self._swaps else -1
        """How many choices to make before the next swap; -1 if there is none."""

    @property
    def holds(self) -> frozenset[str | int]:
        """What is held."""
        return self._holds

    @property
    def has_healed(self) -> bool:
        """Whether all that the schedule says has happened, but for what it holds."""
        return not self._swaps and not self.faults

    def heal(self) -> None:
        """From now on nothing is held, swapped or made to fail."""
        self._holds = frozenset()
        self._swaps, self._left = [], -1
        self.faults = Faults({}, self._note)

    def go_on(self, dispatcher: SteppedDispatcher) -> bool:
        """Take the next thing, or let time pass if nothing is ready; False if there is nothing at all."""
        if self._left and not self._holds and not self._names_all and not self.faults:
            if not dispatcher.step():
                return dispatcher.advance_to_next()
            self.choices += 1
            self._left -= self._left > 0
            return True
        return self._choose(dispatcher)

    def _choose(self, dispatcher: SteppedDispatcher) -> bool:
        ready = dispatcher.choices()
        if not self._left:
            return self._swap(dispatcher)
        if not ready:
            return dispatcher.advance_to_next()
        self._left -= self._left > 0
        chosen = None
        for candidate in candidates(ready):
            if not self._is_held(candidate):
                chosen = candidate
                break
            chosen = chosen or candidate
        assert chosen is not None, "what is ready has candidates"
        if self._is_held(chosen) and self._may_leap(dispatcher, chosen):
            self._leaps += 1
            return dispatcher.advance_to_next()
        self._take(dispatcher, chosen)
        return True

    def _may_leap(self, dispatcher: SteppedDispatcher, held: Candidate) -> bool:
        """Whether what only waits for its time can run before what is held; a slow disk takes no time."""
        due = dispatcher.next_due()
        if due is None or due >= self.deadline() or held.names == ("log",):
            return False
        return self._leaps < MOST_LEAPS and not self._is_held(TIME)

    def _is_held(self, candidate: Candidate) -> bool:
        return not self._holds.isdisjoint(candidate.names)

    def _swap(self, dispatcher: SteppedDispatcher) -> bool:
        options = sorted(candidates(dispatcher.choices()), key=self._is_held)
        if not options:
            return dispatcher.advance_to_next()
        _, pick = self._swaps.pop()
        self._left = self._swaps[-1][0] if self._swaps else -1
        if pick < 0:
            chosen = TIME if dispatcher.next_due() is not None else options[0]
        else:
            chosen = options[pick % len(options)]
        if chosen is not options[0]:
            usual = options[0].names[-1]
            what = "time passed" if chosen is TIME else f"{chosen.names[-1]} was taken"
            self._note(f"{what} before {usual} at choice {self.choices + 1}")
        self._take(dispatcher, chosen)
        return True

    def _take(self, dispatcher: SteppedDispatcher, chosen: Candidate) -> None:
        self.choices += 1
        self.taken = chosen.names[0], chosen.names[-1]
        if chosen is TIME:
            ready = len(dispatcher.choices())
            dispatcher.advance_to_next()
            if len(dispatcher.choices()) > ready:
                dispatcher.step(ready)
            return
        choice = dispatcher.choices()[chosen.choice]
        if not isinstance(choice, Worker):
            dispatcher.step(chosen.choice)
            return
        if chosen.lane >= 0:
            choice.mailbox.prefer(chosen.lane)
        if self.faults:
            self.faults.run(choice, chosen.lane, lambda: dispatcher.step(chosen.choice))
        else:
            dispatcher.step(chosen.choice)
