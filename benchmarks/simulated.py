"""The pipeline on the stepped dispatcher, where each step is two choices, against the same on the pool."""

from actors.testing.stepped_dispatcher import SteppedDispatcher
from benchmarks.harness import Effort, Row, at_least, take_turns
from benchmarks.pipeline import flow_rate, pipeline_flow
from flowforge.runtime import Runtime

__all__ = ["measure"]


def measure(effort: Effort) -> list[Row]:
    """Handler calls a second of both dispatchers."""
    count = effort.size(5_000)
    flow = pipeline_flow()
    with Runtime() as pooled, Runtime(dispatcher=SteppedDispatcher()) as stepped:
        rates = take_turns(
            {"stepped": lambda: flow_rate(stepped, flow, count), "pooled": lambda: flow_rate(pooled, flow, count)},
            effort.rounds,
            "calls/s",
        )
    work = f"simulated pipeline, {count:,} messages"
    return [Row(work=work, ours=rates["stepped"], peer="pooled", theirs=rates["pooled"], target=at_least(0.1))]
