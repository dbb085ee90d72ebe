"""`python -m benchmarks.profile_pipeline [messages]`: where the pipeline's time goes, by function."""

import cProfile
import pstats
import sys

from actors.dispatcher import TurnLimits
from actors.testing.stepped_dispatcher import SteppedDispatcher
from benchmarks.pipeline import flow_rate, pipeline_flow
from flowforge.runtime import Runtime

__all__ = ["main"]

LINES = 25


def main(count: int = 20_000) -> None:
    """Print the functions that take most; on one thread, with the turns that a pool would give."""
    flow = pipeline_flow()
    with Runtime(dispatcher=SteppedDispatcher(limits=TurnLimits())) as runtime:
        flow_rate(runtime, flow, count // 10)
        profile = cProfile.Profile()
        profile.enable()
        flow_rate(runtime, flow, count)
        profile.disable()
    pstats.Stats(profile).strip_dirs().sort_stats("tottime").print_stats(LINES)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:2]))
