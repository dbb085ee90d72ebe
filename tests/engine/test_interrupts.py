"""Ctrl-C on the main thread, whatever the library does at that moment, leaves nothing half done."""

import itertools
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from flowforge.flow import Flow
from flowforge.flow_registry import FlowRegistry
from flowforge.held_interrupts import HeldInterrupts, whole
from flowforge.job_migration import JobMigration
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


class Guarded:
    """Has a lock, the last of these once the others have been looked at."""

    def __init__(self, *locks: threading.RLock) -> None:
        self.locks = list(locks)

    @property
    def lock(self) -> threading.RLock:
        return self.locks.pop(0) if len(self.locks) > 1 else self.locks[0]


class WaitedFor(Guarded):
    """Knows when somebody is about to take its lock."""

    def __init__(self, *locks: threading.RLock) -> None:
        super().__init__(*locks)
        self.is_waited_for = threading.Event()

    @property
    def lock(self) -> threading.RLock:
        self.is_waited_for.set()
        return super().lock


def is_free(lock: threading.RLock) -> bool:
    """Whether another thread could take it."""

    def is_taken() -> bool:
        if lock.acquire(blocking=False):
            lock.release()
            return False
        return True

    with ThreadPoolExecutor(1) as pool:
        return not pool.submit(is_taken).result()


def test_what_is_whole_holds_its_lock_no_more_when_the_handler_is_called() -> None:
    lock = threading.RLock()
    free: list[bool] = []

    @whole
    def interrupted(owner: Guarded) -> None:
        signal.raise_signal(signal.SIGINT)
        free.append(is_free(owner.lock))

    before = signal.signal(signal.SIGINT, lambda *_: free.append(is_free(lock)))
    try:
        interrupted(Guarded(lock))
    finally:
        signal.signal(signal.SIGINT, before)

    assert free == [False, True]


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such signals.")
def test_what_is_whole_waits_for_its_lock_as_ever() -> None:
    lock, is_held, is_interrupted = threading.RLock(), threading.Event(), threading.Event()
    owner, done = WaitedFor(lock), list[str]()

    def hold() -> None:
        with lock:
            is_held.set()
            owner.is_waited_for.wait(30)
            signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
            is_interrupted.wait(30)

    holder = threading.Thread(target=hold)
    holder.start()
    is_held.wait(30)
    with pytest.raises(KeyboardInterrupt):
        whole(lambda _: done.append("done"))(owner)
    is_interrupted.set()
    holder.join()

    assert done == []


def test_what_is_whole_holds_the_lock_that_there_is_when_it_begins() -> None:
    old, new = threading.RLock(), threading.RLock()

    @whole
    def look(_: Guarded) -> tuple[bool, bool]:
        return is_free(old), is_free(new)

    assert look(Guarded(old, new)) == (True, False)


def test_a_hook_of_a_flow_is_ended_by_ctrl_c(chain: Chain, stepped: Runtime) -> None:
    job = stepped.exec(chain(say), "a", {"n": 1}, keep_alive=True)
    job.pause()
    later = chain(say, version=2)
    hooks: list[str] = []

    def interrupted(_: JobMigration) -> None:
        hooks.append("begun")
        if len(hooks) == 1:
            signal.raise_signal(signal.SIGINT)
        hooks.append("ended")

    later.migrate(1, interrupted)
    with pytest.raises(KeyboardInterrupt):
        stepped.exec(later, job_state=job)
    between = job.status, job.data.version
    stepped.exec(later, job_state=job)

    assert between == ("paused", 1)
    assert hooks == ["begun", "begun", "ended"]
    assert ended_outputs(job) == ONCE


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


@pytest.mark.parametrize("kind", ["whole", "block"])
def test_a_handler_that_raises_does_not_take_ctrl_c_for_ever(kind: str) -> None:
    class ToldError(Exception):
        pass

    def tell(*_: object) -> None:
        raise ToldError

    class Owner:
        lock = threading.RLock()

    def block() -> None:
        with HeldInterrupts():
            pass

    do = whole(lambda owner: None)
    call = block if kind == "block" else lambda: do(Owner())
    before, mine = signal.signal(signal.SIGTERM, tell), signal.getsignal(signal.SIGINT)
    lost = 0
    try:
        for at in range(1, 40):
            seen = 0

            def look(frame: Any, event: str, _: object, at: int = at) -> None:
                nonlocal seen
                if frame.f_code.co_filename.endswith("held_interrupts.py") and event in {"call", "return", "c_return"}:
                    seen += 1
                    if seen == at:
                        sys.setprofile(None)
                        signal.raise_signal(signal.SIGTERM)

            sys.setprofile(look)
            try:
                call()
            except ToldError:
                pass
            finally:
                sys.setprofile(None)
            try:
                signal.raise_signal(signal.SIGINT)
                lost += 1
            except KeyboardInterrupt:
                assert signal.getsignal(signal.SIGINT) is mine
    finally:
        signal.signal(signal.SIGTERM, before)

    assert lost == 0
