"""A confluent flow gives the same result whatever order its turns are taken in, on threads and with replicas too."""

from collections import Counter
from dataclasses import replace
from itertools import pairwise
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from actors.dispatcher import Dispatcher
from actors.pooled_dispatcher import PooledDispatcher
from actors.testing.stepped_dispatcher import SteppedDispatcher
from flowforge.job_state import JobState
from flowforge.records import StepCommitted
from flowforge.runtime import Runtime
from flowforge.testing.flow_shapes import FlowShape
from flowforge.testing.flow_strategies import MAX_N, flows, payloads
from property_tests.stepping import result_of, take_steps

choices = st.lists(st.integers(0, 9), max_size=100)
numbers = st.integers(0, MAX_N)


def is_quick(shape: FlowShape) -> bool:
    """Whether it waits for nothing longer than some milliseconds."""
    return all(routine.kind != "interval" and not routine.retry_delay for routine in shape.routines)


def as_chain(shape: FlowShape) -> FlowShape:
    """The same routines one behind the other, with ordered replicas."""
    edges = tuple((before, after, "input") for before, after in pairwise(range(len(shape.routines))))
    routines = tuple(replace(routine, ordered=True) for routine in shape.routines)
    return replace(shape, routines=routines, edges=edges)


# What is merged is state, and ordered replicas equal one only without state.
chains = flows(confluent=True, cycles=False, joins=False, policies=False, merging=False).map(as_chain)


def run_stepped(shape: FlowShape, entry: dict[str, Any], choices: list[int]) -> JobState:
    dispatcher = SteppedDispatcher()
    with Runtime(dispatcher=dispatcher) as runtime:
        job = runtime.exec(shape.build(), "r0", entry, job_id="same")
        take_steps(dispatcher, choices)
        assert job.wait()
    return job


def run_on(dispatcher: Dispatcher, shape: FlowShape, n: int) -> JobState:
    with Runtime(dispatcher=dispatcher) as runtime:
        job = runtime.exec(shape.build(), "r0", {"n": n}, job_id="same")
        assert job.wait(60)
    return job


def ids_of(job: JobState) -> Counter[tuple[str, int]]:
    return Counter(
        (record.routine, message.id)
        for record in job.view.history
        if isinstance(record, StepCommitted) and record.is_final
        for message in record.messages
    )


def in_order(job: JobState) -> dict[str, Any]:
    # A message is given up as soon as it has failed, which may be before those ahead of it have committed.
    letters = Counter((letter.routine, message.id) for letter in job.dead_letters for message in letter.messages)
    return {"status": job.status, "outputs": job.outputs, "letters": letters}


@given(flows(confluent=True), numbers, payloads(), choices)
def test_every_schedule_of_a_confluent_flow_gives_the_same_result(
    shape: FlowShape, n: int, data: dict[str, Any], choices: list[int]
) -> None:
    entry = {"n": n, "data": data}

    expected = result_of(run_stepped(shape, entry, []))

    assert expected["status"] == "completed"
    assert result_of(run_stepped(shape, entry, choices)) == expected


# What a batch emits has its ids from the first message of the batch, whichever that is.
@given(flows(confluent=True, policies=False), numbers, choices)
def test_every_schedule_of_a_confluent_flow_gives_the_same_ids(shape: FlowShape, n: int, choices: list[int]) -> None:
    assert ids_of(run_stepped(shape, {"n": n}, choices)) == ids_of(run_stepped(shape, {"n": n}, []))


# An interval would pass in real time here.
@given(flows(confluent=True).filter(is_quick), numbers)
def test_threads_give_the_same_result_as_steps(shape: FlowShape, n: int) -> None:
    on_threads = run_on(PooledDispatcher(3), shape, n)

    assert result_of(on_threads) == result_of(run_on(SteppedDispatcher(), shape, n))


@given(chains, numbers, choices)
def test_ordered_replicas_give_the_same_sequences_as_one(shape: FlowShape, n: int, choices: list[int]) -> None:
    single = replace(shape, routines=tuple(replace(routine, replicas=1) for routine in shape.routines))

    expected = in_order(run_stepped(single, {"n": n}, []))

    assert in_order(run_stepped(shape, {"n": n}, choices)) == expected
