"""A command to a job that Ctrl-C interrupts on the main thread has been done wholly, or not at all."""

from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from flowforge.error_handler import ErrorHandler, ErrorStrategy
from flowforge.flow import Flow
from flowforge.flow_registry import FlowRegistry
from flowforge.job_state import JobState
from flowforge.records import MessageGivenUp
from flowforge.routine import Routine
from flowforge.runtime import Runtime
from tests.engine.interrupts import each_interrupted

Chain = Callable[..., Flow]
Make = Callable[[Runtime], JobState]

AT_LEAST = 10
"""Places at which each command is interrupted."""


def pass_on_or_refuse(self: Routine, n: int) -> None:
    if n < 0:
        raise ValueError(n)
    self.emit("out", n=n)


@pytest.fixture(params=["in memory", "in a store"])
def runtime(request: pytest.FixtureRequest, chain: Chain, tmp_path: Path) -> Iterator[Runtime]:
    """A runtime with threads that knows a flow whose only routine gives up on negative numbers."""
    store = f"sqlite:///{tmp_path / 'jobs.db'}" if request.param == "in a store" else None
    registry = FlowRegistry()
    registry.register(chain(pass_on_or_refuse, error_handler=ErrorHandler(ErrorStrategy.SKIP)))
    with Runtime(2, registry, store=store) as runtime:
        yield runtime


def kept_open(runtime: Runtime) -> JobState:
    return runtime.exec("flow", keep_alive=True)


def fed(runtime: Runtime) -> JobState:
    job = kept_open(runtime)
    runtime.post(job, "a", "input", {"n": 1})
    return job


def paused(runtime: Runtime) -> JobState:
    job = fed(runtime)
    job.pause()
    return job


def with_a_letter(runtime: Runtime) -> JobState:
    job = runtime.exec("flow", "a", {"n": -1}, keep_alive=True)
    assert any(isinstance(record, MessageGivenUp) for record in job.subscribe())
    return job


def paused_with_a_letter(runtime: Runtime) -> JobState:
    job = with_a_letter(runtime)
    job.pause()
    return job


def completed_with_a_letter(runtime: Runtime) -> JobState:
    return ended(runtime, with_a_letter(runtime))


def ended(runtime: Runtime, job: JobState) -> JobState:
    """The job once it has gone on to its end."""
    if job.status == "paused":
        runtime.resume_job(job)
    job.close()
    assert job.wait(30)
    return job


def recorded(job: JobState) -> Counter[str]:
    """How many records of each kind tell of a job that rests."""
    return Counter(type(record).__name__ for record in job.subscribe())


def numbers(job: JobState) -> list[int]:
    return [payload["n"] for payload in job.outputs.get("a.out", [])]


@pytest.mark.parametrize("key", ["one", None])
def test_an_interrupted_post_was_taken_or_not(runtime: Runtime, key: str | None) -> None:
    def post(job: JobState) -> None:
        runtime.post(job, "a", "input", {"n": 1}, key=key)

    counts: list[int] = []
    for job in each_interrupted(1, lambda: kept_open(runtime), post):
        if key is not None:
            post(job)
        posted = recorded(ended(runtime, job))["MessagePosted"]
        counts.append(posted)
        assert (job.status, numbers(job)) == ("completed", [1] * posted)

    assert len(counts) >= AT_LEAST
    assert set(counts) == ({0, 1} if key is None else {1})


@pytest.mark.parametrize("make", [kept_open, fed, paused])
def test_an_interrupted_cancel_has_cancelled_or_not(runtime: Runtime, make: Make) -> None:
    count = 0
    for job in each_interrupted(1, lambda: make(runtime), JobState.cancel):
        job.cancel()
        assert job.wait(30)
        assert job.status == "cancelled"
        assert sum(getattr(record, "status", "") == "cancelled" for record in job.subscribe()) == 1
        count += 1

    assert count >= AT_LEAST


@pytest.mark.parametrize("make", [fed, paused])
def test_an_interrupted_close_has_closed_or_not(runtime: Runtime, make: Make) -> None:
    count = 0
    for job in each_interrupted(1, lambda: make(runtime), JobState.close):
        assert (ended(runtime, job).status, numbers(job)) == ("completed", [1])
        assert recorded(job)["JobClosed"] == 1
        count += 1

    assert count >= AT_LEAST


@pytest.mark.parametrize("pause", [JobState.pause, JobState.request_pause])
def test_an_interrupted_pause_has_begun_or_not(runtime: Runtime, pause: Callable[[JobState], object]) -> None:
    count = 0
    for job in each_interrupted(1, lambda: fed(runtime), pause):
        job.pause()
        assert job.status == "paused"
        assert (ended(runtime, job).status, numbers(job)) == ("completed", [1])
        count += 1

    assert count >= AT_LEAST


LETTERS = [with_a_letter, paused_with_a_letter, completed_with_a_letter]


@pytest.mark.parametrize("make", LETTERS)
def test_a_letter_whose_requeue_was_interrupted_is_there_once(runtime: Runtime, make: Make) -> None:
    """It is given up on again, so that there is one in the end, unless it was lost or doubled."""
    count = 0
    for job in each_interrupted(1, lambda: make(runtime), lambda job: job.requeue_dead_letter(f"{job.job_id}-dl1")):
        assert (ended(runtime, job).status, len(job.dead_letters)) == ("completed", 1)
        records = recorded(job)
        assert records["MessageGivenUp"] == records["DeadLetterRequeued"] + 1
        count += 1

    assert count >= AT_LEAST


@pytest.mark.parametrize("make", LETTERS)
def test_a_letter_whose_purge_was_interrupted_is_gone_or_not(runtime: Runtime, make: Make) -> None:
    count = 0
    for job in each_interrupted(1, lambda: make(runtime), lambda job: job.purge_dead_letter(f"{job.job_id}-dl1")):
        assert ended(runtime, job).status == "completed"
        assert len(job.dead_letters) + recorded(job)["DeadLetterPurged"] == 1
        count += 1

    assert count >= AT_LEAST


WRITES: dict[str, Callable[[JobState], object]] = {
    "assignment": lambda job: job.shared_data.update(k=1),
    "addition": lambda job: job.shared_data.add("k"),
    "log": lambda job: job.shared_log.append(1),
}


@pytest.mark.parametrize("write", WRITES)
@pytest.mark.parametrize("make", [kept_open, paused])
def test_an_interrupted_write_to_shared_data_was_made_or_not(runtime: Runtime, make: Make, write: str) -> None:
    count = 0
    for job in each_interrupted(1, lambda: make(runtime), WRITES[write]):
        seen = [*job.shared_data.values(), *job.shared_log]
        assert ended(runtime, job).status == "completed"
        assert seen == [1] * recorded(job)["SharedWritten"]
        count += 1

    assert count >= AT_LEAST
