"""What is wrong with a simulation, or with what it has shown; each tells the story of the run that showed it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flowforge.errors import FlowForgeError

if TYPE_CHECKING:
    from flowforge.testing.simulated_run import SimulatedRun

__all__ = [
    "ConfluenceError",
    "CrashEquivalenceError",
    "InjectedError",
    "InvariantError",
    "NondeterministicHandlerError",
    "NotReachedError",
    "PayloadChangedError",
    "ScheduleError",
    "SimulationLimitError",
    "SimulationUseError",
]


class InjectedError(Exception):
    """What a schedule makes steps fail with, unless it says otherwise."""


class ScheduleError(FlowForgeError, ValueError):
    """A schedule holds something that cannot be."""

    def __init__(self, part: str, value: object, remedy: str) -> None:
        super().__init__(f"A schedule's {part} cannot be {value!r}. {remedy}")
        self.part = part
        self.value = value


class SimulationUseError(FlowForgeError):
    """A simulation was asked for something that it cannot do."""

    def __init__(self, problem: str, remedy: str) -> None:
        super().__init__(f"{problem} {remedy}")


class _FoundError(FlowForgeError):
    """Something that a run has shown."""

    def __init__(self, text: str, run: SimulatedRun) -> None:
        super().__init__(f"{text}\n{run.story()}\nReplay it with schedule={run.schedule!r}.")
        self.run = run
        """The run that showed it."""


class InvariantError(_FoundError, AssertionError):
    """An invariant did not hold after some commit."""

    def __init__(self, name: str, run: SimulatedRun) -> None:
        super().__init__(f"The invariant {name!r} does not hold after record {run.position}.", run)
        self.name = name


class NotReachedError(_FoundError, AssertionError):
    """What was to happen eventually did not, although nothing went wrong any more."""

    def __init__(self, name: str, why: str, run: SimulatedRun) -> None:
        super().__init__(f"It was to be reached that {name!r}, but {why}.", run)
        self.name = name


class SimulationLimitError(_FoundError):
    """A run did not come to an end."""

    def __init__(self, limit: int, run: SimulatedRun) -> None:
        remedy = "Look for a cycle or a retry without end, or give until=... or a higher max_choices."
        super().__init__(f"The run was not over after {limit} choices. {remedy}", run)
        self.limit = limit


class PayloadChangedError(_FoundError):
    """A payload was changed after it had been emitted."""

    def __init__(self, what: str, emitted: str, changed: str, run: SimulatedRun) -> None:
        remedy = "Emit a copy, or change a copy: others may have been given the same object."
        super().__init__(f"{what}, committed {emitted}, was changed {changed}. {remedy}", run)
        self.emitted = emitted
        self.changed = changed


class NondeterministicHandlerError(_FoundError):
    """The same schedule led to two different runs."""

    def __init__(self, where: str, difference: str, run: SimulatedRun) -> None:
        suspects = (
            "Look for the time, random, uuid or os.urandom (use self.now() and self.random), for the order of a set, "
            "for threads, and for what one run leaves behind for the next, in globals or in the flow's own objects."
        )
        super().__init__(f"The same schedule led to two different runs, first {where}: {difference}. {suspects}", run)
        self.where = where
        self.difference = difference


class ConfluenceError(_FoundError, AssertionError):
    """The order of steps made a difference."""

    def __init__(self, difference: str, run: SimulatedRun) -> None:
        super().__init__(f"The order of steps makes a difference: {difference}.", run)
        self.difference = difference


class CrashEquivalenceError(_FoundError, AssertionError):
    """A crash made a difference."""

    def __init__(self, difference: str, run: SimulatedRun) -> None:
        super().__init__(f"A crash makes a difference: {difference}.", run)
        self.difference = difference
