"""Random flows of every sort come to rest by themselves, within their bound, however small their queues are."""

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from actors.testing.stepped_dispatcher import SteppedDispatcher
from flowforge.flow import Flow
from flowforge.job_state import JobState
from flowforge.records import StepCommitted, StepFailed
from flowforge.runtime import Runtime
from flowforge.testing.flow_shapes import FlowShape
from flowforge.testing.flow_strategies import MAX_N, flows
from property_tests.stepping import take_steps

choices = st.lists(st.integers(0, 9), max_size=100)
numbers = st.integers(0, MAX_N)

# Of the dispatcher: hooks, the two halves of a step, timers, the event loop and the supervisor take turns of their own.
TURNS_PER_CALL = 12


def rest_within(flow: Flow, n: int, choices: list[int], turns: int) -> JobState:
    """Run a job by these choices, then in order; it must rest before it has taken that many turns."""
    dispatcher = SteppedDispatcher()
    with Runtime(dispatcher=dispatcher) as runtime:
        job = runtime.exec(flow, "r0", {"n": n}, job_id="same")
        take_steps(dispatcher, [*choices, *[0] * (turns - len(choices))])
        assert job.is_resting, f"{job} has not come to rest in {turns} turns"
    return job


def turns_of(shape: FlowShape, n: int) -> int:
    return 100 + TURNS_PER_CALL * shape.most_calls(n)


def with_bound(shape: FlowShape, bound: int) -> FlowShape:
    return replace(shape, routines=tuple(replace(routine, bound=bound) for routine in shape.routines))


def calls_of(job: JobState) -> int:
    return sum(isinstance(record, StepCommitted | StepFailed) for record in job.view.history)


@given(flows(), numbers, choices)
def test_a_drawn_flow_rests_within_the_calls_that_its_shape_says(shape: FlowShape, n: int, choices: list[int]) -> None:
    job = rest_within(shape.build(), n, choices, turns_of(shape, n))

    assert calls_of(job) <= shape.most_calls(n)


@given(flows(bounds=False), numbers, st.integers(1, 2), choices)
def test_backpressure_never_deadlocks_however_small_the_bounds(
    shape: FlowShape, n: int, bound: int, choices: list[int]
) -> None:
    tight = with_bound(shape, bound)

    job = rest_within(tight.build(), n, choices, turns_of(tight, n))

    assert job.status in {"completed", "failed"}


@given(flows(confluent=True, bounds=False), numbers, choices)
def test_small_bounds_change_nothing_that_a_confluent_flow_does(shape: FlowShape, n: int, choices: list[int]) -> None:
    loose = rest_within(shape.build(), n, [], turns_of(shape, n))

    tight = rest_within(with_bound(shape, 1).build(), n, choices, turns_of(shape, n))

    assert tight.routine_states == loose.routine_states
    assert dict(tight.shared_data) == dict(loose.shared_data)


@given(flows(), numbers)
def test_a_flow_that_was_kept_as_data_runs_like_the_one_it_was(shape: FlowShape, n: int) -> None:
    flow = shape.build()

    kept = Flow.deserialize(flow.serialize(), allowed_modules=["flowforge.testing"])

    turns = turns_of(shape, n)
    assert rest_within(kept, n, [], turns).outputs == rest_within(flow, n, [], turns).outputs
