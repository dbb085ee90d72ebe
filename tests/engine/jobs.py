"""What many tests ask of a job."""

from collections.abc import Callable
from typing import Any

from flowforge.error_handler import ErrorHandler, ErrorStrategy
from flowforge.flow import Flow
from flowforge.job_state import JobState
from flowforge.routine import Routine
from flowforge.runtime import Runtime

__all__ = ["finished", "found", "numbers", "picky"]


def picky(accepted: set[int], at_stop: Callable[[], object] = lambda: None) -> Flow:
    """A flow whose routine `a` passes these numbers on, makes dead letters of all others, and has a hook at its end."""

    class Picky(Routine):
        def __init__(self) -> None:
            super().__init__()
            self.define_slot("input", handler=self.handle)
            self.define_event("out", ["n"])

        def handle(self, n: int) -> None:
            if n not in accepted:
                raise ValueError(n)
            self.emit("out", n=n)

        def on_stop(self) -> None:
            at_stop()

    flow = Flow("flow")
    flow.add_routine(Picky(), "a")
    flow.set_error_handler(ErrorHandler(ErrorStrategy.SKIP))
    return flow


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
