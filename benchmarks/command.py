"""The command line of all measurements: which works, how long, and how the table is shown."""

import argparse
import multiprocessing
import sys
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from benchmarks.harness import Effort, Row, be_quiet
from benchmarks.report import circumstances, show, write_json

__all__ = ["Measure", "run"]

Measure = Callable[[Effort], list[Row]]

SMALL = Effort(rounds=2, scale=0.02)


def run(prog: str, description: str | None, works: Mapping[str, Measure]) -> None:
    """Measure what the command line asks for, and print the table."""
    given = arguments(prog, description, works)
    effort = SMALL if given.small else Effort(given.rounds, given.scale, is_full=given.full)
    around = circumstances()
    rows = measure_apart({name: works[name] for name in given.names or works}, effort)
    around["load after"] = circumstances()["load"]
    show(rows, around, as_markdown=given.markdown)
    if given.json is not None:
        write_json(given.json, rows, around)


def arguments(prog: str, description: str | None, names: Iterable[str]) -> argparse.Namespace:
    """What was asked for."""
    parser = argparse.ArgumentParser(prog=prog, description=description)
    parser.add_argument("names", nargs="*", metavar="name", help=f"all by default: {', '.join(names)}")
    parser.add_argument("--rounds", type=int, default=7, help="how often each figure is taken (default: 7)")
    parser.add_argument("--scale", type=float, default=1.0, help="share of the usual size, 0.1 for a quick look")
    sizes = parser.add_mutually_exclusive_group()
    sizes.add_argument("--small", action="store_true", help="only see that each work runs; in a minute or two")
    sizes.add_argument("--full", action="store_true", help="the largest sizes as well; for hours")
    parser.add_argument("--markdown", action="store_true", help="print the table for a page")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures to a file as well")
    given = parser.parse_args()
    for name in given.names:
        if name not in names:
            parser.error(f"There is no {name!r}; there are: {', '.join(names)}.")
    return given


def measure_apart(works: Mapping[str, Measure], effort: Effort) -> list[Row]:
    """Measure each work in a process of its own, so that none starts with the memory of another."""
    rows: list[Row] = []
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=context, initializer=be_quiet, max_tasks_per_child=1) as processes:
        for name, measure in works.items():
            print(f"measuring {name} ...", file=sys.stderr, flush=True)
            rows += processes.submit(measure, effort).result()
    return rows
