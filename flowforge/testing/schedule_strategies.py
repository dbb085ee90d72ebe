"""Schedules to try: as a Hypothesis strategy, which shrinks, or from a seed, which needs no Hypothesis."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

from flowforge._engine.plan import plan_of
from flowforge.testing.candidates import holdable_names
from flowforge.testing.schedule import Failure, Schedule
from flowforge.testing.simulation_errors import InjectedError, SimulationUseError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from hypothesis.strategies import DrawFn, SearchStrategy

    from flowforge.flow_graph import FlowGraph

__all__ = ["random_schedule", "schedules"]

_PLACES = (8, 40, 300)
"""Up to which choice, or record, a deviation takes place; each is as likely."""

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
    # Near ones are likelier, for runs may be short.
    places = st.one_of([st.integers(0, most) for most in _PLACES])
    targets = st.tuples(st.sampled_from(routines), st.integers(1, 6))
    kinds: dict[str, tuple[SearchStrategy[Any], int]] = {
        "hold": (st.sampled_from(names), holds),
        "pick": (st.tuples(places, st.integers(1, 4)), swaps),
        "time": (st.tuples(places, st.just(-1)), timers),
        "crash": (places, crashes),
        "fail": (st.tuples(targets, st.sampled_from(exceptions)), errors),
    }
    allowed = {kind: most for kind, (_, most) in kinds.items() if most}
    if not allowed:
        return st.just(Schedule())
    # One list of all kinds: what is drawn last is the easiest to take away, and a defect may need only one of it.
    deviations = st.lists(
        st.one_of([st.tuples(st.just(kind), kinds[kind][0]) for kind in allowed]), max_size=sum(allowed.values())
    )

    # What a composite returns is shown by its repr, which pastes, not by the call that made it.
    @st.composite
    def drawn(draw: DrawFn) -> Schedule:
        parts: dict[str, list[Any]] = {kind: [] for kind in allowed}
        for kind, deviation in draw(deviations):
            if len(parts[kind]) < allowed[kind]:
                parts[kind].append(deviation)
        return _schedule(**parts)

    return drawn()


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
    pick = [(_number(draw), draw.randint(1, 4)) for _ in range(draw.randint(0, swaps))]
    time = [(_number(draw), -1) for _ in range(draw.randint(0, timers))]
    hold = draw.sample(names, min(len(names), draw.randint(0, holds)))
    crash = [_number(draw) for _ in range(draw.randint(0, crashes))]
    targets = [(draw.choice(routines), draw.randint(1, 6)) for _ in range(draw.randint(0, errors))]
    return _schedule(hold, pick, time, crash, [(target, draw.choice(exceptions)) for target in targets])


def _number(draw: random.Random) -> int:
    return draw.randint(0, draw.choice(_PLACES))


def _schedule(
    hold: Iterable[str | int] = (),
    pick: Iterable[tuple[int, int]] = (),
    time: Iterable[tuple[int, int]] = (),
    crash: Iterable[int] = (),
    fail: Iterable[tuple[tuple[Any, int], Failure]] = (),
) -> Schedule:
    """A schedule whose swaps are given by the number of choices before each: to take one away moves no other."""
    swap, made = [], 0
    for place, taken in sorted(dict([*pick, *time]).items()):
        swap.append((place - made, taken))
        made = place + 1
    return Schedule(hold=hold, swap=swap, crash=sorted(crash), fail=dict(fail))


def _names(flow: FlowGraph | None) -> tuple[list[Any], list[Any]]:
    if flow is None:
        return list(range(_NUMBERS)), list(range(_NUMBERS))
    plan = plan_of(flow)
    return holdable_names(plan), [routine.id for routine in plan.routines]
