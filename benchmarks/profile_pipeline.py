"""`python -m benchmarks.profile_pipeline [count] [--durable] [--jobs]`: where the time of steps or jobs goes."""

import argparse
import cProfile
import pstats
from collections.abc import Callable

from actors.dispatcher import TurnLimits
from benchmarks.durable import one_by_one
from benchmarks.jobs import small_flow
from benchmarks.pipeline import flow_rate, pipeline_flow
from benchmarks.stepped import stepped_runtime
from flowforge.flow import Flow
from flowforge.runtime import Runtime

__all__ = ["main"]

LINES = 25


def main() -> None:
    """Print the functions that take most; on one thread, with the turns that a pool would give."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.profile_pipeline", description=__doc__)
    parser.add_argument("count", nargs="?", type=int, default=20_000, help="messages, or jobs (default: 20000)")
    parser.add_argument("--durable", action="store_true", help="keep a log, in memory")
    parser.add_argument("--jobs", action="store_true", help="jobs of three routines in place of the pipeline")
    given = parser.parse_args()
    if given.jobs:
        show(one_by_one, small_flow(), given.count, is_durable=given.durable)
    else:
        show(flow_rate, pipeline_flow(), given.count, is_durable=given.durable)


def show(work: Callable[[Runtime, Flow, int], float], flow: Flow, count: int, *, is_durable: bool) -> None:
    """Profile a work on that flow, once it is warm."""
    with stepped_runtime(flow, TurnLimits(), is_durable=is_durable) as runtime:
        work(runtime, flow, count // 10)
        profile = cProfile.Profile()
        profile.enable()
        work(runtime, flow, count)
        profile.disable()
    pstats.Stats(profile).strip_dirs().sort_stats("tottime").print_stats(LINES)


if __name__ == "__main__":
    main()
