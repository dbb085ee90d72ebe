"""Faults that were found where coroutines and generators meet timeouts, cancels and their contexts."""

import asyncio
import contextvars
import threading
import weakref
from collections.abc import AsyncIterator, Callable, Coroutine, Generator, Iterator
from typing import Any

import pytest

from actors.dispatcher import Dispatcher
from actors.pooled_dispatcher import PooledDispatcher
from actors.testing.stepped_dispatcher import SteppedDispatcher
from flowforge.error_handler import ErrorHandler
from flowforge.flow import Flow
from flowforge.job_state import JobState
from flowforge.routine import Routine
from flowforge.runtime import Runtime

Chain = Callable[..., Flow]
Run = Callable[..., JobState]

PLACE = contextvars.ContextVar("PLACE", default="outside")


@pytest.fixture(params=["stepped", "pooled"])
def any_dispatcher(request: pytest.FixtureRequest) -> Iterator[Dispatcher]:
    dispatcher: Dispatcher = SteppedDispatcher() if request.param == "stepped" else PooledDispatcher(2)
    yield dispatcher
    dispatcher.shutdown(timeout=30)


def test_who_is_told_of_a_coroutines_end_may_enter_its_context_at_once(any_dispatcher: Dispatcher) -> None:
    context = contextvars.copy_context()
    context.run(PLACE.set, "inside")
    seen: list[object] = []
    has_ended = threading.Event()

    async def work() -> str:
        return PLACE.get()

    def enter(result: object, error: BaseException | None) -> None:
        try:
            seen.extend([result, error, PLACE.get(), context.run(PLACE.get)])
        except RuntimeError as entered_already:
            seen.append(entered_already)
        has_ended.set()

    any_dispatcher.run_async(work(), enter, context)

    assert any_dispatcher.wait_for(has_ended, 30)
    assert seen == ["inside", None, "outside", "inside"]


def test_an_async_generator_of_many_segments_never_fails(chain: Chain) -> None:
    async def count(self: Routine, n: int) -> AsyncIterator[None]:
        for number in range(n):
            self.state["n"] = number
            yield

    with Runtime(8) as runtime:
        jobs = [runtime.exec(chain(count), entry_params={"n": 200}) for _ in range(6)]
        assert all(job.wait(60) for job in jobs)

    assert [(job.status, job.error) for job in jobs] == [("completed", None)] * 6


def test_an_async_generator_keeps_its_context_between_yields(run: Run, chain: Chain) -> None:
    async def set_and_reset(self: Routine) -> AsyncIterator[None]:
        token = PLACE.set("inside")
        yield
        self.emit("out", place=PLACE.get())
        PLACE.reset(token)

    job = run(chain(set_and_reset))

    assert (job.error, job.outputs) == (None, {"a.out": [{"place": "inside"}]})


def test_a_coroutine_handed_over_after_the_cancel_is_cancelled(
    stepped: Runtime, dispatcher: SteppedDispatcher, chain: Chain
) -> None:
    async def sleep() -> None:
        await asyncio.sleep(3600.0)

    def cancel_and_hand_over(self: Routine) -> Coroutine[Any, Any, None]:
        self.job_state.cancel()
        return sleep()

    job = stepped.exec(chain(cancel_and_hand_over))
    dispatcher.run_until_idle()

    assert (job.status, job.is_resting, dispatcher.clock.monotonic()) == ("cancelled", True, 0.0)


def test_a_generator_handed_over_after_its_timeout_leaves_the_next_attempt_alone(chain: Chain) -> None:
    may_end = threading.Event()
    has_gone = threading.Event()

    def segments(self: Routine, attempt: int) -> Generator[None]:
        if attempt > 1:
            may_end.set()
            has_gone.wait(30)
        for number in range(3):
            self.state["n"] = number
            self.emit("out", attempt=attempt, n=number)
            yield

    def hand_over(self: Routine) -> Generator[None]:
        attempts.append(1)
        stream = segments(self, len(attempts))
        if len(attempts) == 1:
            weakref.finalize(stream, has_gone.set)
            may_end.wait(30)
        return stream

    attempts: list[int] = []
    flow = chain(hand_over)
    flow.routines["a"].set_timeout(0.5)
    flow.routines["a"].set_error_handler(ErrorHandler("retry", retry_delay=0.0, max_retries=100))
    with Runtime(4) as runtime:
        job = runtime.exec(flow)
        assert job.wait(60)

    last = len(attempts)
    assert job.status == "completed"
    assert job.outputs["a.out"] == [{"attempt": last, "n": number} for number in range(3)]


def test_a_pause_with_a_timeout_comes_to_rest_whatever_its_async_steps_do(chain: Chain) -> None:
    async def pass_on(self: Routine, n: int = 0) -> None:
        await asyncio.sleep(0)
        self.emit("out", n=n + 1)

    flow = chain(pass_on, pass_on)
    flow.connect("b.out", "a.input")
    with Runtime(2) as runtime:
        job = runtime.exec(flow, entry_params={"n": 0}, entry_routine_id="a")
        for _ in range(100):
            job.pause(timeout=0.0)
            assert job.wait(30)
            runtime.resume_job(job)
        job.cancel()


def test_an_async_step_cancelled_by_a_pause_may_end_after_its_run_was_let_go(
    stepped: Runtime, dispatcher: SteppedDispatcher, chain: Chain
) -> None:
    async def linger(self: Routine) -> None:
        try:
            await asyncio.sleep(100.0)
        finally:
            await asyncio.sleep(5.0)
            late.append(self.cancelled)

    late: list[bool] = []
    job = stepped.exec(chain(linger))
    job.wait(1.0)
    job.pause(timeout=1.0)
    dispatcher.run_until_idle()

    assert (job.status, late) == ("paused", [True])
