"""Schedules to try: as a Hypothesis strategy, which shrinks, or from a seed, which needs no Hypothesis."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

from flowforge._engine.plan import plan_of
from flowforge.testing.candidates import holdable_names
from flowforge.testing.schedule import Failure, Schedule
from flowforge.testing.simulation_errors import InjectedError, SimulationUseError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from hypothesis.strategies import SearchStrategy

    from flowforge.flow_graph import FlowGraph

__all__ = ["random_schedule", "schedules"]

_NUMBERS = 64
"""Without a flow, holds and routines are numbers below this, which count round."""


def schedules(
    flow: FlowGraph | None = None,
    *,
    crashes: int = 0,
    swaps: int = 6,
    holds: int = 2,
    errors: int = 0,
    timers: int = 2,
    exceptions: Sequence[Failure] = (InjectedError,),
) -> SearchStrategy[Schedule]:
    """A Hypothesis strategy of schedules with up to so many deviations of each kind; it shrinks towards none.

    `timers` is how often time may pass although something is ready; `errors` how many steps are made to fail with one
    of `exceptions`. With a flow its names are used, else numbers, which a run replaces by names.
    SimulationUseError if Hypothesis is not installed.
    """
    try:
        from hypothesis import strategies as st  # noqa: PLC0415 - an optional extra
    except ImportError as err:
        remedy = "Install flowforge[testing], or use random_schedule(seed)."
        raise SimulationUseError("A strategy of schedules needs Hypothesis.", remedy) from err
    names, routines = _names(flow)
    places = st.one_of(st.integers(0, 8), st.integers(0, 40), st.integers(0, 300))

    def few(kind: SearchStrategy[Any], most: int, unique_by: Callable[[Any], Any] | None = None) -> SearchStrategy[Any]:
        # Most defects need one deviation or two; what is found with many may shrink to none of these.
        one = st.lists(kind, max_size=min(most, 1))
        return one if most < 2 else one | st.lists(kind, min_size=1, max_size=most, unique_by=unique_by)

    def swapped(picks: SearchStrategy[int], most: int) -> SearchStrategy[Any]:
        return few(st.tuples(places, picks), most, _place)

    targets = st.tuples(st.sampled_from(routines), st.integers(1, 6))
    return st.builds(
        Schedule,
        hold=few(st.sampled_from(names), holds),
        swap=st.builds(_with_gaps, swapped(st.integers(1, 4), swaps), swapped(st.just(-1), timers)),
        crash=few(places, crashes).map(sorted),
        fail=few(st.tuples(targets, st.sampled_from(exceptions)), errors, _place).map(dict),
    )


def random_schedule(
    seed: int,
    flow: FlowGraph | None = None,
    *,
    crashes: int = 0,
    swaps: int = 6,
    holds: int = 2,
    errors: int = 0,
    timers: int = 2,
    exceptions: Sequence[Failure] = (InjectedError,),
) -> Schedule:
    """The schedule of a seed, with up to so many deviations of each kind; needs no Hypothesis, and does not shrink."""
    draw = random.Random(seed)
    names, routines = _names(flow)
    picks = [(_number(draw), draw.randint(1, 4)) for _ in range(draw.randint(0, swaps))]
    times = [(_number(draw), -1) for _ in range(draw.randint(0, timers))]
    return Schedule(
        hold=draw.sample(names, min(len(names), draw.randint(0, holds))),
        swap=_with_gaps(picks, times),
        crash=sorted(_number(draw) for _ in range(draw.randint(0, crashes))),
        fail={
            (draw.choice(routines), draw.randint(1, 6)): draw.choice(exceptions) for _ in range(draw.randint(0, errors))
        },
    )


def _number(draw: random.Random) -> int:
    return draw.randint(0, draw.choice((8, 40, 300)))


def _place(entry: tuple[Any, Any]) -> Any:
    """Where a deviation takes place."""
    return entry[0]


def _with_gaps(picks: list[tuple[int, int]], times: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """The swaps of a schedule, given by the number of choices before them: taking one away moves no other."""
    swap, made = [], 0
    for place, pick in sorted([*picks, *times], key=_place):
        gap = max(0, place - made)
        made += gap + 1
        swap.append((gap, pick))
    return swap


def _names(flow: FlowGraph | None) -> tuple[list[Any], list[Any]]:
    if flow is None:
        return list(range(_NUMBERS)), list(range(_NUMBERS))
    plan = plan_of(flow)
    return holdable_names(plan), [routine.id for routine in plan.routines]
