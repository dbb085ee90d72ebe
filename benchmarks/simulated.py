"""The pipeline under `simulate`: against the pool, kept in a log, and killed at every point; and schedules drawn."""

import random

from hypothesis import HealthCheck, Phase, given, settings

from benchmarks.harness import Effort, Row, Sample, at_least, at_most, seconds_of, take_turns
from benchmarks.pipeline import STAGES, flow_rate, pipeline_flow
from flowforge.flow import Flow
from flowforge.runtime import Runtime
from flowforge.testing.schedule import Schedule
from flowforge.testing.schedule_strategies import random_schedule, schedules
from flowforge.testing.simulated_run import SimulatedRun
from flowforge.testing.simulation import simulate

__all__ = ["measure"]

CRASHED_MESSAGES = 60
"""Through five stages they make 300 steps."""


def simulated_rate(flow: Flow, count: int, *, is_durable: bool = False) -> float:
    """Handler calls a second of one simulated job; the source's own steps are not counted."""
    found: list[SimulatedRun] = []
    seconds = seconds_of(lambda: found.append(simulate(flow, {"count": count}, is_durable=is_durable)))
    assert found[0].job_state.get_routine_state("collect") == {"count": count}
    return STAGES * count / seconds


def one_run(flow: Flow) -> SimulatedRun:
    """A durable run without a crash."""
    return simulate(flow, {"count": CRASHED_MESSAGES}, is_durable=True)


def crash_everywhere(flow: Flow) -> None:
    """One run for each number of records that can be on disk when the process dies."""
    for point in range(one_run(flow).position + 1):
        run = simulate(flow, {"count": CRASHED_MESSAGES}, schedule=Schedule(crash=[point]))
        assert run.crashes == 1
        assert run.job_state.get_routine_state("collect") == {"count": CRASHED_MESSAGES}


def drawn_milliseconds(flow: Flow, count: int) -> float:
    """Milliseconds that Hypothesis takes to draw a schedule, for a property that runs nothing."""

    @settings(
        max_examples=count,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(schedules(flow, crashes=1, errors=1))
    def property_of_nothing(_: Schedule) -> None:
        pass

    return 1000 * seconds_of(property_of_nothing) / count


def seeded_milliseconds(flow: Flow, count: int) -> float:
    """Milliseconds that a schedule from a seed takes."""
    seeds = random.Random(0).sample(range(1_000_000), count)

    def draw() -> None:
        for seed in seeds:
            random_schedule(seed, flow, crashes=1, errors=1)

    return 1000 * seconds_of(draw) / count


def rates(effort: Effort, flow: Flow) -> list[Row]:
    """Handler calls a second: on the pool, simulated, and simulated with a log."""
    count = effort.size(5_000)
    with Runtime() as pooled:
        found = take_turns(
            {
                "simulated": lambda: simulated_rate(flow, count),
                "durable": lambda: simulated_rate(flow, count, is_durable=True),
                "pooled": lambda: flow_rate(pooled, flow, count),
            },
            effort.rounds,
            "calls/s",
        )
    work, plain = f"pipeline of {STAGES} stages, {count:,} messages", found["simulated"]
    return [
        Row(work=f"simulated {work}", ours=plain, peer="pooled", theirs=found["pooled"], target=at_least(0.1)),
        Row(work=f"simulated durable {work}", ours=found["durable"], peer="simulated in memory", theirs=plain),
    ]


def crashes(effort: Effort, flow: Flow) -> list[Row]:
    """Seconds for a crash at every point of 300 steps, and how many times one run that is."""
    found: dict[str, Sample] = take_turns(
        {
            "everywhere": lambda: seconds_of(lambda: crash_everywhere(flow)),
            "once": lambda: seconds_of(lambda: one_run(flow)),
        },
        effort.rounds,
        "s",
    )
    work = f"crash at every point of {STAGES * CRASHED_MESSAGES} steps, {one_run(flow).position + 1} runs"
    return [
        Row(work=work, ours=found["everywhere"], target=at_most(3)),
        Row(work=work, ours=found["everywhere"], peer="one run without a crash", theirs=found["once"]),
    ]


def drawing(effort: Effort, flow: Flow) -> list[Row]:
    """Milliseconds to draw a schedule, by Hypothesis and from a seed."""
    count = effort.size(500)
    found = take_turns(
        {"drawn": lambda: drawn_milliseconds(flow, count), "seeded": lambda: seeded_milliseconds(flow, count)},
        effort.rounds,
        "ms",
    )
    return [Row(work="a schedule drawn by Hypothesis", ours=found["drawn"], peer="from a seed", theirs=found["seeded"])]


def measure(effort: Effort) -> list[Row]:
    """Rates, crashes and drawing."""
    flow = pipeline_flow()
    return [*rates(effort, flow), *crashes(effort, flow), *drawing(effort, flow)]
