"""Schedules to try: as a Hypothesis strategy, which shrinks, or from a seed, which needs no Hypothesis."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

from flowforge._engine.plan import plan_of
from flowforge.testing.candidates import holdable_names
from flowforge.testing.schedule import Failure, Schedule
from flowforge.testing.simulation_errors import InjectedError, SimulationUseError

if TYPE_CHECKING:
    from collections.abc import Sequence

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
    names, routines = _names(flow, is_durable=crashes > 0)
    gaps = st.one_of(st.integers(0, 8), st.integers(0, 40), st.integers(0, 200))
    pairs = st.tuples(gaps, st.integers(1, 4))
    times = st.tuples(gaps, st.just(-1))
    swapped = st.lists(pairs, max_size=swaps)
    if timers:
        swapped = st.tuples(swapped, st.lists(times, max_size=timers)).map(lambda both: [*both[0], *both[1]])
    points = st.one_of(st.integers(0, 12), st.integers(0, 60), st.integers(0, 300))
    targets = st.tuples(st.sampled_from(routines), st.integers(1, 6))
    return st.builds(
        Schedule,
        hold=st.lists(st.sampled_from(names), max_size=holds),
        swap=swapped,
        crash=st.lists(points, max_size=crashes).map(sorted),
        fail=st.dictionaries(targets, st.sampled_from(exceptions), max_size=errors) if errors else st.just({}),
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
    names, routines = _names(flow, is_durable=crashes > 0)
    swap = [(_number(draw), draw.randint(1, 4)) for _ in range(draw.randint(0, swaps))]
    swap += [(_number(draw), -1) for _ in range(draw.randint(0, timers))]
    return Schedule(
        hold=draw.sample(names, min(len(names), draw.randint(0, holds))),
        swap=swap,
        crash=sorted(_number(draw) for _ in range(draw.randint(0, crashes))),
        fail={
            (draw.choice(routines), draw.randint(1, 6)): draw.choice(exceptions) for _ in range(draw.randint(0, errors))
        },
    )


def _number(draw: random.Random) -> int:
    return draw.randint(0, draw.choice((8, 40, 200)))


def _names(flow: FlowGraph | None, *, is_durable: bool) -> tuple[list[Any], list[Any]]:
    if flow is None:
        return list(range(_NUMBERS)), list(range(_NUMBERS))
    plan = plan_of(flow)
    return holdable_names(plan, is_durable=is_durable), [routine.id for routine in plan.routines]
