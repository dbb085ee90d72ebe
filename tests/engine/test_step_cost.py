"""What a step and a job cost in calls and in memory that they leave behind, which no busy machine can blur.

The numbers are those of this code, and are to be changed with it. They are the same in every run.
"""

import gc
import math
import sys
from collections.abc import Callable
from dataclasses import replace
from types import FrameType
from typing import NamedTuple

import pytest

from actors.dispatcher import TurnLimits
from actors.testing.stepped_dispatcher import SteppedDispatcher
from benchmarks.growth import chain
from benchmarks.idle import traced
from benchmarks.jobs import small_flow
from benchmarks.pipeline import STAGES, pipeline_flow
from benchmarks.stepped import stepped_runtime
from flowforge.job_state import JobState

Look = Callable[[Callable[[], object]], int]

FEW, MANY = 100, 300
"""Two sizes of a work: what the larger costs more is the cost of its units, without that of start and end."""
MARGIN = 0.05 if sys.version_info[:2] == (3, 11) else 0.1
"""The numbers are those of Python 3.11; of later versions some differ by a few percent."""
LIMITS = TurnLimits(max_seconds=math.inf)
"""Those of a pool, but for its clock."""
REMEDY = (
    "It was {before:g} and is {now:g}, {change:+.1%}. `python -m benchmarks.profile_pipeline` shows where it goes. "
    "If it has become cheaper, or is worth what it costs, write the new number into {table} of this file."
)


class Unit(NamedTuple):
    """What is counted, and in which work."""

    work: str
    is_durable: bool


CALLS = {
    Unit("step", is_durable=False): 59.7,
    Unit("step", is_durable=True): 102.8,
    Unit("job", is_durable=False): 1089,
    Unit("job", is_durable=True): 1550,
}
"""Calls of Python functions and of functions in C."""
BLOCKS = {
    Unit("step", is_durable=False): 11.7,
    Unit("step", is_durable=True): 13.7,
    Unit("job", is_durable=False): 161,
    Unit("job", is_durable=True): 172,
}
"""Blocks of memory that are still held afterwards, by the history that a job remembers and by the log."""
BYTES = {"was never called": 400, "was called": 3052}
"""Bytes of memory that an open job takes for each of its routines that has nothing to do."""


def cost_of_steps(look: Look, count: int, *, is_durable: bool) -> int:
    flow = pipeline_flow()
    with stepped_runtime(flow, LIMITS, is_durable=is_durable) as runtime:
        # More than there will be: what a step leaves behind is not to be let go meanwhile.
        runtime.options = replace(runtime.options, max_history=STAGES * 2 * MANY)
        return look(lambda: runtime.exec(flow, "source", {"count": count}).wait())


def cost_of_jobs(look: Look, count: int, *, is_durable: bool) -> int:
    flow = small_flow()
    with stepped_runtime(flow, LIMITS, is_durable=is_durable) as runtime:
        return look(lambda: [runtime.exec(flow, "a", {"x": 0}).wait() for _ in range(count)])


WORKS = {"step": (cost_of_steps, STAGES), "job": (cost_of_jobs, 1)}
"""Each with how many of its units there are for one of its count."""


def cost(unit: Unit, look: Look) -> float:
    work, units = WORKS[unit.work]
    # What is made once, such as caches, is made before anything is counted.
    work(look, FEW, is_durable=unit.is_durable)
    few, many = (work(look, count, is_durable=unit.is_durable) for count in (FEW, MANY))
    return (many - few) / (units * (MANY - FEW))


def bytes_of_routines(count: int, *, are_called: bool) -> int:
    flow = chain(count)
    with stepped_runtime(flow, LIMITS, is_durable=False) as runtime:
        # A job that remembers nothing: what its history takes has a limit of its own.
        runtime.options = replace(runtime.options, max_history=1)

        def start() -> JobState:
            job = runtime.exec(
                flow, "stage0" if are_called else None, {"x": 0} if are_called else None, keep_alive=True
            )
            assert isinstance(runtime.dispatcher, SteppedDispatcher)
            runtime.dispatcher.run_until_idle()
            return job

        # The first one makes what all jobs of a flow share.
        start().close()
        return traced(start)[1]


def calls(work: Callable[[], object]) -> int:
    made = 0

    def note(_frame: FrameType, event: str, _arg: object) -> None:
        nonlocal made
        made += event in {"call", "c_call"}

    before = sys.getprofile()
    sys.setprofile(note)
    try:
        work()
    finally:
        sys.setprofile(before)
    return made


def kept_blocks(work: Callable[[], object]) -> int:
    gc.collect()
    before = sys.getallocatedblocks()
    result = work()
    gc.collect()
    del result
    return sys.getallocatedblocks() - before


def check(table: str, before: float, now: float) -> None:
    change = now / before - 1

    assert abs(change) <= MARGIN, REMEDY.format(before=before, now=now, change=change, table=table)


@pytest.mark.parametrize("unit", CALLS, ids=str)
def test_a_step_makes_as_many_calls_as_are_noted(unit: Unit) -> None:
    check("CALLS", CALLS[unit], cost(unit, calls))


@pytest.mark.parametrize("unit", BLOCKS, ids=str)
def test_a_step_leaves_as_much_behind_as_is_noted(unit: Unit) -> None:
    check("BLOCKS", BLOCKS[unit], cost(unit, kept_blocks))


@pytest.mark.parametrize("kind", BYTES)
def test_a_routine_with_nothing_to_do_takes_as_much_memory_as_is_noted(kind: str) -> None:
    few, many = (bytes_of_routines(count, are_called=kind == "was called") for count in (FEW, MANY))

    check("BYTES", BYTES[kind], (many - few) / (MANY - FEW))


@pytest.mark.parametrize(("now", "change"), [(111, r"\+11\.0%"), (89, r"-11\.0%")])
def test_a_cost_that_has_changed_is_told_with_what_to_do(now: float, change: str) -> None:
    with pytest.raises(AssertionError, match=rf"It was 100 and is {now}, {change}\. .* into CALLS of this file"):
        check("CALLS", 100, now)
