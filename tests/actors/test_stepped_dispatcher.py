import asyncio
import threading
from collections.abc import AsyncIterator, Iterator

import pytest

from actors.dispatcher import Group, TurnLimits
from actors.errors import WaitInsideTurnError
from actors.testing.stepped_dispatcher import SteppedDispatcher
from actors.testing.virtual_loop import VirtualLoop
from actors.timers import PendingTimer
from tests.actors.stand_ins import Caller


class Writer:
    """An actor that writes its name into a list."""

    group = Group()

    def __init__(self, log: list[str], name: str) -> None:
        self.log = log
        self.name = name

    def run_turn(self, limits: TurnLimits) -> None:
        self.log.append(self.name)


@pytest.fixture
def dispatcher() -> Iterator[SteppedDispatcher]:
    made = SteppedDispatcher()
    yield made
    made.shutdown()


def nothing() -> None:
    pass


def ignore(result: object, error: BaseException | None) -> None:
    pass


def test_nothing_runs_before_a_step(dispatcher: SteppedDispatcher) -> None:
    log: list[str] = []

    dispatcher.submit(Writer(log, "a"))
    dispatcher.call_later(0.0, lambda: log.append("timer"))

    assert log == []


def test_choice_zero_is_the_order_in_which_things_became_ready(dispatcher: SteppedDispatcher) -> None:
    log: list[str] = []
    dispatcher.submit(Writer(log, "a"))
    dispatcher.call_later(0.0, lambda: log.append("timer"))
    dispatcher.choices()
    dispatcher.submit(Writer(log, "b"))

    dispatcher.run_until_idle()

    assert log == ["a", "timer", "b"]


def test_a_choice_picks_what_it_names(dispatcher: SteppedDispatcher) -> None:
    log: list[str] = []
    writers = [Writer(log, name) for name in "abc"]
    for writer in writers:
        dispatcher.submit(writer)

    assert dispatcher.choices() == tuple(writers)
    dispatcher.step(1)
    dispatcher.run_until_idle()

    assert log == ["b", "a", "c"]


def test_choices_name_actors_timers_and_the_loop(dispatcher: SteppedDispatcher) -> None:
    dispatcher.submit(Writer([], "a"))
    dispatcher.call_later(0.0, nothing)
    dispatcher.run_async(asyncio.sleep(1.0), ignore)

    kinds = [type(choice) for choice in dispatcher.choices()]

    assert kinds == [Writer, PendingTimer, VirtualLoop]


def test_a_choice_that_is_not_there_is_refused(dispatcher: SteppedDispatcher) -> None:
    dispatcher.submit(Writer([], "a"))

    with pytest.raises(IndexError):
        dispatcher.step(1)


def test_a_step_without_choices_does_nothing(dispatcher: SteppedDispatcher) -> None:
    dispatcher.call_later(1.0, nothing)

    assert dispatcher.step() is False
    assert dispatcher.clock.monotonic() == 0.0


def test_a_due_timer_that_is_cancelled_is_no_choice(dispatcher: SteppedDispatcher) -> None:
    timer = dispatcher.call_later(0.0, nothing)
    assert dispatcher.choices() == (timer,)

    timer.cancel()

    assert dispatcher.choices() == ()


def test_the_clock_jumps_exactly_to_the_next_instant(dispatcher: SteppedDispatcher) -> None:
    times: list[float] = []
    for delay in (0.3, 0.1, 86_400.0):
        dispatcher.call_later(delay, lambda: times.append(dispatcher.clock.monotonic()))

    assert dispatcher.run_until_idle() == 3
    assert times == [0.1, 0.3, 86_400.0]


def test_running_until_idle_stops_after_the_steps_allowed(dispatcher: SteppedDispatcher) -> None:
    actor = Caller(lambda: dispatcher.submit(actor))
    dispatcher.submit(actor)

    assert dispatcher.run_until_idle(max_steps=7) == 7


def test_sleeping_coroutines_wake_in_virtual_time(dispatcher: SteppedDispatcher) -> None:
    log: list[tuple[str, float]] = []

    async def sleep(name: str, seconds: float) -> None:
        await asyncio.sleep(seconds)
        log.append((name, dispatcher.clock.monotonic()))

    dispatcher.run_async(sleep("long", 3600.0), ignore)
    dispatcher.run_async(sleep("short", 1.5), ignore)
    dispatcher.run_until_idle()

    assert log == [("short", 1.5), ("long", 3600.0)]


def test_a_timeout_in_a_coroutine_is_virtual_too(dispatcher: SteppedDispatcher) -> None:
    errors: list[BaseException | None] = []

    async def hang() -> None:
        async with asyncio.timeout(60.0):
            await asyncio.Event().wait()

    dispatcher.run_async(hang(), lambda result, error: errors.append(error))
    dispatcher.run_until_idle()

    assert [type(error) for error in errors] == [TimeoutError]
    assert dispatcher.clock.monotonic() == 60.0


def test_a_wait_lets_virtual_time_pass_up_to_its_timeout(dispatcher: SteppedDispatcher) -> None:
    dispatcher.call_later(100.0, nothing)

    assert dispatcher.wait_for(threading.Event(), 30.0) is False
    assert dispatcher.clock.monotonic() == 30.0


def test_a_wait_ends_when_nothing_can_ever_run(dispatcher: SteppedDispatcher) -> None:
    assert dispatcher.wait_for(threading.Event()) is False


def test_a_wait_runs_no_further_than_its_event(dispatcher: SteppedDispatcher) -> None:
    log: list[str] = []
    done = threading.Event()
    dispatcher.submit(Caller(done.set))
    dispatcher.submit(Writer(log, "after"))

    assert dispatcher.wait_for(done)
    assert log == []


def test_a_step_inside_a_step_is_refused(dispatcher: SteppedDispatcher) -> None:
    dispatcher.submit(Caller(dispatcher.step))

    with pytest.raises(WaitInsideTurnError, match="A turn cannot wait for 'another step'"):
        dispatcher.step()


def test_a_wait_inside_a_timer_or_report_is_refused(dispatcher: SteppedDispatcher) -> None:
    def wait() -> None:
        dispatcher.wait_for(threading.Event())

    def run(result: object, error: BaseException | None) -> None:
        dispatcher.run_until_idle()

    dispatcher.call_later(0.0, wait)
    with pytest.raises(WaitInsideTurnError, match="A turn cannot wait for 'an event'"):
        dispatcher.step()

    dispatcher.run_async(asyncio.sleep(0), run)
    with pytest.raises(WaitInsideTurnError, match="A turn cannot wait for 'another step'"):
        dispatcher.run_until_idle()


def test_another_dispatcher_may_be_stepped_inside_a_step(dispatcher: SteppedDispatcher) -> None:
    inner, log = SteppedDispatcher(), list[str]()
    inner.submit(Writer(log, "inner"))

    dispatcher.submit(Caller(inner.run_until_idle))
    dispatcher.run_until_idle()

    assert log == ["inner"]


def test_a_defect_comes_out_of_the_step_and_spoils_no_other(dispatcher: SteppedDispatcher) -> None:
    log: list[str] = []
    dispatcher.submit(Caller(lambda: log.index("missing")))
    dispatcher.submit(Writer(log, "next"))

    with pytest.raises(ValueError, match="not in list"):
        dispatcher.step()
    dispatcher.step()

    assert log == ["next"]


def test_a_turn_gets_the_limits_of_its_dispatcher() -> None:
    seen: list[TurnLimits] = []

    class Recorder:
        group = Group()

        def run_turn(self, limits: TurnLimits) -> None:
            seen.append(limits)

    dispatcher = SteppedDispatcher()
    dispatcher.submit(Recorder())
    dispatcher.step()

    assert (seen[0].max_messages, seen[0].splits_steps) == (1, True)


def test_shutdown_reports_a_coroutine_that_will_not_end(dispatcher: SteppedDispatcher) -> None:
    async def refuse() -> None:
        while True:
            try:
                await asyncio.sleep(1.0)
            except asyncio.CancelledError:
                continue

    stubborn = SteppedDispatcher()
    stubborn.run_async(refuse(), ignore)
    stubborn.run_until_idle(max_steps=3)

    assert stubborn.shutdown(timeout=10.0) is False


def test_shutdown_closes_async_generators(dispatcher: SteppedDispatcher) -> None:
    log: list[str] = []

    async def produce() -> AsyncIterator[int]:
        try:
            yield 1
        finally:
            log.append("closed")

    async def take_one() -> object:
        source = produce()
        await anext(source)
        return source

    results: list[object] = []
    dispatcher.run_async(take_one(), lambda result, error: results.append(result))
    dispatcher.run_until_idle()
    dispatcher.shutdown()

    assert log == ["closed"]
