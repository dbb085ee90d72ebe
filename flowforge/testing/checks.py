"""What is to be true of runs: always, in the end, or in some of them."""

from __future__ import annotations

import contextlib
import contextvars
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from flowforge.option_checks import check_amount
from flowforge.testing.simulated_run import SimulatedRun
from flowforge.testing.simulation_errors import InvariantError, NotReachedError, SimulationUseError

__all__ = ["Check", "Eventually", "Invariant", "eventually", "invariant", "reachable", "sometimes"]

_Predicate = Callable[[SimulatedRun], object]


@dataclass(frozen=True, slots=True)
class Invariant:
    """What must be true after every commit."""

    predicate: _Predicate
    name: str

    def look(self, run: SimulatedRun) -> None:
        """Raise InvariantError if it is not true now."""
        if not self.predicate(run):
            raise InvariantError(self.name, run)


@dataclass(frozen=True, slots=True)
class Eventually:
    """What must become true once nothing goes wrong any more."""

    predicate: _Predicate
    within: float
    name: str

    def look(self, run: SimulatedRun, healed_at: float, *, is_over: bool) -> bool:
        """Whether it is true; NotReachedError if its time is over."""
        if self.predicate(run):
            return True
        if run.time - healed_at > self.within:
            why = f"{self.within:g} seconds of virtual time have passed since all faults had healed"
            raise NotReachedError(self.name, why, run)
        if is_over:
            raise NotReachedError(self.name, "nothing is left to do", run)
        return False


Check = Invariant | Eventually


def invariant(predicate: _Predicate, name: str | None = None) -> Invariant:
    """A check for `simulate`: `predicate(run)` is true after every commit, else InvariantError."""
    _check_predicate(predicate)
    return Invariant(predicate, name or _name_of(predicate))


def eventually(predicate: _Predicate, *, within: float, name: str | None = None) -> Eventually:
    """A check for `simulate`: once all faults have healed, `predicate(run)` becomes true in `within` virtual seconds.

    Nothing is held any more from the moment when all else that the schedule says has happened. A livelock is found as
    one of NotReachedError and SimulationLimitError.
    """
    _check_predicate(predicate)
    return Eventually(predicate, check_amount("A check", "within", within), name or _name_of(predicate))


def _check_predicate(predicate: object) -> None:
    if not callable(predicate):
        raise SimulationUseError(f"A check cannot ask {predicate!r}.", "Give a function of the run.")


def _name_of(predicate: _Predicate) -> str:
    return getattr(predicate, "__name__", repr(predicate))


_SEEN: contextvars.ContextVar[dict[str, bool] | None] = contextvars.ContextVar("flowforge_reachable", default=None)


def sometimes(name: str, condition: object = True) -> None:  # noqa: FBT002 - reads as a sentence
    """Say that `condition` is to be true in some run of a test, else the test says nothing about `name`.

    Counted inside `reachable`, and by the pytest plugin in every test.
    """
    seen = _SEEN.get()
    if seen is not None:
        seen[name] = seen.get(name, False) or bool(condition)


@contextlib.contextmanager
def reachable() -> Iterator[dict[str, bool]]:
    """Gather what `sometimes` says in the block: each name, and whether its condition was ever true."""
    seen: dict[str, bool] = {}
    token = _SEEN.set(seen)
    try:
        yield seen
    finally:
        _SEEN.reset(token)
