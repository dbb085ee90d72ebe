"""What a running job shows may be ahead of the disk; it says so, and can be waited for."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from sqlite3 import Connection, OperationalError
from typing import Any

import pytest

from flowforge.errors import FlowForgeError
from flowforge.flow import Flow
from flowforge.job_errors import WaitInStepError
from flowforge.job_state import JobState
from flowforge.routine import Routine
from flowforge.runtime import Runtime
from flowforge.stores.codec import Codec
from flowforge.stores.sqlite import SqliteStore

Chain = Callable[..., Flow]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqliteStore]:
    store = SqliteStore(tmp_path / "jobs.db", Codec())
    yield store
    store.close()


@contextmanager
def held(store: SqliteStore) -> Iterator[None]:
    """Nothing comes to the disk in the block: the writer makes the calls, so one that does not return holds it."""
    is_held, done = threading.Event(), threading.Event()

    def hold() -> None:
        is_held.set()
        done.wait(30)

    store.call_when_safe(store.safe, hold)
    assert is_held.wait(30)
    try:
        yield
    finally:
        done.set()


@contextmanager
def ahead_of_the_disk(store: SqliteStore, chain: Chain) -> Iterator[JobState]:
    """A job whose only step was committed while nothing comes to the disk."""
    may_go_on = threading.Event()

    def count(self: Routine) -> None:
        may_go_on.wait(30)
        self.increment_stat("seen")
        self.emit("out", n=1)

    flow = chain(count)
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


class Failing(Connection):
    """Writes no frame once it is broken."""

    is_broken = False

    def execute(self, sql: str, *values: Any) -> Any:
        if self.is_broken and sql.startswith("INSERT INTO frames"):
            raise OperationalError("disk I/O error")
        return super().execute(sql, *values)


def test_a_flush_that_can_never_end_says_why(tmp_path: Path, chain: Chain) -> None:
    kind = type("Broken", (Failing,), {})
    store = SqliteStore(tmp_path / "jobs.db", Codec(), connection_type=kind)

    with ahead_of_the_disk(store, chain) as job:
        setattr(kind, "is_broken", True)  # noqa: B010 - the checker knows no attributes of made types

    with pytest.raises(FlowForgeError, match="disk I/O error"):
        job.flush()
    store.close()


def test_without_a_store_there_is_no_disk_and_no_waiting(stepped: Runtime, chain: Chain) -> None:
    job = stepped.exec(chain(lambda self: None), keep_alive=True)

    assert job.is_on_disk is None
    assert job.flush(timeout=0)


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
