"""Ctrl-C on the main thread, whatever the library does at that moment, leaves nothing half done."""

import itertools
import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from flowforge.flow import Flow
from flowforge.flow_registry import FlowRegistry
from flowforge.held_interrupts import HeldInterrupts
from flowforge.job_state import JobState
from flowforge.routine import Routine
from flowforge.runtime import Runtime
from flowforge.stores.codec import Codec
from flowforge.stores.sqlite import SqliteStore
from tests.engine.interrupts import each_interrupted

Chain = Callable[..., Flow]


def say(self: Routine, n: int = 0) -> None:
    self.send_output("said", n=n)
    self.emit("out", n=n)


def shut_down(runtime: Runtime) -> bool:
    return runtime.shutdown(timeout=30)


def test_a_shutdown_that_was_interrupted_is_completed_by_the_next(chain: Chain, tmp_path: Path) -> None:
    flow, url = chain(say), f"sqlite:///{tmp_path / 'jobs.db'}"

    def opened() -> Runtime:
        runtime = Runtime(2, store=url, flows=[flow])
        job = runtime.exec(flow, keep_alive=True)
        job.set_output_handler(lambda *_: None)
        runtime.post(job, "a", "input", {"n": 1})
        job.pause()
        return runtime

    ended = [shut_down(runtime) for runtime in each_interrupted(8, opened, shut_down)]

    assert len(ended) > 5
    assert all(ended)
    Runtime(2, store=url).shutdown()


def test_a_close_that_was_interrupted_is_completed_by_the_next(tmp_path: Path) -> None:
    def opened() -> SqliteStore:
        return SqliteStore(tmp_path / "jobs.db", Codec())

    for store in each_interrupted(1, opened, SqliteStore.close):
        store.close()

    opened().close()


def test_a_store_that_was_being_given_back_is_free_after_the_next_shutdown(chain: Chain, tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "jobs.db", Codec())

    def opened() -> Runtime:
        return Runtime(2, store=store, flows=[chain(say)])

    for runtime in each_interrupted(1, opened, shut_down):
        assert shut_down(runtime)

    opened().shutdown()
    store.close()


@pytest.fixture(params=["in memory", "in a store"])
def runtime(request: pytest.FixtureRequest, chain: Chain, tmp_path: Path) -> Iterator[Runtime]:
    """A runtime with threads that knows the flow of `chain(say)`."""
    store = f"sqlite:///{tmp_path / 'jobs.db'}" if request.param == "in a store" else None
    registry = FlowRegistry()
    registry.register(chain(say))
    with Runtime(2, registry, store=store) as runtime:
        yield runtime


def ended_outputs(job: JobState) -> object:
    job.close()
    assert job.wait(30)
    return str(job.status), job.outputs


ONCE = ("completed", {"a.out": [{"n": 1}]})


def test_a_job_whose_exec_was_interrupted_runs_or_its_id_is_free(runtime: Runtime) -> None:
    ids = (f"job {number}" for number in itertools.count())

    def start(job_id: str) -> JobState:
        return runtime.exec("flow", "a", {"n": 1}, job_id=job_id)

    for job_id in each_interrupted(1, lambda: next(ids), start):
        assert ended_outputs(runtime.get_job(job_id) or start(job_id)) == ONCE

    assert len(runtime.list_jobs()) > 50


def test_a_job_whose_resume_was_interrupted_runs_or_can_be_resumed(runtime: Runtime) -> None:
    def paused() -> JobState:
        job = runtime.exec("flow", keep_alive=True)
        runtime.post(job, "a", "input", {"n": 1})
        job.pause()
        return job

    for job in each_interrupted(3, paused, runtime.resume_job):
        if job.status == "paused":
            runtime.resume_job(job)
        assert ended_outputs(job) == ONCE


def test_an_interrupt_that_was_put_off_comes_at_the_end() -> None:
    steps: list[str] = []

    def interrupted() -> None:
        with HeldInterrupts():
            signal.raise_signal(signal.SIGINT)
            steps.append("done")
        steps.append("not reached")

    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        interrupted()

    assert steps == ["done"]
    assert signal.getsignal(signal.SIGINT) is before


def test_where_no_signal_comes_nothing_is_held(monkeypatch: pytest.MonkeyPatch) -> None:
    """The main thread of a subinterpreter may not set handlers, as here any other may not."""
    monkeypatch.setattr(threading, "main_thread", threading.current_thread)
    steps: list[str] = []

    def hold() -> None:
        with HeldInterrupts():
            steps.append("done")

    thread = threading.Thread(target=hold)
    thread.start()
    thread.join()

    assert steps == ["done"]


@pytest.mark.parametrize("handler", [signal.SIG_IGN, signal.SIG_DFL])
def test_a_program_without_a_handler_is_given_none(handler: signal.Handlers) -> None:
    before = signal.signal(signal.SIGINT, handler)
    try:
        with HeldInterrupts():
            assert signal.getsignal(signal.SIGINT) is handler
    finally:
        signal.signal(signal.SIGINT, before)
