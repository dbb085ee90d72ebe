"""A job that is paused at any step, saved, loaded and resumed, any number of times, ends as one that never paused."""

import json
from collections import Counter
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from actors.testing.stepped_dispatcher import SteppedDispatcher
from flowforge.job_state import JobState
from flowforge.runtime import Runtime
from flowforge.stores.codec import Codec, canonical
from flowforge.stores.json_form import from_json
from flowforge.testing.flow_shapes import FlowShape
from flowforge.testing.flow_strategies import MAX_N, flows, payloads
from property_tests.stepping import result_of, take_steps

pauses = st.lists(st.integers(0, 40), min_size=1, max_size=5)
choices = st.lists(st.integers(0, 9), max_size=40)


def outcome(job: JobState) -> dict[str, Any]:
    """What a user can see of a job at its end, but for times, attempts, and the order of what has no order."""
    entries = Counter(
        (entry.routine_id, entry.event, canonical(entry.payload)) for entry in job.execution_history if entry.event
    )
    return {**result_of(job), "emitted": entries}


def run_at_once(shape: FlowShape, entry: dict[str, Any]) -> JobState:
    with Runtime(dispatcher=SteppedDispatcher()) as runtime:
        job = runtime.exec(shape.build(), "r0", entry, job_id="job")
        assert job.wait()
    return job


def run_with_pauses(shape: FlowShape, entry: dict[str, Any], pauses: list[int], choices: list[int]) -> JobState:
    """After so many steps each, the job is paused, saved, loaded, and resumed in another runtime."""
    job: JobState | None = None
    for steps in pauses:
        dispatcher = SteppedDispatcher()
        with Runtime(dispatcher=dispatcher, drains_at_exit=False) as runtime:
            if job is None:
                job = runtime.exec(shape.build(), "r0", entry, job_id="job")
            else:
                runtime.exec(shape.build(), job_state=job)
            take_steps(dispatcher, [*choices, *[0] * steps][:steps])
            job.pause("between", checkpoint={"steps": (steps, len(pauses))})
        if job.status != "paused":
            return job
        job = reloaded(job)
        assert job.checkpoint == {"steps": (steps, len(pauses))}
    assert job is not None
    with Runtime(dispatcher=SteppedDispatcher()) as runtime:
        runtime.exec(shape.build(), job_state=job)
        assert job.wait()
    return job


def reloaded(job: JobState) -> JobState:
    tree = json.loads(json.dumps(job.serialize()))
    loaded = JobState.deserialize(tree)
    # Read, for a set may be written in another order.
    assert from_json(loaded.serialize(), Codec()) == from_json(tree, Codec())
    return loaded


@given(flows(confluent=True), st.integers(0, MAX_N), payloads(), pauses, choices)
def test_pausing_saving_and_resuming_equals_never_pausing(
    shape: FlowShape, n: int, data: dict[str, Any], pauses: list[int], choices: list[int]
) -> None:
    entry = {"n": n, "data": data}

    paused = run_with_pauses(shape, entry, pauses, choices)

    assert outcome(paused) == outcome(run_at_once(shape, entry))
