"""A step that takes too long fails; what it still does is refused."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from typing import Any

from actors.testing.stepped_dispatcher import SteppedDispatcher
from flowforge.error_handler import ErrorHandler
from flowforge.flow import Flow
from flowforge.job_state import JobState
from flowforge.records import JobMoved
from flowforge.routine import Routine
from flowforge.runtime import Runtime

Chain = Callable[..., Flow]
Run = Callable[..., JobState]

TIMEOUT = 0.02


def slow_flow(chain: Chain, handler: Any, timeout: float | None, **options: Any) -> Flow:
    flow = chain(handler, **options)
    flow.routines["a"].set_timeout(timeout)
    return flow


async def sleep_ten(self: Routine) -> None:
    self.emit("out", n=1)
    await asyncio.sleep(10)


class Blocker:
    """A sync handler that holds its thread until it is let go, the first time it is called."""

    def __init__(self, times: int = 1) -> None:
        self.times = times
        self.may_end = threading.Event()
        self.has_ended = threading.Event()
        self.late: Callable[[Routine], Any] = lambda routine: routine.emit("out", n="late")

    @property
    def handler(self) -> Callable[..., None]:
        def block(routine: Routine) -> None:
            if self.times:
                self.times -= 1
                self.may_end.wait(30)
                try:
                    self.late(routine)
                finally:
                    self.has_ended.set()
            else:
                routine.emit("out", n="in time")

        return block


def test_an_async_handler_is_cancelled_at_its_timeout(
    stepped: Runtime, dispatcher: SteppedDispatcher, chain: Chain
) -> None:
    job = stepped.exec(slow_flow(chain, sleep_ten, 2.0))
    job.wait()

    assert (job.status, dispatcher.clock.monotonic(), job.outputs) == ("failed", 2.0, {})
    assert job.error is not None
    assert job.error.text == "A step of the routine 'a' took longer than 2.0 seconds."


def test_a_step_that_ends_in_time_is_left_alone(stepped: Runtime, chain: Chain) -> None:
    job = stepped.exec(slow_flow(chain, sleep_ten, 11.0))
    job.wait()

    assert (job.status, job.outputs) == ("completed", {"a.out": [{"n": 1}]})


def test_a_timeout_is_an_error_for_the_error_handler(stepped: Runtime, chain: Chain) -> None:
    job = stepped.exec(slow_flow(chain, sleep_ten, 2.0, error_handler=ErrorHandler("skip")))
    job.wait()

    (letter,) = job.dead_letters
    assert letter.error is not None
    assert (job.status, letter.error.type) == ("completed", "StepTimeoutError")
    assert letter.error.text.startswith("A step of the routine 'a' took longer than ")


def test_a_timed_out_message_is_retried(stepped: Runtime, dispatcher: SteppedDispatcher, chain: Chain) -> None:
    sleeps = [10.0, 1.0]

    async def sleep(self: Routine) -> None:
        await asyncio.sleep(sleeps.pop(0))
        self.emit("out", n=1)

    flow = slow_flow(chain, sleep, 2.0)
    flow.routines["a"].set_as_critical(retry_delay=5.0)
    job = stepped.exec(flow)
    job.wait()

    assert (job.outputs, dispatcher.clock.monotonic()) == ({"a.out": [{"n": 1}]}, 2.0 + 5.0 + 1.0)


def test_an_async_generator_has_its_timeout_anew_after_each_yield(stepped: Runtime, chain: Chain) -> None:
    async def steady(self: Routine) -> AsyncIterator[None]:
        for number in range(3):
            await asyncio.sleep(1.5)
            self.state["n"] = number
            yield
        await asyncio.sleep(10)

    job = stepped.exec(slow_flow(chain, steady, 2.0))
    job.wait()

    assert (job.status, job.get_routine_state("a")) == ("failed", {"n": 2})


def test_an_attempt_that_lingers_does_not_disarm_the_next_ones_timeout(
    stepped: Runtime, dispatcher: SteppedDispatcher, chain: Chain
) -> None:
    calls: list[int] = []

    async def linger(self: Routine) -> None:
        calls.append(1)
        try:
            await asyncio.sleep(100)
        except asyncio.CancelledError:
            if len(calls) == 1:
                await asyncio.sleep(1.5)
            ended.append(len(calls))
            raise

    ended: list[int] = []
    flow = slow_flow(chain, linger, 2.0)
    flow.routines["a"].set_as_critical(max_retries=1, retry_delay=0.5)
    job = stepped.exec(flow)
    dispatcher.run_until_idle()

    assert (job.status, len(ended), dispatcher.clock.monotonic()) == ("failed", 2, 4.5)
    assert job.error is not None
    assert "Its thread still runs" not in job.error.text


def test_a_sync_handler_fails_at_its_timeout_and_is_reported(chain: Chain) -> None:
    blocker = Blocker()
    with Runtime(2) as runtime:
        job = runtime.exec(slow_flow(chain, blocker.handler, TIMEOUT))
        assert job.wait(30)
        reported = runtime.statistics().steps_still_running
        blocker.may_end.set()

    assert job.error is not None
    assert "Its thread still runs and what it returns will be refused." in job.error.text
    assert [step.routine_id for step in reported] == ["a"]


def test_the_thread_is_reported_no_longer_once_it_came_back(chain: Chain) -> None:
    blocker = Blocker()
    with Runtime(1) as runtime:
        job = runtime.exec(slow_flow(chain, blocker.handler, TIMEOUT, error_handler=ErrorHandler("skip")))
        blocker.late = lambda routine: None
        threading.Timer(0.1, blocker.may_end.set).start()
        assert job.wait(30)
        after = runtime.exec(chain(lambda self: None))
        assert after.wait(30)

        assert runtime.statistics().steps_still_running == ()


def test_the_late_result_of_a_sync_handler_is_refused(chain: Chain) -> None:
    blocker = Blocker()
    flow = slow_flow(chain, blocker.handler, TIMEOUT)
    flow.routines["a"].set_as_critical(retry_delay=0.0)
    with Runtime(2) as runtime:
        job = runtime.exec(flow)
        assert job.wait(30)
        blocker.may_end.set()
        assert blocker.has_ended.wait(30)

    assert (job.status, job.outputs) == ("completed", {"a.out": [{"n": "in time"}]})


def test_an_abandoned_step_cannot_change_the_state_of_the_next_attempt(chain: Chain) -> None:
    blocker = Blocker()
    blocker.late = lambda routine: flow.routines["a"].state.update(late=1)
    second_runs = threading.Event()

    def handle(self: Routine) -> None:
        if blocker.times:
            blocker.handler(self)
            return
        self.state["second"] = 1
        blocker.may_end.set()
        blocker.has_ended.wait(30)
        second_runs.set()

    flow = slow_flow(chain, handle, 0.5)
    flow.routines["a"].set_as_critical(retry_delay=0.0)
    with Runtime(2) as runtime:
        job = runtime.exec(flow)
        assert job.wait(30)

    assert second_runs.is_set()
    assert job.get_routine_state("a") == {"second": 1}


def test_an_abandoned_step_cannot_update_the_routines_state(chain: Chain) -> None:
    blocker = Blocker()
    blocker.late = lambda routine: jobs[0].update_routine_state("a", {"late": 1})

    def handle(self: Routine) -> None:
        if blocker.times:
            jobs.append(self.job_state)
            blocker.handler(self)
            return
        self.state["second"] = 1
        blocker.may_end.set()
        blocker.has_ended.wait(30)

    jobs: list[JobState] = []
    flow = slow_flow(chain, handle, 0.5)
    flow.routines["a"].set_as_critical(retry_delay=0.0)
    with Runtime(2) as runtime:
        job = runtime.exec(flow)
        assert job.wait(30)

    assert job.get_routine_state("a") == {"second": 1}


def test_a_handler_is_told_that_its_time_is_over(chain: Chain) -> None:
    blocker = Blocker()
    told: list[bool] = []
    blocker.late = lambda routine: told.append(routine.cancelled)
    with Runtime(2) as runtime:
        job = runtime.exec(slow_flow(chain, blocker.handler, TIMEOUT))
        job.wait(30)
        blocker.may_end.set()
        assert blocker.has_ended.wait(30)

    assert told == [True]


def test_a_job_fails_at_its_own_timeout(stepped: Runtime, dispatcher: SteppedDispatcher, chain: Chain) -> None:
    job = stepped.exec(chain(sleep_ten), timeout=3.0)
    job.wait()

    assert (job.status, dispatcher.clock.monotonic()) == ("failed", 3.0)
    assert job.error is not None
    assert "took longer than its timeout of 3.0 seconds" in job.error.text


def test_the_flows_timeout_is_that_of_its_jobs(stepped: Runtime, dispatcher: SteppedDispatcher, chain: Chain) -> None:
    job = stepped.exec(chain(sleep_ten, timeout=4.0))
    job.wait()

    assert (job.status, dispatcher.clock.monotonic()) == ("failed", 4.0)


def test_a_jobs_timeout_does_not_count_its_pauses(
    stepped: Runtime, dispatcher: SteppedDispatcher, chain: Chain
) -> None:
    job = stepped.exec(chain(lambda self: None), timeout=10.0, entry_params={}, keep_alive=True)
    job.wait(4.0)
    stepped.pause_job(job)
    dispatcher.clock.advance(100.0)
    stepped.resume_job(job)

    assert not job.wait(5.0)
    assert job.wait(1.0)
    assert job.status == "failed"


def test_a_job_that_timed_out_keeps_its_message(stepped: Runtime, chain: Chain) -> None:
    job = stepped.exec(chain(sleep_ten), timeout=3.0)
    job.wait()

    assert len(job.data.pending["a", "input"]) == 1


def test_a_job_that_timed_out_is_resumed_while_its_old_step_runs(chain: Chain) -> None:
    blocker = Blocker()
    flow = chain(blocker.handler)
    with Runtime(2) as runtime:
        job = runtime.exec(flow, timeout=TIMEOUT)
        assert job.wait(30)
        timed_out = job.status
        runtime.exec(flow, job_state=job)
        assert job.wait(30)
        blocker.may_end.set()
        assert blocker.has_ended.wait(30)

    assert (timed_out, job.status, job.outputs) == ("failed", "completed", {"a.out": [{"n": "in time"}]})


def test_a_job_that_ends_in_time_leaves_no_timer(stepped: Runtime, dispatcher: SteppedDispatcher, chain: Chain) -> None:
    job = stepped.exec(slow_flow(chain, lambda self: None, 50.0), timeout=100.0)
    job.wait()
    dispatcher.run_until_idle()

    assert dispatcher.clock.monotonic() == 0.0
    moves = [record.status for record in job.view.history if isinstance(record, JobMoved)]
    assert moves == ["completed"]
