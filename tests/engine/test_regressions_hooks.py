"""Faults that were found where hooks meet timeouts, retries, pauses and cancels."""

import asyncio
from collections.abc import Callable
from types import MethodType
from typing import Any

import pytest

from actors.testing.stepped_dispatcher import SteppedDispatcher
from flowforge.error_handler import ErrorHandler
from flowforge.flow import Flow
from flowforge.job_state import JobState
from flowforge.routine import Routine
from flowforge.runtime import Runtime

Chain = Callable[..., Flow]
Turn = Callable[..., None]


class Opened(Routine):
    """Writes its hooks, which take `seconds` each, into a diary."""

    def __init__(self, handler: Callable[..., Any], diary: list[str], seconds: float = 0.0) -> None:
        super().__init__()
        self.diary = diary
        self.seconds = seconds
        self.define_slot("input", handler=MethodType(handler, self))
        self.define_event("out")

    async def on_start(self) -> None:
        self.diary.append("start")
        await asyncio.sleep(self.seconds)
        self.diary.append("started")

    async def on_stop(self) -> None:
        self.diary.append("stop")
        await asyncio.sleep(self.seconds)
        self.diary.append("stopped")


class Fragile(Routine):
    """Its constructor raises from its `good`-th call on, and `bad` times; its handler takes longer than it may."""

    def __init__(self, built: list[int], good: int, bad: int) -> None:
        super().__init__()
        built.append(1)
        if good < len(built) <= good + bad:
            raise ConnectionError("no more connections")
        self.define_slot("input", handler=self.work)
        self.define_event("out")

    async def work(self) -> None:
        await asyncio.sleep(10.0)


async def too_long_for_one(self: Routine, n: int) -> None:
    self.emit("out", n=n)
    await asyncio.sleep(10.0 if n == 1 else 0.0)


def posted_to(runtime: Runtime, routine: Routine) -> JobState:
    """A job of that routine alone, which has gone as far as it can with the numbers 1 to 3."""
    flow = Flow("flow")
    flow.add_routine(routine, "a")
    job = runtime.exec(flow, keep_alive=True)
    for n in (1, 2, 3):
        runtime.post(job, "a", "input", {"n": n})
    job.close()
    job.wait()
    return job


def timed_out(strategy: str, **options: Any) -> Opened:
    routine = Opened(too_long_for_one, [])
    routine.set_timeout(2.0)
    routine.set_error_handler(ErrorHandler(strategy, **options))
    return routine


def test_a_timed_out_message_that_stops_the_job_is_not_tried_again_after_on_start(stepped: Runtime) -> None:
    routine = timed_out("stop")
    job = posted_to(stepped, routine)

    assert (job.status, job.outputs, routine.diary.count("start")) == ("failed", {}, 2)
    assert [message.payload["n"] for message in job.data.pending["a", "input"]] == [1, 2, 3]


def test_a_timed_out_message_that_is_skipped_is_not_tried_again_after_on_start(stepped: Runtime) -> None:
    job = posted_to(stepped, timed_out("skip"))

    assert [letter.payload["n"] for letter in job.dead_letters] == [1]
    assert (job.status, job.outputs) == ("completed", {"a.out": [{"n": 2}, {"n": 3}]})


def test_the_delay_of_a_retry_outlasts_the_on_start_of_a_renewal(
    stepped: Runtime, dispatcher: SteppedDispatcher
) -> None:
    began: list[float] = []

    async def work(self: Routine, n: int) -> None:
        began.append(dispatcher.clock.monotonic())
        await asyncio.sleep(10.0 if len(began) == 1 else 0.0)

    routine = Opened(work, [])
    routine.set_timeout(2.0)
    routine.set_error_handler(ErrorHandler("retry", retry_delay=30.0))
    job = posted_to(stepped, routine)

    assert (job.status, began) == ("completed", [0.0, 32.0, 32.0, 32.0])


@pytest.mark.parametrize("seconds", [0.0, 0.25])
def test_a_retry_that_a_pause_met_outlasts_the_on_start_of_the_resume(
    stepped: Runtime, dispatcher: SteppedDispatcher, chain: Chain, seconds: float
) -> None:
    began: list[float] = []

    def fail(self: Routine) -> None:
        began.append(dispatcher.clock.monotonic() - seconds)
        raise ValueError(self)

    routine = Opened(fail, [], seconds)
    routine.set_error_handler(ErrorHandler("retry", retry_delay=1.0, retry_backoff=1.0, max_retries=3))
    job = stepped.exec(chain(routine))
    job.wait(seconds + 0.5)
    job.pause()
    dispatcher.clock.advance_to(seconds + 0.5 + seconds)
    stepped.resume_job(job)
    job.wait()

    assert (job.status, began) == ("failed", [0.0, 1.0, 2.0, 3.0])


def test_a_constructor_that_raises_at_each_renewal_fails_the_job(stepped: Runtime, chain: Chain) -> None:
    routine = Fragile([], good=2, bad=100)
    routine.set_timeout(2.0)

    job = stepped.exec(chain(routine))

    assert job.wait(100.0)
    assert job.status == "failed"
    assert len(job.data.pending["a", "input"]) == 1


def test_a_constructor_that_raises_at_a_renewal_is_tried_again(stepped: Runtime, chain: Chain) -> None:
    routine = Fragile([], good=2, bad=1)
    routine.set_timeout(2.0)
    routine.set_error_handler(ErrorHandler("skip"))

    job = stepped.exec(chain(routine))

    assert job.wait(100.0)
    assert (job.status, len(job.dead_letters)) == ("completed", 1)


def test_what_on_start_opens_while_its_job_is_cancelled_is_closed(
    stepped: Runtime, dispatcher: SteppedDispatcher, chain: Chain
) -> None:
    diary: list[str] = []
    job = stepped.exec(chain(Opened(lambda self: None, diary, 3.0)))
    job.wait(1.0)

    job.cancel()
    dispatcher.run_until_idle()

    assert diary == ["start", "started", "stop", "stopped"]


def test_what_an_unused_routine_opens_while_its_job_completes_is_closed(stepped: Runtime, chain: Chain) -> None:
    diary: list[str] = []
    job = stepped.exec(chain(lambda self: None, Opened(lambda self: None, diary, 3.0)))

    job.wait()

    assert job.status == "completed"
    assert diary == ["start", "started", "stop", "stopped"]


def test_a_routine_is_not_started_once_its_job_was_cancelled(
    stepped: Runtime, dispatcher: SteppedDispatcher, chain: Chain
) -> None:
    diary: list[str] = []
    job = stepped.exec(chain(Opened(lambda self: None, diary)))

    job.cancel()
    dispatcher.run_until_idle()

    assert (job.is_resting, diary) == (True, [])


@pytest.mark.parametrize("reason", ["lunch", "timeout", "shutdown"])
def test_a_pause_waits_for_on_stop_whatever_its_reason(stepped: Runtime, chain: Chain, reason: str) -> None:
    diary: list[str] = []
    job = stepped.exec(chain(Opened(lambda self: None, diary, 3.0)), keep_alive=True)
    job.wait(5.0)

    job.pause(reason)

    assert (job.pause_reason, diary) == (reason, ["start", "started", "stop", "stopped"])


def test_a_failing_on_start_is_tried_again_with_growing_delays(
    stepped: Runtime, dispatcher: SteppedDispatcher, chain: Chain
) -> None:
    began: list[float] = []

    class Unready(Opened):
        async def on_start(self) -> None:
            began.append(dispatcher.clock.monotonic())
            raise ConnectionError("not yet")

    job = stepped.exec(chain(Unready(lambda self: None, [])))
    job.wait()

    assert job.status == "failed"
    assert began == pytest.approx([0.0, 0.05, 0.15, 0.35])


def test_a_post_in_on_start_that_would_wait_leaves_no_waiter_behind(stepped: Runtime) -> None:
    raised: list[str] = []

    class Feeding(Opened):
        async def on_start(self) -> None:
            try:
                stepped.post("job", "a", "input", {})
            except Exception as error:  # noqa: BLE001 - whatever it is, it is looked at below
                raised.append(type(error).__name__)

    routine = Feeding(lambda self: None, [])
    handler = routine.slots.pop("input").handler
    routine.define_slot("input", handler=handler, max_queue_length=1)
    flow = Flow("flow")
    flow.add_routine(routine, "a")
    job = stepped.exec(flow, job_id="job", entry_params={})
    live = job.live
    job.wait()

    assert (job.status, raised) == ("completed", ["WaitInsideTurnError"])
    assert live is not None
    assert live.space_waiters == []
