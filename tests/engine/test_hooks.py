"""`on_start` and `on_stop` run in the actor, around all its messages."""

import asyncio
from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any

import pytest

from actors.testing.stepped_dispatcher import SteppedDispatcher
from flowforge.flow import Flow
from flowforge.job_state import JobState
from flowforge.records import RoutineRestarted
from flowforge.routine import Routine
from flowforge.runtime import Runtime

Run = Callable[..., JobState]


class Hooked(Routine):
    """Writes into a diary; its first `failures` starts raise."""

    def __init__(self, diary: list[str], name: str = "", failures: list[int] | None = None) -> None:
        super().__init__()
        self.diary = diary
        self.label = name
        self.failures = failures or []
        self.define_slot("input", handler=self.work)
        self.define_event("out")

    def on_start(self) -> None:
        self.diary.append(f"{self.label}start")
        if self.failures:
            self.failures.pop()
            raise ConnectionError("not yet")
        self.client = "client"

    def work(self, n: int = 0) -> None:
        self.diary.append(f"{self.label}{self.client} {n}")
        self.emit("out", n=n)

    def on_stop(self) -> None:
        self.diary.append(f"{self.label}stop")


class AsyncHooked(Hooked):
    async def on_start(self) -> None:  # type: ignore[override]  # a hook may be async
        await asyncio.sleep(0)
        super().on_start()

    async def on_stop(self) -> None:  # type: ignore[override]  # a hook may be async
        await asyncio.sleep(0)
        super().on_stop()


def flow_of(*routines: Routine) -> Flow:
    flow = Flow("flow")
    names = "abcd"[: len(routines)]
    for name, routine in zip(names, routines, strict=True):
        flow.add_routine(routine, name)
    for one, other in pairwise(names):
        flow.connect(f"{one}.out", f"{other}.input")
    return flow


@pytest.mark.parametrize("hooked", [Hooked, AsyncHooked])
def test_hooks_run_before_the_first_and_after_the_last_message(run: Run, hooked: type[Hooked]) -> None:
    diary: list[str] = []

    job = run(flow_of(hooked(diary)), n=1)

    assert diary == ["start", "client 1", "stop"]
    assert job.status == "completed"


def test_the_job_rests_only_after_the_last_on_stop(stepped: Runtime, dispatcher: SteppedDispatcher) -> None:
    diary: list[str] = []

    class SlowToStop(Hooked):
        async def on_stop(self) -> None:  # type: ignore[override]  # a hook may be async
            await asyncio.sleep(5)
            super().on_stop()

    job = stepped.exec(flow_of(SlowToStop(diary, "a "), SlowToStop(diary, "b ")))
    job.wait()

    assert diary[-2:] == ["a stop", "b stop"]
    assert dispatcher.clock.monotonic() == 10.0


def test_sources_stop_before_what_they_feed(run: Run) -> None:
    diary: list[str] = []

    run(flow_of(*(Hooked(diary, f"{name} ") for name in "abc")))

    assert diary[-3:] == ["a stop", "b stop", "c stop"]


def test_each_jobs_instance_is_started_and_stopped(run: Run) -> None:
    diary: list[str] = []
    flow = flow_of(Hooked(diary))

    run(flow)
    run(flow)

    assert diary == ["start", "client 0", "stop"] * 2


@pytest.mark.parametrize("hooked", [Hooked, AsyncHooked])
def test_an_on_start_that_fails_is_tried_again_with_a_fresh_instance(run: Run, hooked: type[Hooked]) -> None:
    diary: list[str] = []

    job = run(flow_of(hooked(diary, failures=[1, 1])))

    assert diary == ["start", "start", "start", "client 0", "stop"]
    assert job.status == "completed"
    assert sum(isinstance(record, RoutineRestarted) for record in job.view.history) == 2


@pytest.mark.parametrize("hooked", [Hooked, AsyncHooked])
def test_an_on_start_that_keeps_failing_fails_the_job(run: Run, hooked: type[Hooked]) -> None:
    diary: list[str] = []

    job = run(flow_of(hooked(diary, failures=[1] * 99)))

    assert (job.status, job.failed_routine) == ("failed", "a")
    assert job.error is not None
    assert job.error.text == "not yet"
    assert diary == ["start"] * 4


def test_a_message_that_waited_for_a_failing_start_is_kept(run: Run) -> None:
    job = run(flow_of(Hooked([], failures=[1] * 99)), n=5)

    assert [message.payload for message in job.data.pending["a", "input"]] == [{"n": 5}]


def test_a_job_that_failed_to_start_may_be_resumed(runtime: Runtime) -> None:
    diary: list[str] = []
    job = runtime.exec(flow_of(Hooked(diary, failures=[1] * 5)))
    job.wait(30)
    runtime.resume_job(job)

    assert job.wait(30)
    assert (job.status, diary.count("start")) == ("completed", 6)


def test_an_on_stop_that_raises_does_not_fail_the_job(run: Run, caplog: pytest.LogCaptureFixture) -> None:
    class Broken(Hooked):
        def on_stop(self) -> None:
            raise LookupError("stop")

    job = run(flow_of(Broken([])))

    assert job.status == "completed"
    assert "on_stop of 'a'" in caplog.text


def test_what_on_start_opened_is_closed_without_any_message(stepped: Runtime) -> None:
    diary: list[str] = []
    flow = flow_of(Hooked(diary, "a "), Hooked(diary, "b "))
    job = stepped.exec(flow, "b", entry_params={}, keep_alive=True)
    job.wait(1.0)
    job.close()
    job.wait()

    assert sorted(diary) == ["a start", "a stop", "b client 0", "b start", "b stop"]


def test_on_stop_runs_after_an_error_stopped_the_job(run: Run) -> None:
    class Failing(Hooked):
        def work(self, n: int = 0) -> None:
            raise LookupError

    diary: list[str] = []

    job = run(flow_of(Failing(diary)))

    assert (job.status, diary) == ("failed", ["start", "stop"])


def test_on_stop_runs_after_a_pause_and_on_start_again_at_the_resume(stepped: Runtime) -> None:
    diary: list[str] = []
    job = stepped.exec(flow_of(Hooked(diary)), entry_params={}, keep_alive=True)
    job.wait(1.0)
    stepped.pause_job(job)
    paused_with = list(diary)
    stepped.resume_job(job)
    job.close()
    job.wait()

    assert paused_with == ["start", "client 0", "stop"]
    assert diary == [*paused_with, "start", "stop"]


def test_on_stop_runs_after_a_cancel(stepped: Runtime, dispatcher: SteppedDispatcher) -> None:
    diary: list[str] = []
    job = stepped.exec(flow_of(Hooked(diary)), entry_params={}, keep_alive=True)
    job.wait(1.0)

    job.cancel()
    dispatcher.run_until_idle()

    assert diary == ["start", "client 0", "stop"]


def test_a_cancel_during_on_start_takes_no_message(stepped: Runtime, dispatcher: SteppedDispatcher) -> None:
    diary: list[str] = []

    class SlowToStart(Hooked):
        async def on_start(self) -> None:  # type: ignore[override]  # a hook may be async
            await asyncio.sleep(5)
            super().on_start()

    job = stepped.exec(flow_of(SlowToStart(diary)))
    dispatcher.run_until_idle(2)
    job.cancel()
    dispatcher.run_until_idle()

    assert job.status == "cancelled"
    assert "client 0" not in diary


def test_on_start_may_set_attributes_but_handlers_may_not(run: Run) -> None:
    class Assigning(Hooked):
        def work(self, n: int = 0) -> None:
            self.client = "other"

    job = run(flow_of(Assigning([])))

    assert job.error is not None
    assert job.error.type == "AttributeSetInStepError"


def test_emitting_in_on_start_is_outside_of_any_step(run: Run) -> None:
    class Eager(Hooked):
        def on_start(self) -> None:
            self.emit("out", n=1)

    job = run(flow_of(Eager([])))

    assert job.status == "failed"
    assert job.error is not None
    assert job.error.type == "OutsideStepError"


def test_an_open_generator_is_closed_before_on_stop(stepped: Runtime, dispatcher: SteppedDispatcher) -> None:
    diary: list[str] = []

    class Source(Hooked):
        def work(self, n: int = 0) -> Iterator[None]:  # type: ignore[override]  # a generator this time
            try:
                while True:
                    self.state["n"] = self.state.get("n", 0) + 1
                    yield
            finally:
                diary.append("closed")

    job = stepped.exec(flow_of(Source(diary)))
    dispatcher.run_until_idle(6)
    stepped.pause_job(job)

    assert diary == ["start", "closed", "stop"]


class Tripling(Hooked):
    def work(self, n: int = 0) -> None:
        for number in range(3):
            self.emit("out", n=number)


def test_a_broken_actor_gets_a_fresh_instance_and_the_committed_state(
    stepped: Runtime, dispatcher: SteppedDispatcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The break is put in by hand: nothing that a user can write breaks an actor after its start."""
    diary: list[str] = []
    breaks = [1, 1]

    class Counting(Hooked):
        def work(self, n: int = 0) -> None:
            self.increment_stat("calls")

    job = stepped.exec(flow_of(Tripling(diary, "a "), Counting(diary, "b ")))
    assert job.live is not None
    actor = job.live.worker(1, -1)
    take = actor.next_work

    def take_or_break() -> Any:
        if actor.user_state.get("calls") == 1 and breaks:
            breaks.pop()
            raise LookupError("a defect")
        return take()

    monkeypatch.setattr(actor, "next_work", take_or_break)
    dispatcher.run_until_idle()

    assert (job.status, job.get_routine_state("b")) == ("completed", {"calls": 3})
    assert diary.count("b start") == 3
