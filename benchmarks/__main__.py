"""`python -m benchmarks [names]`: measure, and print one table of what was reached and what was to be reached."""

import argparse
import multiprocessing
import sys
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

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
from benchmarks.harness import Effort, Row, be_quiet
from benchmarks.report import circumstances, show, write_json

WORKS: dict[str, Callable[[Effort], list[Row]]] = {
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

SMALL = Effort(rounds=2, scale=0.02)


def arguments() -> argparse.Namespace:
    """What was asked for on the command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="name", help=f"works, all by default: {', '.join(WORKS)}")
    parser.add_argument("--rounds", type=int, default=7, help="how often each figure is taken (default: 7)")
    parser.add_argument("--scale", type=float, default=1.0, help="share of the usual size, 0.1 for a quick look")
    sizes = parser.add_mutually_exclusive_group()
    sizes.add_argument("--small", action="store_true", help="only see that each work runs; in a minute or two")
    sizes.add_argument("--full", action="store_true", help="the largest sizes as well; for hours")
    parser.add_argument("--markdown", action="store_true", help="print the table for a page")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures to a file as well")
    given = parser.parse_args()
    for name in given.names:
        if name not in WORKS:
            parser.error(f"There is no work {name!r}; the works are: {', '.join(WORKS)}.")
    return given


def measure_apart(names: list[str], effort: Effort) -> list[Row]:
    """Measure each work in a process of its own, so that none starts with the memory of another."""
    rows: list[Row] = []
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=context, initializer=be_quiet, max_tasks_per_child=1) as processes:
        for name in names:
            print(f"measuring {name} ...", file=sys.stderr, flush=True)
            rows += processes.submit(WORKS[name], effort).result()
    return rows


def main() -> None:
    """Measure what was asked for."""
    given = arguments()
    around = circumstances()
    effort = SMALL if given.small else Effort(given.rounds, given.scale, is_full=given.full)
    rows = measure_apart(given.names or list(WORKS), effort)
    around["load after"] = circumstances()["load"]
    show(rows, around, as_markdown=given.markdown)
    if given.json is not None:
        write_json(given.json, rows, around)


if __name__ == "__main__":
    main()
