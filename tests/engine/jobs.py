"""What many tests ask of a job."""

from typing import Any

from flowforge.job_state import JobState
from flowforge.runtime import Runtime

__all__ = ["finished", "found", "numbers"]


def found(runtime: Runtime, job_id: str = "job") -> JobState:
    job = runtime.get_job(job_id)
    assert job is not None
    return job


def finished(job: JobState) -> JobState:
    job.close()
    assert job.wait(30)
    return job


def numbers(job: JobState, output: str = "a.out") -> list[Any]:
    """What was emitted as `n` on an event without a connection."""
    return [payload["n"] for payload in job.outputs.get(output, [])]
