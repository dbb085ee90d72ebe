"""Schedule: how a simulated run deviates from taking everything in the order in which it became ready."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Self

from flowforge.job_errors import StepTimeoutError
from flowforge.testing.simulation_errors import ScheduleError

__all__ = ["Failure", "Schedule"]

Failure = type[Exception] | Exception
"""What a step is made to fail with: an exception, or the class of one that needs no arguments."""


@dataclass(frozen=True, slots=True, init=False, repr=False)
class Schedule:
    """A deviation from first in, first out; the empty one is none. Its repr is the code that makes it.

    ScheduleError for what cannot be.
    """

    hold: tuple[str | int, ...]
    """What is taken only when nothing else can run: `"routine.slot"`, `"routine"` for all its steps, `"routine#1"` for
    those of a replica, `"commit of routine"`, `"supervisor"`, `"log"` for flushes, `"timers"`, `"loop"`, `"input"`; a
    number stands for one of them."""
    swap: tuple[tuple[int, int], ...]
    """`(gap, pick)`: after `gap` choices in the usual order, take candidate `pick` instead of the first, which is 0;
    counted round if there are fewer. A pick of -1 lets time pass until something is due, whatever is ready."""
    crash: tuple[int, ...]
    """The process dies when so many records are on disk; a later one counts the records from before the crash too."""
    fail: tuple[tuple[tuple[str | int, int], Failure], ...]
    """`(routine, k)` and what the routine's k-th step, from 1, is made to fail with at its very end. With
    StepTimeoutError, the step takes longer than its time."""

    def __init__(
        self,
        hold: Iterable[str | int] = (),
        swap: Iterable[tuple[int, int]] = (),
        crash: Iterable[int] = (),
        fail: Mapping[Any, Failure] | Iterable[tuple[Any, Failure]] = (),
    ) -> None:
        pairs = fail.items() if isinstance(fail, Mapping) else _listed("fail", fail)
        object.__setattr__(self, "hold", tuple(_unique(_listed("hold", hold))))
        object.__setattr__(self, "swap", tuple(_pair("swap", pair) for pair in _listed("swap", swap)))
        object.__setattr__(self, "crash", tuple(_listed("crash", crash)))
        object.__setattr__(self, "fail", tuple((_pair("fail", target), failure) for target, failure in pairs))
        self._check()

    def _check(self) -> None:
        for name in self.hold:
            if not (isinstance(name, str) or _is_count(name)):
                raise ScheduleError("hold", name, 'Give "routine.slot", "routine", "commit of routine" or "log".')
        for pair in self.swap:
            if not _is_count(pair[0]) or not (_is_count(pair[1]) or pair[1] == -1):
                raise ScheduleError(
                    "swap", pair, "Give pairs (gap, pick) of whole numbers, 0 or more, or a pick of -1."
                )
        for count in self.crash:
            if not _is_count(count):
                raise ScheduleError("crash", count, "Give the number of records that are on disk by then.")
        for earlier, later in pairwise(self.crash):
            if later < earlier:
                raise ScheduleError("crash", list(self.crash), "Give them in order: records that are safe stay safe.")
        for target, failure in self.fail:
            if not _is_failure(failure):
                raise ScheduleError("fail", failure, "Give an exception, or the class of one that needs no arguments.")
            if not (isinstance(target[0], str) or _is_count(target[0])) or not _is_count(target[1]) or not target[1]:
                raise ScheduleError("fail", target, "Give (routine, k), for the k-th step of the routine, from 1.")

    def __bool__(self) -> bool:
        """Whether it deviates at all."""
        return bool(self.size)

    def __repr__(self) -> str:
        parts = [
            f"{name}={list(value)!r}" for name in ("hold", "swap", "crash") if (value := getattr(self, name)) != ()
        ]
        if self.fail:
            parts.append("fail={" + ", ".join(f"{target!r}: {_code_of(value)}" for target, value in self.fail) + "}")
        return f"Schedule({', '.join(parts)})"

    def _repr_pretty_(self, printer: Any, _is_cycle: bool) -> None:  # noqa: FBT001 - the printer's protocol
        """How Hypothesis shows it: as the code that makes it."""
        printer.text(repr(self))

    @property
    def size(self) -> int:
        """How many deviations it is made of."""
        return len(self.hold) + len(self.swap) + len(self.crash) + len(self.fail)

    def resolved(self, holdable: list[str], routines: list[str]) -> Self:
        """The same with names in place of numbers, which count round."""
        hold = [_named(name, holdable) for name in self.hold]
        fail = {(_named(routine, routines), k): failure for (routine, k), failure in self.fail}
        for name in hold:
            if name not in holdable:
                raise ScheduleError("hold", name, f"In this flow that is one of {holdable!r}.")
        for name, _ in fail:
            if name not in routines:
                raise ScheduleError("fail", name, f"The routines of this flow are {routines!r}.")
        return type(self)(hold, self.swap, self.crash, fail.items())


def _listed(part: str, values: Any) -> list[Any]:
    if isinstance(values, str) or not isinstance(values, Iterable):
        raise ScheduleError(part, values, "Give a list.")
    return list(values)


def _unique(values: list[Any]) -> list[Any]:
    return [value for index, value in enumerate(values) if value not in values[:index]]


def _pair(part: str, pair: Any) -> Any:
    if not isinstance(pair, list | tuple) or len(pair) != 2:
        raise ScheduleError(part, pair, "Give pairs: (gap, pick) for swap, (routine, k) for fail.")
    return tuple(pair)


def _is_failure(failure: object) -> bool:
    if not isinstance(failure, type):
        return isinstance(failure, Exception)
    if not issubclass(failure, Exception):
        return False
    try:
        return failure is StepTimeoutError or isinstance(failure(), Exception)
    except TypeError:
        return False


def _is_count(number: object) -> bool:
    return isinstance(number, int) and not isinstance(number, bool) and number >= 0


def _named(name: str | int, names: list[str]) -> str:
    return name if isinstance(name, str) else names[name % len(names)]


def _code_of(failure: Failure) -> str:
    return failure.__name__ if isinstance(failure, type) else repr(failure)
