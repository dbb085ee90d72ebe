"""A runtime after a fork, in the child; tests/process has the real thing, and this has each sentence."""

from collections.abc import Callable
from typing import Any

import pytest

from actors.testing.stepped_dispatcher import SteppedDispatcher
from flowforge.flow import Flow
from flowforge.job_errors import RuntimeForkedError
from flowforge.routine import Routine
from flowforge.runtime import Runtime

Chain = Callable[..., Flow]


def idle(self: Routine) -> None:
    """Does nothing."""


@pytest.mark.parametrize(
    ("use", "what"),
    [
        (lambda runtime, job, flow: runtime.exec(flow), "start a job"),
        (lambda runtime, job, flow: runtime.resume_job(job), "look up a job"),
        (lambda runtime, job, flow: runtime.get_job("one"), "look up a job"),
        (lambda runtime, job, flow: runtime.list_jobs(), "list jobs"),
        (lambda runtime, job, flow: runtime.statistics(), "list jobs"),
        (lambda runtime, job, flow: runtime.post(job, "a", "input", {}), "look up a job"),
        (lambda runtime, job, flow: runtime.wait_until_all_jobs_finished(), "wait for jobs"),
        (lambda runtime, job, flow: runtime.shutdown(), "be shut down"),
        (lambda runtime, job, flow: job.wait(), "wait for a job"),
        (lambda runtime, job, flow: job.pause(), "pause a job"),
        (lambda runtime, job, flow: job.cancel(), "cancel a job"),
    ],
)
def test_each_use_of_a_runtime_is_refused_in_a_forked_child(chain: Chain, use: Any, what: str) -> None:
    runtime = Runtime(dispatcher=SteppedDispatcher())
    flow = chain(idle)
    job = runtime.exec(flow, job_id="one", keep_alive=True)
    runtime._give_up_in_child()  # noqa: SLF001 - what a fork calls in the child

    with pytest.raises(
        RuntimeForkedError,
        match=rf"^The runtime belongs to the parent of this process, so it cannot {what} here\. Create a new Runtime",
    ):
        use(runtime, job, flow)
