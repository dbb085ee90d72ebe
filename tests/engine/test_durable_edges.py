"""Edges of durability, each of which has lost or doubled something once."""

import gc
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from flowforge.error_handler import ErrorHandler, ErrorStrategy
from flowforge.errors import FlowForgeError
from flowforge.flow import Flow
from flowforge.graph_errors import FlowNotRegisteredError
from flowforge.job_errors import StaleJobStateError
from flowforge.routine import Routine
from flowforge.runtime import Runtime
from flowforge.stores.codec import Codec
from flowforge.stores.sqlite import SqliteStore
from flowforge.stores.store_errors import StoreClosedError, StoreInUseError
from tests.engine.jobs import found
from tests.handlers import count
from tests.stores.disks import BROKEN, FULL, failing_connections

Chain = Callable[..., Flow]
Boot = Callable[..., Runtime]


def skip_then_pause(self: Routine, n: int) -> None:
    if n == 1:
        raise ValueError
    self.job_state.pause()


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'jobs.db'}"


def test_a_left_job_that_was_cancelled_is_not_run_by_register(boot: Boot, chain: Chain) -> None:
    flow = chain(count)
    boot(flow).exec(flow, job_id="job", keep_alive=True)
    runtime = boot()
    runtime.cancel_job("job")

    assert runtime.left_jobs() == []
    runtime.register(flow)

    assert found(runtime).status == "cancelled"
    assert found(boot(flow)).status == "cancelled"


def test_a_left_job_that_was_looked_at_is_the_one_that_goes_on(boot: Boot, chain: Chain) -> None:
    flow = chain(count)
    boot(flow).exec(flow, job_id="job", keep_alive=True)
    runtime = boot()
    job = found(runtime)

    runtime.register(flow)

    assert found(runtime) is job
    assert job.status == "running"


def test_a_requeued_letter_of_a_finished_job_runs_after_a_restart(boot: Boot, chain: Chain) -> None:
    is_well = threading.Event()

    def fail(self: Routine) -> None:
        if not is_well.is_set():
            raise ValueError
        self.emit("out", n=1)

    flow = chain(fail, error_handler=ErrorHandler(ErrorStrategy.SKIP))
    assert boot(flow).exec(flow, job_id="job").wait(30)
    runtime = boot(flow)
    is_well.set()
    [letter] = runtime.dead_letters()

    runtime.requeue_dead_letter(letter.id)

    assert found(runtime).wait(30)
    assert (found(runtime).status, found(runtime).outputs) == ("completed", {"a.out": [{"n": 1}]})


def test_a_letter_of_an_unknown_flow_stays_until_that_is_registered(
    boot: Boot, chain: Chain, node: Callable[..., Routine]
) -> None:
    def fail(self: Routine) -> None:
        raise ValueError

    def requeue(self: Routine) -> None:
        runtime.requeue_dead_letter(letter.id)

    flow = chain(fail, error_handler=ErrorHandler(ErrorStrategy.SKIP))
    janitor = Flow("janitor")
    janitor.add_routine(node(requeue), "j")
    assert boot(flow).exec(flow, job_id="job").wait(30)
    runtime = boot(janitor)
    [letter] = runtime.dead_letters()

    with pytest.raises(FlowNotRegisteredError, match=r"The flow 'flow' is not registered.*runtime\.register\(flow\)\."):
        runtime.requeue_dead_letter(letter.id)
    job = runtime.exec(janitor)

    assert job.wait(30)
    assert job.status == "failed"
    assert (found(runtime).status, runtime.dead_letters()) == ("completed", [letter])
    runtime.register(flow)
    runtime.requeue_dead_letter(letter.id)
    assert found(runtime).wait(30)
    assert [other.id for other in runtime.dead_letters()] == ["job-dl2"]


def test_one_id_given_by_many_threads_at_once_is_one_job(boot: Boot, chain: Chain) -> None:
    flow = chain(count)
    runtime = boot(flow)
    jobs: list[object] = []
    barrier = threading.Barrier(4)

    def start() -> None:
        barrier.wait()
        for number in range(50):
            try:
                jobs.append(runtime.exec(flow, job_id=f"job{number}"))
            except FlowForgeError as error:
                jobs.append(error)

    threads = [threading.Thread(target=start) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len({id(job) for job in jobs}) == 50


def test_a_runtime_that_cannot_be_made_leaves_no_lock_behind(boot: Boot, chain: Chain, url: str) -> None:
    before = set(threading.enumerate())
    wrong: Any = 3

    with pytest.raises(FlowForgeError, match="3"):
        Runtime(2, store=url, flows=[wrong])

    assert set(threading.enumerate()) == before
    boot(chain(count))


def test_a_pause_for_the_reason_shutdown_is_a_pause_like_others(boot: Boot, chain: Chain) -> None:
    flow = chain(count)
    boot(flow).exec(flow, job_id="job", keep_alive=True).pause("shutdown")

    assert found(boot(flow)).status == "paused"


def test_two_runtimes_do_not_share_one_store_object(chain: Chain, tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "jobs.db", Codec())
    try:
        with Runtime(2, store=store), pytest.raises(StoreInUseError, match="another runtime"):
            Runtime(2, store=store)
    finally:
        store.close()


def test_one_store_object_serves_one_runtime_after_the_other(chain: Chain, tmp_path: Path) -> None:
    flow, store = chain(count), SqliteStore(tmp_path / "jobs.db", Codec())
    with Runtime(2, store=store, flows=[flow]) as first:
        first.exec(flow, job_id="job", keep_alive=True)

    with Runtime(2, store=store, flows=[flow]) as second:
        second.post("job", "a", "input", {"n": 1})
        first.shutdown()
        with pytest.raises(StoreInUseError, match="another runtime"):
            Runtime(2, store=store)
        assert store.delete("job") == 0
        found(second).close()
        assert found(second).wait(30)

    assert [job.status for job in store.jobs()] == ["completed"]
    assert store.delete("job") == 1
    store.close()


@pytest.mark.parametrize("is_looked_up_late", [False, True])
def test_a_job_of_an_ended_runtime_writes_nothing_for_the_next(
    chain: Chain, tmp_path: Path, is_looked_up_late: bool
) -> None:
    flow = chain(skip_then_pause, error_handler=ErrorHandler(ErrorStrategy.SKIP))
    store = SqliteStore(tmp_path / "jobs.db", Codec())
    with Runtime(2, store=store, flows=[flow]) as first:
        job = first.exec(flow, job_id="job", keep_alive=True)
        for number in (1, 2):
            first.post(job, "a", "input", {"n": number})
        assert job.wait(30)
    with Runtime(2, store=store) as idle:
        pass
    stale = found(idle) if is_looked_up_late else job

    with Runtime(2, store=store, flows=[flow]) as second:
        own = found(second)
        for change in (
            stale.cancel,
            stale.close,
            lambda: stale.shared_data.update(n=1),
            lambda: stale.requeue_dead_letter("job-dl1"),
            lambda: stale.purge_dead_letter("job-dl1"),
            lambda: second.exec(flow, job_state=stale),
        ):
            with pytest.raises(
                StaleJobStateError, match=r"JobState of the job 'job' is of a runtime.*get_job\('job'\)"
            ):
                change()
        assert stale.flush()
        assert (own.status, dict(own.shared_data), len(own.dead_letters)) == ("paused", {}, 1)
        second.resume_job("job").close()
        assert own.wait(30)

    positions = [record.position for record in store.records("job")]
    store.close()
    assert positions == list(range(1, len(positions) + 1))


def test_a_change_after_the_shutdown_is_refused_not_forgotten(boot: Boot, chain: Chain) -> None:
    flow = chain(count)
    runtime = boot(flow)
    job = runtime.exec(flow, job_id="job", keep_alive=True)
    job.pause()
    runtime.shutdown()

    with pytest.raises(StoreClosedError, match="was closed"):
        job.cancel()
    with pytest.raises(StoreClosedError, match="was closed"):
        job.shared_data["n"] = 1


def test_the_text_of_an_error_need_not_be_unicode(boot: Boot, chain: Chain) -> None:
    def fail(self: Routine) -> None:
        raise FileNotFoundError("a\udcffb")

    flow = chain(fail, error_handler=ErrorHandler(ErrorStrategy.SKIP))
    job = boot(flow).exec(flow, job_id="job")

    assert job.wait(30)
    assert (job.status, len(job.dead_letters)) == ("completed", 1)


@pytest.mark.parametrize("reason", ["a\udcffb", object()], ids=["not unicode", "no text"])
def test_a_reason_that_cannot_be_kept_is_refused_and_nothing_ends(boot: Boot, chain: Chain, reason: Any) -> None:
    flow = chain(count)
    job = boot(flow).exec(flow, job_id="job", keep_alive=True)

    for command in job.pause, job.cancel:
        with pytest.raises(FlowForgeError, match="reason"):
            command(reason)
    job.close()

    assert job.wait(5)
    assert job.status == "completed"


def test_a_job_that_cannot_be_read_is_left_and_the_others_go_on(
    url: str, boot: Boot, chain: Chain, caplog: pytest.LogCaptureFixture
) -> None:
    flow = chain(count)
    with Runtime(2, store=url, flows=[flow], codec=Codec(extras=["numpy"])) as runtime:
        for job_id, n in {"two": 1, "one": np.ones(1)}.items():
            runtime.post(runtime.exec(flow, job_id=job_id, keep_alive=True), "a", "input", {"n": n})
    caplog.clear()

    runtime = boot(flow)

    assert [job.id for job in runtime.left_jobs()] == ["one"]
    assert found(runtime, "two").status == "running"
    assert "The job 'one' was left as it is" in caplog.text
    assert "The data of the field 'delivery' in a record 'MessagePosted' of the job 'one' cannot be" in caplog.text


@pytest.fixture
def broken(tmp_path: Path) -> Iterator[tuple[SqliteStore, Callable[[], None]]]:
    """A store, and what breaks its disk."""
    connections = failing_connections()
    store = SqliteStore(tmp_path / "jobs.db", Codec(), connection_type=connections)
    yield store, lambda: setattr(connections, "trouble", BROKEN)
    store.close()


def on_the_writer(store: SqliteStore, call: Callable[[], None]) -> None:
    store.call_when_safe(store.safe, call)


def on_the_folder(store: SqliteStore, call: Callable[[], None]) -> None:
    folder = store._folder  # noqa: SLF001 - whatever it does may let the garbage collector run
    assert folder is not None
    folder._next_long = call  # noqa: SLF001 - as above
    folder.look()


def with_all_locks_held(store: SqliteStore, call: Callable[[], None]) -> None:
    with store._io, store._queue._lock:  # noqa: SLF001 - they are held wherever the garbage collector may run
        call()


PLACES = [on_the_writer, on_the_folder, with_all_locks_held]


@pytest.mark.parametrize("somewhere", PLACES)
def test_a_runtime_that_is_dropped_anywhere_lets_go_of_its_store(
    url: str, chain: Chain, somewhere: Callable[[SqliteStore, Callable[[], None]], None]
) -> None:
    flow, is_closed = chain(count), threading.Event()
    held = [Runtime(2, store=url, flows=[flow])]
    store = held[0].log
    assert isinstance(store, SqliteStore)
    held[0].exec(flow, job_id="job").wait(30)
    store.call_when_failed(is_closed.set)

    def drop() -> None:
        held.clear()
        gc.collect()

    somewhere(store, drop)

    assert is_closed.wait(30)
    store.close()
    with Runtime(2, store=url) as again:
        assert found(again).status == "completed"


@pytest.mark.parametrize("is_durable", [False, True])
def test_a_runtime_that_is_dropped_leaves_no_thread(chain: Chain, url: str, is_durable: bool) -> None:
    before = set(threading.enumerate())
    flow = chain(count)
    held = [Runtime(2, store=url if is_durable else None, flows=[flow] if is_durable else ())]
    job = held[0].exec(flow, entry_params={"n": 1})
    job.set_output_handler(lambda *_: None)
    assert job.wait(30)
    threads = set(threading.enumerate()) - before

    held.clear()
    del job
    gc.collect()

    for thread in threads:
        thread.join(30)
    assert len(threads) > 1
    assert not any(thread.is_alive() for thread in threads)
    assert flow.routines["a"].stats() == {"seen": 1}


def test_a_full_disk_fails_no_step_that_asks_for_a_job_by_its_id(chain: Chain, tmp_path: Path) -> None:
    connections = failing_connections()
    has_asked = threading.Event()

    def start(self: Routine, n: int) -> None:
        if n:
            connections.trouble = FULL
            self.job_state.runtime.exec(flow, entry_params={"n": 0}, job_id="kid")
            has_asked.set()

    flow = chain(start)
    store = SqliteStore(tmp_path / "jobs.db", Codec(), connection_type=connections, retry_interval=0.001)
    with Runtime(2, store=store, flows=[flow]) as runtime:
        job = runtime.exec(flow, entry_params={"n": 1}, job_id="job")
        assert has_asked.wait(30)
        assert (runtime.get_job("nobody"), runtime.dead_letters()) == (None, [])
        connections.trouble = ""

        assert job.wait(30)
        assert (job.status, found(runtime, "kid").wait(30)) == ("completed", True)
    store.close()


def test_who_waits_is_told_when_the_store_fails(broken: tuple[SqliteStore, Callable[[], None]], chain: Chain) -> None:
    (store, break_disk), flow = broken, chain(count)
    runtime = Runtime(2, store=store, flows=[flow])
    job = runtime.exec(flow, job_id="job", keep_alive=True)
    break_disk()

    with pytest.raises(FlowForgeError, match="disk I/O error"):
        runtime.post(job, "a", "input", {"n": 1})
    with pytest.raises(FlowForgeError, match="disk I/O error"):
        job.wait(5)
    runtime.shutdown(wait=False)
