"""What holds for every dispatcher, with threads and without."""

import asyncio
import contextvars
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from actors.dispatcher import Dispatcher, Group
from actors.errors import DispatcherClosedError, WaitInsideTurnError
from actors.pooled_dispatcher import PooledDispatcher
from actors.testing.stepped_dispatcher import SteppedDispatcher
from actors.turn_context import is_inside_turn
from tests.actors.stand_ins import Caller

PATIENCE = 10.0
tag: contextvars.ContextVar[str] = contextvars.ContextVar("tag", default="none")


class Outcome:
    """Where a coroutine's end is reported."""

    def __init__(self) -> None:
        self.reports: list[tuple[object, BaseException | None]] = []
        self.event = threading.Event()

    def __call__(self, result: object, error: BaseException | None) -> None:
        self.reports.append((result, error))
        self.event.set()


@pytest.fixture(params=["stepped", "pooled"])
def dispatcher(request: pytest.FixtureRequest) -> Iterator[Dispatcher]:
    made: Dispatcher = SteppedDispatcher() if request.param == "stepped" else PooledDispatcher(4)
    yield made
    assert made.shutdown(timeout=PATIENCE)


def finish(dispatcher: Dispatcher, *calls: Callable[[], object]) -> None:
    """Give each call a turn, and wait for the last."""
    done = threading.Event()
    group = Group()
    for call in (*calls, done.set):
        dispatcher.submit(Caller(call, group))
    assert dispatcher.wait_for(done, PATIENCE)


def test_a_submitted_actor_gets_one_turn(dispatcher: Dispatcher) -> None:
    turns: list[str] = []

    finish(dispatcher, lambda: turns.append("turn"))

    assert turns == ["turn"]


def test_an_actor_may_submit_itself_from_its_turn(dispatcher: Dispatcher) -> None:
    done = threading.Event()
    left = [1000]

    def count_down() -> None:
        left[0] -= 1
        if left[0]:
            dispatcher.submit(actor)
        else:
            done.set()

    actor = Caller(count_down)
    dispatcher.submit(actor)

    assert dispatcher.wait_for(done, PATIENCE)


def test_code_inside_a_turn_can_tell(dispatcher: Dispatcher) -> None:
    answers: list[bool] = []

    finish(dispatcher, lambda: answers.append(is_inside_turn()))

    assert answers == [True]
    assert not is_inside_turn()


def test_waiting_inside_a_turn_raises(dispatcher: Dispatcher) -> None:
    errors: list[BaseException] = []

    def wait() -> None:
        with pytest.raises(WaitInsideTurnError, match="A turn cannot wait for 'an event'") as caught:
            dispatcher.wait_for(threading.Event(), 1.0)
        errors.append(caught.value)

    finish(dispatcher, wait)

    assert len(errors) == 1


def test_shutting_down_inside_a_turn_raises(dispatcher: Dispatcher) -> None:
    errors: list[BaseException] = []

    def stop() -> None:
        with pytest.raises(WaitInsideTurnError, match="the end of its dispatcher") as caught:
            dispatcher.shutdown()
        errors.append(caught.value)

    finish(dispatcher, stop)

    assert len(errors) == 1


def test_a_wait_that_times_out_answers_false(dispatcher: Dispatcher) -> None:
    assert dispatcher.wait_for(threading.Event(), 0.01) is False
    assert dispatcher.wait_for(threading.Event(), 0.0) is False


def test_a_timer_calls_once_after_its_delay(dispatcher: Dispatcher) -> None:
    done = threading.Event()
    before = dispatcher.clock.monotonic()

    timer = dispatcher.call_later(0.01, done.set)

    assert dispatcher.wait_for(done, PATIENCE)
    assert dispatcher.clock.monotonic() >= before + 0.01
    assert timer.cancel() is False


def test_a_cancelled_timer_does_not_call(dispatcher: Dispatcher) -> None:
    calls: list[str] = []
    done = threading.Event()
    timer = dispatcher.call_later(0.005, lambda: calls.append("called"))

    assert timer.cancel() is True
    dispatcher.call_later(0.01, done.set)

    assert dispatcher.wait_for(done, PATIENCE)
    assert calls == []


def test_a_coroutine_reports_its_result_once(dispatcher: Dispatcher) -> None:
    async def answer() -> int:
        await asyncio.sleep(0.001)
        return 42

    outcome = Outcome()
    dispatcher.run_async(answer(), outcome)

    assert dispatcher.wait_for(outcome.event, PATIENCE)
    assert outcome.reports == [(42, None)]


@pytest.mark.parametrize("error", [ValueError, SystemExit, KeyboardInterrupt, GeneratorExit, MemoryError])
def test_whatever_a_coroutine_raises_is_reported(dispatcher: Dispatcher, error: type[BaseException]) -> None:
    async def fail() -> None:
        raise error

    for _ in range(2):
        outcome = Outcome()
        dispatcher.run_async(fail(), outcome)
        assert dispatcher.wait_for(outcome.event, PATIENCE)
        assert [type(reported) for _, reported in outcome.reports] == [error]


def test_a_cancelled_coroutine_reports_the_cancellation(dispatcher: Dispatcher) -> None:
    outcome = Outcome()
    task = dispatcher.run_async(asyncio.sleep(3600.0), outcome)

    task.cancel()

    assert dispatcher.wait_for(outcome.event, PATIENCE)
    assert [type(error) for _, error in outcome.reports] == [asyncio.CancelledError]


def test_a_coroutine_runs_in_a_copy_of_its_callers_context(dispatcher: Dispatcher) -> None:
    async def read_and_set() -> str:
        seen = tag.get()
        tag.set("changed")
        return seen

    outcome = Outcome()
    token = tag.set("caller")
    dispatcher.run_async(read_and_set(), outcome)

    assert dispatcher.wait_for(outcome.event, PATIENCE)
    assert (outcome.reports, tag.get()) == ([("caller", None)], "caller")
    tag.reset(token)


def test_a_coroutine_counts_as_inside_a_turn(dispatcher: Dispatcher) -> None:
    async def ask() -> bool:
        return is_inside_turn()

    outcome = Outcome()
    dispatcher.run_async(ask(), outcome)

    assert dispatcher.wait_for(outcome.event, PATIENCE)
    assert outcome.reports == [(True, None)]


def test_a_coroutine_may_call_a_function_in_an_executor(dispatcher: Dispatcher) -> None:
    outcome = Outcome()
    dispatcher.run_async(asyncio.to_thread(divmod, 7, 2), outcome)

    assert dispatcher.wait_for(outcome.event, PATIENCE)
    assert outcome.reports == [((3, 1), None)]


def test_shutdown_cancels_coroutines_and_reports_each(dispatcher: Dispatcher) -> None:
    outcomes = [Outcome() for _ in range(3)]
    for outcome in outcomes:
        dispatcher.run_async(asyncio.sleep(3600.0), outcome)

    assert dispatcher.shutdown(timeout=PATIENCE)
    assert [type(outcome.reports[0][1]) for outcome in outcomes] == [asyncio.CancelledError] * 3


def test_what_a_report_submits_during_shutdown_is_accepted(dispatcher: Dispatcher) -> None:
    accepted: list[str] = []

    def report(result: object, error: BaseException | None) -> None:
        dispatcher.submit(Caller(lambda: None))
        accepted.append("submitted")

    dispatcher.run_async(asyncio.sleep(3600.0), report)

    assert dispatcher.shutdown(timeout=PATIENCE)
    assert accepted == ["submitted"]


def test_shutdown_may_be_repeated(dispatcher: Dispatcher) -> None:
    finish(dispatcher)

    assert [dispatcher.shutdown(), dispatcher.shutdown(timeout=0.0)] == [True, True]


def test_a_closed_dispatcher_takes_no_work(dispatcher: Dispatcher) -> None:
    dispatcher.shutdown()
    gives: list[Callable[[], Any]] = [
        lambda: dispatcher.submit(Caller(lambda: None)),
        lambda: dispatcher.call_later(1.0, lambda: None),
        lambda: dispatcher.run_async(asyncio.sleep(1.0), Outcome()),
    ]

    for give in gives:
        with pytest.raises(DispatcherClosedError, match="has been shut down and takes no more work"):
            give()


def test_waiting_on_a_closed_dispatcher_only_looks(dispatcher: Dispatcher) -> None:
    dispatcher.shutdown()
    done = threading.Event()

    assert dispatcher.wait_for(done) is False
    done.set()
    assert dispatcher.wait_for(done) is True
