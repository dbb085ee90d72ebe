"""The write-ahead log of a SQLite store: kept short, and, cut anywhere, whole as far as it goes."""

import logging
import shutil
import sqlite3
import struct
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from flowforge.records import Record
from flowforge.stores.codec import Codec
from flowforge.stores.frames import unpack
from flowforge.stores.lock_file import LockFile
from flowforge.stores.sqlite import SqliteStore
from flowforge.stores.store_errors import StoreDamagedError
from flowforge.testing.store_contract import started, written
from tests.stores.disks import held

MEGABYTE = 1 << 20


class Watched(sqlite3.Connection):
    """Tells of each attempt to cut the log, and keeps the frames that were written."""

    cuts: threading.Semaphore
    written: list[bytes]

    def execute(self, sql: str, parameters: Any = (), /) -> sqlite3.Cursor:
        cursor = super().execute(sql, parameters)
        if sql.startswith("INSERT INTO frames"):
            self.written.append(parameters[1])
        if self.has_cut and sql.startswith("PRAGMA busy_timeout"):
            self.cuts.release()
        self.has_cut = sql.startswith("PRAGMA wal_checkpoint")
        return cursor

    has_cut = False


@pytest.fixture
def connection() -> type[Watched]:
    """A type of connections for one test."""
    return type("Connection", (Watched,), {"cuts": threading.Semaphore(0), "written": []})


class Told(logging.Handler):
    """What the store has said, and a wait for the next of it."""

    def __init__(self) -> None:
        super().__init__()
        self.texts: list[str] = []
        self._new = threading.Semaphore(0)

    def emit(self, record: logging.LogRecord) -> None:
        self.texts.append(record.getMessage())
        self._new.release()

    def next(self) -> str:
        assert self._new.acquire(timeout=30)
        return self.texts[-1]


@pytest.fixture
def told() -> Iterator[Told]:
    handler = Told()
    logging.getLogger("flowforge").addHandler(handler)
    yield handler
    logging.getLogger("flowforge").removeHandler(handler)


@pytest.fixture
def store(tmp_path: Path, connection: type[Watched]) -> Iterator[SqliteStore]:
    """A store that keeps its log below a megabyte."""
    store = SqliteStore(tmp_path / "jobs.db", Codec(), log_bytes=MEGABYTE, connection_type=connection)
    store.wait_until_safe(store.append("a", started()))
    yield store
    store.close()


def log_size(store: SqliteStore) -> int:
    return Path(f"{store.path}-wal").stat().st_size


def grow(store: SqliteStore) -> None:
    """Write two megabytes."""
    store.wait_until_safe(store.append("a", written(store.safe + 1, bytes(2 * MEGABYTE))))


def test_a_long_log_is_cut_when_the_writer_has_nothing_to_do(store: SqliteStore, connection: type[Watched]) -> None:
    grow(store)

    assert connection.cuts.acquire(timeout=30)
    assert log_size(store) == 0


def test_a_reader_that_keeps_the_log_long_is_told_of_once(
    store: SqliteStore, connection: type[Watched], told: Told
) -> None:
    reader = sqlite3.connect(store.path, isolation_level=None)
    reader.execute("BEGIN")
    reader.execute("SELECT count(*) FROM frames").fetchall()
    grow(store)
    assert "has grown to" in told.next()
    size = log_size(store)
    grow(store)
    for _ in range(2):
        assert connection.cuts.acquire(timeout=30)
    assert log_size(store) > size > MEGABYTE

    reader.close()
    grow(store)

    assert told.next() == f"The log of the store {store.path!r} is short again."
    assert (log_size(store), len(told.texts)) == (0, 2)
    assert "another program has a transaction open that reads the file. It grows until that ends it." in told.texts[0]


def test_who_waits_for_the_disk_does_not_wait_for_a_reader(store: SqliteStore) -> None:
    reader = sqlite3.connect(store.path, isolation_level=None)
    reader.execute("BEGIN")
    reader.execute("SELECT count(*) FROM frames").fetchall()

    for _ in range(30):
        grow(store)

    # With SQLite's own patience of five seconds for each attempt, this would not have ended yet.
    assert store.safe == 31
    assert store.records("a")[-1].position == 31
    reader.close()


def test_large_records_hold_up_those_of_other_jobs_by_one_frame(store: SqliteStore, connection: type[Watched]) -> None:
    store.append("b", started())

    with held(store, store.append("a", written(2))):
        before = len(connection.written)
        for position in range(3, 6):
            store.append("a", written(position, bytes(10 * MEGABYTE)))
        small = store.append("b", written(2))
        late = store.append("a", written(6, bytes(10 * MEGABYTE)))
    store.wait_until_safe(late)

    frames = [unpack(data, None) for data in connection.written[before:]]
    assert frames[0].first <= small <= frames[0].last


# Loss of power

HISTORY: list[Record] = [started(), *[written(position, "x" * 50) for position in range(2, 14)]]
_HEADER, _FRAME_HEADER = 32, 24


@pytest.fixture
def killed(tmp_path: Path) -> Iterator[Path]:
    """A store that was killed, with all that it ever held in its log: chunks of a job, and frames after them."""
    folder = tmp_path / "original"
    folder.mkdir()
    store = SqliteStore(folder / "jobs.db", Codec())
    for record in HISTORY:
        store.wait_until_safe(store.append("a", record))
        if record.position == 7:
            store.jobs()
    shutil.copytree(folder, tmp_path / "killed")
    yield tmp_path / "killed"
    store.close()


def places(log: bytes) -> list[int]:
    """Where the frames of SQLite's log end, and somewhere inside of each."""
    (size,) = struct.unpack_from(">I", log, 8)
    ends = range(_HEADER, len(log) + 1, _FRAME_HEADER + size)
    return [*ends, *(end + 10 for end in ends), *(end + _FRAME_HEADER + size // 2 for end in ends)]


def cut_at(killed: Path, place: int, *, acknowledged: int | None) -> Path:
    """A copy whose log ends there, and beside which stands that so many records were safe, or what stood there."""
    folder = killed.parent / f"cut at {place} {acknowledged}"
    shutil.copytree(killed, folder)
    log = folder / "jobs.db-wal"
    log.write_bytes(log.read_bytes()[:place])
    (folder / "jobs.db-shm").unlink()
    if acknowledged is not None:
        lock = LockFile(folder / "jobs.db")
        lock.begin(str(lock.identity), acknowledged)
        lock.close()
    return folder / "jobs.db"


def test_each_commit_is_synchronised(store: SqliteStore) -> None:
    grow(store)
    store.vacuum()

    database = store._file.connection  # noqa: SLF001 - SQLite does not tell anybody else
    assert database.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    assert database.execute("PRAGMA synchronous").fetchone() == (2,)


def test_a_log_that_ends_before_what_was_acknowledged_is_reported(killed: Path) -> None:
    log = (killed / "jobs.db-wal").read_bytes()

    outcomes = [is_refused(cut_at(killed, place, acknowledged=None)) for place in places(log) if place < len(log)]

    assert set(outcomes) == {True}


def is_refused(path: Path) -> bool:
    try:
        SqliteStore(path, Codec()).close()
    except StoreDamagedError:
        return True
    return False


def test_a_log_that_ends_after_what_was_acknowledged_goes_on_from_its_end(killed: Path) -> None:
    log = (killed / "jobs.db-wal").read_bytes()

    counts = [went_on(cut_at(killed, place, acknowledged=0)) for place in sorted(places(log))]

    assert counts == sorted(counts)
    assert set(counts) == set(range(len(HISTORY) + 1))


def went_on(path: Path) -> int:
    """How many records there were; one more is there after the next opening."""
    store = SqliteStore(path, Codec())
    records = store.records("a")
    assert records == HISTORY[: len(records)]
    following = started() if not records else written(len(records) + 1, "on")
    store.wait_until_safe(store.append("a", following))
    store.close()
    again = SqliteStore(path, Codec())
    assert again.records("a") == [*records, following]
    again.close()
    return len(records)


def test_a_log_that_ends_somewhere_has_all_that_was_acknowledged_or_is_refused(killed: Path) -> None:
    paths = [cut_at(killed, place, acknowledged=9) for place in places((killed / "jobs.db-wal").read_bytes())]

    outcomes = [is_refused(path) or went_on(path) >= 9 for path in paths]

    assert set(outcomes) == {True}
