"""What a running job shows may be ahead of the disk; it says so, and can be waited for."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from flowforge.errors import FlowForgeError
from flowforge.flow import Flow
from flowforge.job_errors import WaitInStepError
from flowforge.job_state import JobState
from flowforge.routine import Routine
from flowforge.runtime import Runtime
from flowforge.stores.codec import Codec
from flowforge.stores.sqlite import SqliteStore
from tests.engine.machine import Machine
from tests.handlers import count
from tests.stores.disks import BROKEN, failing_connections, held

Chain = Callable[..., Flow]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqliteStore]:
    store = SqliteStore(tmp_path / "jobs.db", Codec())
    yield store
    store.close()


@contextmanager
def ahead_of_the_disk(store: SqliteStore, chain: Chain) -> Iterator[JobState]:
    """A job whose only step was committed while nothing comes to the disk."""
    may_go_on = threading.Event()

    def late(self: Routine) -> None:
        may_go_on.wait(30)
        self.increment_stat("seen")
        self.emit("out", n=1)

    flow = chain(late)
    with Runtime(2, store=store, flows=[flow]) as runtime:
        job = runtime.exec(flow, entry_params={})
        with held(store):
            may_go_on.set()
            next(job.subscribe(from_position=2))
            yield job


def test_a_reading_that_is_ahead_of_the_disk_says_so(store: SqliteStore, chain: Chain) -> None:
    with ahead_of_the_disk(store, chain) as job:
        assert job.get_routine_state("a") == {"seen": 1}
        assert job.is_on_disk is False
        assert not job.flush(timeout=0)

    assert job.flush(timeout=30)
    assert job.is_on_disk


def test_what_was_flushed_is_in_the_store(store: SqliteStore, chain: Chain) -> None:
    with ahead_of_the_disk(store, chain) as job:
        before = store.safe

    assert job.flush()
    assert store.safe > before
    assert [record.position for record in store.records(job.job_id)] == list(range(1, store.safe + 1))


def test_statistics_tell_that_the_disk_is_behind_until_it_is_not(store: SqliteStore, chain: Chain) -> None:
    with ahead_of_the_disk(store, chain) as job:
        runtime = job.runtime
        assert runtime.statistics().unsafe_records > 0

    assert job.wait(30)
    assert runtime.statistics().unsafe_records == 0


def test_statistics_count_what_a_crash_could_take_of_all_jobs(machine: Machine, chain: Chain) -> None:
    flow = chain(count, count)
    runtime = machine.boot(flow)
    counts = [runtime.statistics().unsafe_records]
    for job_id in "one", "two", "three":
        runtime.exec(flow, job_id=job_id, keep_alive=True)
        counts.append(runtime.statistics().unsafe_records)
    machine.store.flush(2)
    counts.append(runtime.statistics().unsafe_records)
    machine.run()
    counts.append(runtime.statistics().unsafe_records)

    assert counts == [0, 1, 2, 3, 1, 0]
    assert machine.boot(flow).statistics().unsafe_records == machine.store.waiting == 3


def test_what_another_process_has_written_is_safe(machine: Machine, chain: Chain) -> None:
    flow = chain(count)
    machine.boot(flow).exec(flow, job_id="job")
    machine.run()

    assert machine.boot(flow).statistics().unsafe_records == 0


def test_a_flush_that_can_never_end_says_why(tmp_path: Path, chain: Chain) -> None:
    connections = failing_connections()
    store = SqliteStore(tmp_path / "jobs.db", Codec(), connection_type=connections)

    with ahead_of_the_disk(store, chain) as job:
        connections.trouble = BROKEN

    with pytest.raises(FlowForgeError, match=BROKEN):
        job.flush()
    store.close()


def test_without_a_store_there_is_no_disk_and_no_waiting(stepped: Runtime, chain: Chain) -> None:
    job = stepped.exec(chain(lambda self: None), keep_alive=True)

    assert job.is_on_disk is None
    assert job.flush(timeout=0)
    assert stepped.statistics().unsafe_records == 0


def test_a_handler_may_not_wait_for_the_disk(store: SqliteStore, chain: Chain) -> None:
    flow = chain(lambda self: self.job_state.flush())
    with Runtime(2, store=store, flows=[flow]) as runtime:
        job = runtime.exec(flow)
        assert job.wait(30)

    assert job.error is not None
    assert job.error.type == WaitInStepError.__name__


def test_a_job_that_a_step_starts_is_on_disk_once_it_was_flushed(store: SqliteStore, chain: Chain) -> None:
    started: list[JobState] = []
    shown: list[bool | None] = []
    other = chain(lambda self: None)
    other.flow_id = "other"

    def start(self: Routine) -> None:
        started.append(runtime.exec(other, job_id="child", keep_alive=True))
        shown.append(started[0].is_on_disk)

    flow = chain(start)
    with Runtime(2, store=store, flows=[flow, other]) as runtime:
        assert runtime.exec(flow).wait(30)

        assert started[0].flush(30)
        assert shown == [False]
        assert "child" in [job.id for job in store.jobs()]
