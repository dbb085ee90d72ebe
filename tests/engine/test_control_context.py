"""What a handler may not do, and what it finds around itself."""

import threading
from collections.abc import Callable
from typing import Any

import pytest

from flowforge.flow import Flow
from flowforge.job_state import JobState
from flowforge.routine import Routine
from flowforge.routine_errors import OutsideStepError
from flowforge.runtime import Runtime

Chain = Callable[..., Flow]
Run = Callable[..., JobState]


def error_of(job: JobState) -> str:
    assert job.error is not None
    return f"{job.error.type}: {job.error.text}"


def test_waiting_for_a_job_inside_a_handler_raises(runtime: Runtime, chain: Chain) -> None:
    other = runtime.exec(chain(lambda self: None), keep_alive=True)

    job = runtime.exec(chain(lambda self: other.wait(1.0)))
    job.wait(30)

    assert error_of(job).startswith(f"WaitInStepError: A handler cannot wait for the job '{other.job_id}'.")


def test_waiting_for_ones_own_job_raises(run: Run, chain: Chain) -> None:
    assert error_of(run(chain(lambda self: self.job_state.wait()))).startswith("WaitInStepError")


def test_executing_a_flow_inside_a_handler_raises(run: Run, chain: Chain) -> None:
    inner = chain(lambda self: None)

    assert "WaitInStepError" in error_of(run(chain(lambda self: inner.execute())))


def test_waiting_for_all_jobs_inside_a_handler_raises(runtime: Runtime, chain: Chain) -> None:
    job = runtime.exec(chain(lambda self: runtime.wait_until_all_jobs_finished(1.0)))
    job.wait(30)

    assert "WaitInStepError" in error_of(job)


def test_shutting_the_runtime_down_inside_a_handler_raises(runtime: Runtime, chain: Chain) -> None:
    job = runtime.exec(chain(lambda self: runtime.shutdown()))
    job.wait(30)

    assert "WaitInStepError" in error_of(job)
    assert runtime.exec(chain(lambda self: None)).wait(30)


def test_waiting_inside_an_async_handler_raises_too(runtime: Runtime, chain: Chain) -> None:
    other = runtime.exec(chain(lambda self: None), keep_alive=True)

    async def wait(self: Routine) -> None:
        await other.wait_async(1.0)

    job = runtime.exec(chain(wait))
    job.wait(30)

    assert "WaitInStepError" in error_of(job)


def test_waiting_in_on_start_raises(runtime: Runtime) -> None:
    other = Flow("other")
    other.add_routine(Silent(), "a")
    kept = runtime.exec(other, keep_alive=True)

    class Waiting(Silent):
        def on_start(self) -> None:
            kept.wait(1.0)

    flow = Flow("flow")
    flow.add_routine(Waiting(), "a")
    job = runtime.exec(flow)
    job.wait(30)

    assert job.status == "failed"
    assert "Wait" in error_of(job)


class Silent(Routine):
    def __call__(self, **payload: Any) -> None: ...


def test_a_refused_wait_fails_one_step_only(run: Run, chain: Chain) -> None:
    def wait_at_two(self: Routine, n: int) -> None:
        if n == 2:
            self.job_state.wait()
        self.emit("out", n=n)

    def send(self: Routine) -> None:
        for n in range(4):
            self.emit("out", n=n)

    flow = chain(send, wait_at_two)
    flow.routines["b"].set_as_optional()
    job = run(flow)

    assert [payload["n"] for payload in job.outputs["b.out"]] == [0, 1, 3]


def test_a_thread_of_a_handler_may_wait_for_another_job(chain: Chain) -> None:
    def hand_out(self: Routine) -> None:
        thread = threading.Thread(target=lambda: waited.append(other.wait(30)))
        thread.start()
        thread.join()

    waited: list[bool] = []
    with Runtime(2) as runtime:
        other = runtime.exec(chain(lambda self: None))
        assert runtime.exec(chain(hand_out)).wait(30)

    assert waited == [True]


def test_job_state_outside_a_step_is_an_error(chain: Chain) -> None:
    with pytest.raises(OutsideStepError, match=r"The job_state of the routine 'a' was used outside a step. Read it"):
        chain(lambda self: None).routines["a"].job_state  # noqa: B018 - the property raises


def test_random_outside_a_step_is_an_error(chain: Chain) -> None:
    with pytest.raises(OutsideStepError, match=r"The random of the routine 'a' was used outside a step. Use it while"):
        chain(lambda self: None).routines["a"].random  # noqa: B018 - the property raises


def test_idempotency_key_outside_a_step_is_an_error(chain: Chain) -> None:
    with pytest.raises(OutsideStepError, match=r"The idempotency_key of the routine 'a' was used outside a step. Ask"):
        chain(lambda self: None).routines["a"].idempotency_key()


def test_send_output_outside_a_step_is_an_error(chain: Chain) -> None:
    with pytest.raises(OutsideStepError, match=r"The output 'x' of the routine 'a' was used outside a step"):
        chain(lambda self: None).routines["a"].send_output("x")


def test_outside_a_step_a_routine_is_not_cancelled_and_has_the_time(chain: Chain) -> None:
    routine = chain(lambda self: None).routines["a"]

    assert not routine.cancelled
    assert routine.now() > 1_700_000_000


def test_a_handler_may_build_and_run_a_flow_of_its_own_elsewhere(runtime: Runtime, chain: Chain) -> None:
    def build(self: Routine) -> None:
        inner = Flow("inner")
        inner.add_routine(Silent(), "x")
        self.emit("out", n=len(inner.routines), job=runtime.exec(inner).flow_id)

    job = runtime.exec(chain(build))
    job.wait(30)

    assert job.outputs["a.out"] == [{"n": 1, "job": "inner"}]


def test_a_logic_emits_through_its_template(run: Run, chain: Chain) -> None:
    flow = chain(lambda self: None)
    routine = flow.routines["a"]
    routine.set_logic(lambda data, message, job: routine.emit("out", routines=list(job.routine_states)))

    assert run(flow).outputs["a.out"] == [{"routines": ["a"]}]
