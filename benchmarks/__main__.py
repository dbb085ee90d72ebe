"""`python -m benchmarks [names]`: measure, and print one table of what was reached and what was to be reached."""

from benchmarks import (
    acknowledged,
    concurrency,
    cycle,
    durable,
    endurance,
    fan,
    growth,
    growth_of_messages,
    idle,
    jobs,
    merging,
    pipeline,
    recovery,
    simulated,
    start_up,
)
from benchmarks.command import Measure, run

WORKS: dict[str, Measure] = {
    "pipeline": pipeline.measure,
    "fan": fan.measure,
    "merging": merging.measure,
    "concurrency": concurrency.measure,
    "jobs": jobs.measure,
    "cycle": cycle.measure,
    "growth": growth.measure,
    "growth_of_messages": growth_of_messages.measure,
    "durable": durable.measure,
    "acknowledged": acknowledged.measure,
    "recovery": recovery.measure,
    "endurance": endurance.measure,
    "idle": idle.measure,
    "simulated": simulated.measure,
    "start_up": start_up.measure,
}

if __name__ == "__main__":
    run("python -m benchmarks", __doc__, WORKS)
