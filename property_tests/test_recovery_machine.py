"""Recovery under random flows: paused after any choices, what the log tells is what the job knows."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from actors.testing.stepped_dispatcher import SteppedDispatcher
from benchmarks.stepped import flushing_store
from flowforge._engine.job_data import JobData, Retry
from flowforge._engine.recovery import recover
from flowforge._engine.view import JobView
from flowforge.job_state import JobState
from flowforge.job_status import JobStatus
from flowforge.runtime import Runtime
from flowforge.testing.flow_shapes import FlowShape
from flowforge.testing.flow_strategies import MAX_N, flows
from property_tests.stepping import take_steps

JOB = "job"
choices = st.lists(st.integers(0, 9), max_size=60)


class Durable:
    """A runtime with a store in memory, whose choices are made by the test."""

    def __init__(self, shape: FlowShape) -> None:
        self.dispatcher = SteppedDispatcher()
        self.store = flushing_store(self.dispatcher)
        self.flow = shape.build()
        self.runtime = Runtime(dispatcher=self.dispatcher, store=self.store, flows=[self.flow], drains_at_exit=False)

    def recovered(self) -> tuple[JobData, JobView, bool]:
        self.store.flush()
        return recover(self.store.records(JOB), JOB, 10_000, 10_000)

    def compare(self, job: JobState) -> None:
        """What the log tells is what the job knows; a retry that is due already may be told still."""
        data, view, was_running = self.recovered()
        assert not was_running
        assert view.status is job.status
        for name in JobData.__slots__:
            if name != "retries":
                assert getattr(data, name) == getattr(job.data, name), name
        now = self.dispatcher.clock.now()
        assert later(data.retries, now) == later(job.data.retries, now)
        assert states(view) == states(job.view)


def later(retries: dict[int, Retry], now: float) -> dict[int, Retry]:
    return {message: retry for message, retry in retries.items() if retry.due > now}


def states(view: JobView) -> dict[tuple[str, int], Any]:
    return {owner: tree for owner, tree in view.trees.items() if any(tree.values())}


@given(flows(), st.integers(0, MAX_N), st.lists(choices, min_size=1, max_size=3))
def test_paused_after_any_choices_the_log_tells_what_the_job_knows(
    shape: FlowShape, n: int, rounds: list[list[int]]
) -> None:
    durable = Durable(shape)
    job = durable.runtime.exec(durable.flow, "r0", {"n": n}, job_id=JOB)
    for picks in rounds:
        take_steps(durable.dispatcher, picks)
        job.pause()
        durable.compare(job)
        if job.status is not JobStatus.PAUSED:
            break
        durable.runtime.resume_job(job)

    durable.runtime.shutdown(timeout=0)


@given(flows(), st.integers(0, MAX_N), choices)
def test_the_log_of_a_job_that_has_ended_tells_all_of_it(shape: FlowShape, n: int, picks: list[int]) -> None:
    durable = Durable(shape)
    job = durable.runtime.exec(durable.flow, "r0", {"n": n}, job_id=JOB)
    take_steps(durable.dispatcher, picks)
    assert job.wait()

    durable.compare(job)
    assert durable.recovered()[1].outputs == job.view.outputs
    durable.runtime.shutdown(timeout=0)


@given(flows(), st.integers(0, MAX_N), choices)
def test_every_prefix_of_a_log_is_a_job(shape: FlowShape, n: int, picks: list[int]) -> None:
    durable = Durable(shape)
    durable.runtime.exec(durable.flow, "r0", {"n": n}, job_id=JOB)
    take_steps(durable.dispatcher, picks)
    durable.store.flush()
    records = durable.store.records(JOB)

    for length in range(1, len(records) + 1):
        data, view, was_running = recover(records[:length], JOB, 10_000, 10_000)
        assert (data.position, data.epoch) == (length, records[length - 1].epoch)
        assert was_running == (view.reason == "interrupted")

    durable.runtime.shutdown(timeout=0)
