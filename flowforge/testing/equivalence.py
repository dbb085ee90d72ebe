"""Two oracles that need no model: the order of steps makes no difference, and a crash makes none."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Any

from flowforge._engine.plan import plan_of
from flowforge.stores.codec import Codec
from flowforge.testing.candidates import holdable_names
from flowforge.testing.inputs import Input, commands_of
from flowforge.testing.outcomes import check_ignored, difference_of, outcome_of
from flowforge.testing.schedule import Schedule
from flowforge.testing.schedule_strategies import random_schedule, schedules
from flowforge.testing.simulation import simulate
from flowforge.testing.simulation_errors import ConfluenceError, CrashEquivalenceError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Mapping

    from flowforge.flow_graph import FlowGraph
    from flowforge.testing.simulated_run import SimulatedRun

__all__ = ["assert_confluent", "assert_crash_equivalent"]

_SINGLE_PLACES = 40
"""At how many of a run's first choices a single deviation is tried."""


def assert_confluent(
    flow: FlowGraph,
    inputs: Iterable[Input] | Mapping[str, Any] = ({},),
    *,
    ignoring: Collection[str] = (),
    schedule: Schedule | None = None,
    examples: int = 100,
    codec: Codec | None = None,
    **options: Any,
) -> None:
    """Check that any schedule leads to what the usual order leads to: outputs in any order, states, dead letters.

    Tries up to `examples` schedules with a single deviation and as many with several, or only `schedule` if given; with
    Hypothesis the one that is reported is shrunk. What is meant to depend on the order is named in `ignoring`: a
    routine, `"routine.event"`, `"shared_data.key"`, `"dead_letters"`, `"shared_log"`, `"status"`. `options` are those
    of `simulate`. Raises ConfluenceError, which tells the difference and the story, and what `simulate` raises.
    """
    codec = codec or Codec()
    check_ignored(ignoring, plan_of(flow))
    given = commands_of(inputs, plan_of(flow), options.get("entry_routine_id"))
    usual = simulate(flow, given, codec=codec, **options)
    expected = outcome_of(usual, ignoring, codec)

    def check(tried: Schedule) -> None:
        run = simulate(flow, given, schedule=tried, codec=codec, **options)
        found = difference_of(expected, outcome_of(run, ignoring, codec))
        if found is not None:
            run.check_replay()
            raise ConfluenceError(found, run)

    if schedule is not None:
        check(schedule)
    else:
        for single in islice(_single_deviations(flow, usual.choices), examples):
            check(single)
        _search(flow, check, examples)


def assert_crash_equivalent(
    flow: FlowGraph,
    inputs: Iterable[Input] | Mapping[str, Any] = ({},),
    *,
    ignoring: Collection[str] = (),
    schedule: Schedule | None = None,
    codec: Codec | None = None,
    **options: Any,
) -> int:
    """Check that a crash at any point leads to what no crash leads to; returns how many crashes were tried.

    The process dies with every number of records on disk, which is before and after each append and flush, and each
    time once more as soon as the recovery has written its first record. `schedule` is what else deviates; a failure
    that it asks for happens once, and is not repeated when a crash has taken its record. A flow whose result depends
    on the order of steps differs by that, so name such parts in `ignoring`, as for `assert_confluent`.
    Raises CrashEquivalenceError, and what `simulate` raises.
    """
    codec = codec or Codec()
    check_ignored(ignoring, plan_of(flow))
    base = schedule or Schedule()
    given = commands_of(inputs, plan_of(flow), options.get("entry_routine_id"))

    def crashed(*points: int) -> SimulatedRun:
        tried = Schedule(base.hold, base.swap, points, base.fail)
        return simulate(flow, given, schedule=tried, codec=codec, **{**options, "is_durable": True})

    undisturbed = crashed()
    expected = outcome_of(undisturbed, ignoring, codec)
    tried = 0
    for point in range(undisturbed.position + 1):
        for points in ((point,), (point, point + 1)):
            run = crashed(*points)
            tried += run.crashes
            found = difference_of(expected, outcome_of(run, ignoring, codec))
            if found is not None:
                run.check_replay()
                raise CrashEquivalenceError(found, run)
    return tried


def _single_deviations(flow: FlowGraph, choices: int) -> Iterator[Schedule]:
    """Each hold by itself, and at each of the first choices a swap, and a leap of time."""
    for name in holdable_names(plan_of(flow)):
        yield Schedule(hold=[name])
    for place in range(min(choices, _SINGLE_PLACES)):
        for pick in (1, -1):
            yield Schedule(swap=[(place, pick)])


def _search(flow: FlowGraph, check: Callable[[Schedule], None], examples: int) -> None:
    """Try schedules: with Hypothesis, which shrinks what fails, else from seeds."""
    try:
        import hypothesis  # noqa: PLC0415 - an optional extra
    except ImportError:
        for seed in range(examples):
            check(random_schedule(seed, flow))
        return

    @hypothesis.settings(
        max_examples=examples,
        deadline=None,
        database=None,
        print_blob=False,
        report_multiple_bugs=False,
        phases=[hypothesis.Phase.generate, hypothesis.Phase.shrink],
        suppress_health_check=list(hypothesis.HealthCheck),
    )
    @hypothesis.given(schedules(flow))
    def any_schedule_is_as_good(tried: Schedule) -> None:
        check(tried)

    any_schedule_is_as_good()
