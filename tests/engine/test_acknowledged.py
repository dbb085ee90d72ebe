"""What a call has acknowledged is on disk: by when it returns it has waited for its own records."""

from collections.abc import Callable
from typing import Any

import pytest

from actors.testing.stepped_dispatcher import SteppedDispatcher
from flowforge.error_handler import ErrorHandler, ErrorStrategy
from flowforge.flow import Flow
from flowforge.records import PauseRequested
from flowforge.routine import Routine
from flowforge.runtime import Runtime
from flowforge.stores.codec import Codec
from flowforge.stores.memory import MemoryStore

Chain = Callable[..., Flow]


class Patient(MemoryStore):
    """Writes nothing but what somebody waits for."""

    def __init__(self) -> None:
        super().__init__(Codec(), lambda: None)
        self.flushes = 0

    def wait_until_safe(self, number: int, timeout: float | None = None) -> bool:
        if number > self.safe:
            self.flushes += 1
            self.flush(number - self.safe)
        return super().wait_until_safe(number, timeout)


class World:
    """A runtime whose only job is kept alive and has a dead letter, all of it on disk."""

    def __init__(self, flow: Flow) -> None:
        self.flow = flow
        self.store = Patient()
        self.dispatcher = SteppedDispatcher()
        self.runtime = Runtime(dispatcher=self.dispatcher, store=self.store, flows=[flow], drains_at_exit=False)
        self.job = self.runtime.exec(flow, job_id="job", keep_alive=True)
        self.runtime.post(self.job, "a", "input", {"n": 0})
        self.rest()

    def rest(self) -> None:
        """Go on until all is done and on disk."""
        while self.store.waiting or self.dispatcher.choices():
            self.store.flush()
            self.dispatcher.run_until_idle()

    def pause(self) -> None:
        """Bring the job to rest."""
        self.job.request_pause()
        self.rest()
        assert self.job.status == "paused"


def divide(self: Routine, n: int) -> None:
    self.emit("out", n=1 // n)


@pytest.fixture
def world(chain: Chain) -> World:
    return World(chain(divide, error_handler=ErrorHandler(ErrorStrategy.SKIP)))


TO_ONE_THAT_RUNS: dict[str, Callable[[World], Any]] = {
    "exec": lambda world: world.runtime.exec(world.flow, job_id="other", keep_alive=True),
    "exec_many": lambda world: world.runtime.exec_many(world.flow, [{"n": n} for n in range(5)]),
    "post": lambda world: world.runtime.post("job", "a", "input", {"n": 1}, key="one"),
    "request_pause": lambda world: world.job.request_pause(),
    "shared_data": lambda world: world.job.shared_data.add("count"),
    "shared_log": lambda world: world.job.shared_log.append("line"),
    "close": lambda world: world.job.close(),
    "cancel": lambda world: world.job.cancel(),
    "requeue": lambda world: world.job.requeue_dead_letter(world.job.dead_letters[0].id),
    "purge": lambda world: world.runtime.purge_dead_letters(job_id="job"),
}

TO_ONE_AT_REST: dict[str, Callable[[World], Any]] = {
    "resume_job": lambda world: world.runtime.resume_job("job"),
    "exec": lambda world: world.runtime.exec(world.flow, job_state=world.job),
    "shared_data": lambda world: world.job.shared_data.update(count=1),
    "shared_log": lambda world: world.job.shared_log.append("line"),
    "close": lambda world: world.job.close(),
    "cancel": lambda world: world.job.cancel(),
    "requeue": lambda world: world.job.requeue_dead_letter(world.job.dead_letters[0].id),
    "purge": lambda world: world.runtime.purge_dead_letters(job_id="job"),
}


@pytest.mark.parametrize("call", TO_ONE_THAT_RUNS)
def test_what_was_acknowledged_of_a_job_that_runs_is_on_disk(world: World, call: str) -> None:
    before = world.store.safe

    TO_ONE_THAT_RUNS[call](world)

    assert world.store.safe > before
    assert world.store.waiting == 0


@pytest.mark.parametrize("call", TO_ONE_AT_REST)
def test_what_was_acknowledged_of_a_job_at_rest_is_on_disk(world: World, call: str) -> None:
    world.pause()
    before = world.store.safe

    TO_ONE_AT_REST[call](world)

    assert world.store.safe > before
    assert world.store.waiting == 0


def test_a_pause_that_was_requested_of_a_busy_job_is_on_disk(world: World) -> None:
    world.runtime.post("job", "a", "input", {"n": 1})

    assert world.job.request_pause("the night")

    assert isinstance(world.store.records("job")[-1], PauseRequested)


def test_a_pause_waits_for_the_disk_no_longer_than_for_the_rest(world: World) -> None:
    world.runtime.post("job", "a", "input", {"n": 1})

    assert world.flow.pause(timeout=0.0) == []

    assert world.store.waiting == 1


def test_a_pause_of_a_job_whose_end_is_not_on_disk_waits_for_that(world: World) -> None:
    world.job.pause(timeout=0.0)
    before = world.job.status
    world.dispatcher.call_later(1.0, world.store.flush)

    world.job.pause()

    assert (before, world.job.status) == ("running", "paused")


def test_many_jobs_wait_for_the_disk_once(world: World) -> None:
    before = world.store.flushes

    world.runtime.exec_many(world.flow, [{"n": n} for n in range(50)])

    assert world.store.flushes == before + 1


def test_a_job_that_was_taken_in_is_on_disk_when_its_exec_returns(world: World, stepped: Runtime) -> None:
    loaded = stepped.exec(world.flow, job_id="loaded", keep_alive=True)
    loaded.pause()

    world.runtime.exec(world.flow, job_state=loaded)

    assert world.store.waiting == 0
    assert "loaded" in [job.id for job in world.store.jobs()]
