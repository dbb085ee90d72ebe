"""No trouble with one job, or with the disk, lets jobs stay long."""

import sqlite3
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from flowforge.stores.codec import Codec
from flowforge.stores.sqlite import SqliteStore
from flowforge.stores.store import History
from flowforge.testing.store_contract import started, written
from tests.stores.disks import FULL, failing_connections


class Folds:
    """A fold that tells of which jobs it was called for; it can be held, and be made to fail."""

    def __init__(self) -> None:
        self.called = threading.Semaphore(0)
        self.may_go_on = threading.Event()
        self.may_go_on.set()
        self.jobs: list[str] = []
        self.fails = False

    def __call__(self, job: str, history: History) -> bytes:
        self.jobs.append(job)
        self.called.release()
        self.may_go_on.wait(30)
        if self.fails:
            raise ValueError(job)
        return b"base"


@pytest.fixture
def folds() -> Folds:
    return Folds()


def filled(store: SqliteStore, job: str, count: int) -> None:
    number = store.append(job, started())
    for position in range(2, count + 1):
        number = store.append(job, written(position, "x"))
    store.wait_until_safe(number)


def in_thread(call: Callable[[], None]) -> None:
    thread = threading.Thread(target=call)
    thread.start()
    thread.join()


def test_what_waiters_write_for_themselves_comes_into_chunks_too(tmp_path: Path, folds: Folds) -> None:
    store = SqliteStore(tmp_path / "jobs.db", Codec(), fold_records=100)
    store.fold_with(folds)

    def write() -> None:
        store.append("a", started())
        for position in range(2, 4000):
            store.wait_until_safe(store.append("a", written(position, "x")))

    in_thread(write)

    assert folds.called.acquire(timeout=30)
    assert store._tables.backlog[0] <= 2048  # noqa: SLF001 - what a start has to read
    store.close()


def test_a_full_disk_does_not_leave_a_job_long_for_ever(tmp_path: Path, folds: Folds) -> None:
    connections = failing_connections(fails_at="INSERT INTO chunks")
    store = SqliteStore(tmp_path / "jobs.db", Codec(), fold_records=100, connection_type=connections)
    filled(store, "a", 500)
    store.jobs()
    folds.may_go_on.clear()
    store.fold_with(folds)
    assert folds.called.acquire(timeout=30)
    connections.trouble = FULL
    folds.may_go_on.set()
    # Waits for the base that is being made, for which there is no space.
    store.fold_with(None)
    assert store.history("a").base is None
    connections.trouble = ""

    store.fold_with(folds)

    assert folds.called.acquire(timeout=30)
    store.close()


def test_a_damaged_job_does_not_keep_others_long(tmp_path: Path, folds: Folds) -> None:
    path = tmp_path / "jobs.db"
    store = SqliteStore(path, Codec(), fold_records=100)
    filled(store, "damaged", 500)
    filled(store, "sound", 500)
    store.close()
    connection = sqlite3.connect(path)
    connection.execute("UPDATE chunks SET data = zeroblob(length(data)) WHERE job = 'damaged'")
    connection.commit()
    connection.close()
    store = SqliteStore(path, Codec(), fold_records=100)

    store.fold_with(folds)

    assert folds.called.acquire(timeout=30)
    assert folds.jobs == ["sound"]
    store.close()


def test_a_new_job_of_an_id_whose_last_job_could_not_be_shortened_is(tmp_path: Path, folds: Folds) -> None:
    store = SqliteStore(tmp_path / "jobs.db", Codec(), fold_records=100)
    folds.fails = True
    store.fold_with(folds)
    filled(store, "a", 500)
    store.jobs()
    assert folds.called.acquire(timeout=30)
    store.fold_with(None)
    store.delete("a")
    folds.fails = False
    store.fold_with(folds)

    filled(store, "a", 500)
    store.jobs()

    assert folds.called.acquire(timeout=30)
    store.close()


def test_a_job_that_takes_the_place_of_one_being_shortened_is_shortened(tmp_path: Path, folds: Folds) -> None:
    store = SqliteStore(tmp_path / "jobs.db", Codec(), fold_records=100)
    folds.may_go_on.clear()
    store.fold_with(folds)
    filled(store, "a", 500)
    store.jobs()
    assert folds.called.acquire(timeout=30)
    store.delete("a")
    filled(store, "a", 400)
    store.jobs()

    folds.may_go_on.set()

    assert folds.called.acquire(timeout=30)
    store.close()
