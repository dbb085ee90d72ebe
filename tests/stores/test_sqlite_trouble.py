"""A SQLite store on a disk that is full, broken or damaged: it waits, stops or says so; it never shortens history."""

import logging
import shutil
import sqlite3
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from flowforge.errors import FlowForgeError
from flowforge.records import Record
from flowforge.stores.codec import Codec
from flowforge.stores.sqlite import SqliteStore
from flowforge.stores.store import History, KnownJob
from flowforge.stores.store_errors import StoreDamagedError, StoreFailedError, StoreFullError
from flowforge.testing.store_contract import moved, started, written
from tests.stores.disks import held

BLOCK = 512


class Watched(sqlite3.Connection):
    """A connection that a test can reach, and whose next statement it can let fail."""

    opened: "list[Watched]"
    fails_at = ""
    error: BaseException | None = None
    has_failed: threading.Event

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.has_failed = threading.Event()
        self.opened.append(self)

    def execute(self, sql: str, parameters: Any = (), /) -> sqlite3.Cursor:
        try:
            if self.error is not None and sql.startswith(self.fails_at):
                raise self.error
            return super().execute(sql, parameters)
        except BaseException:
            self.has_failed.set()
            raise


@pytest.fixture
def connection() -> type[Watched]:
    """A type of connections; the last one is in its `opened`."""
    return type("Connection", (Watched,), {"opened": []})


def opened(path: Path, **options: Any) -> SqliteStore:
    return SqliteStore(path, Codec(), retry_interval=0.001, **options)


def failing(name: str) -> sqlite3.OperationalError:
    error = sqlite3.OperationalError("no good")
    error.sqlite_errorname = name
    return error


@pytest.mark.parametrize("large_bytes", [1 << 20, 1000])
def test_a_full_disk_stalls_says_so_once_and_goes_on(
    tmp_path: Path, connection: type[Watched], caplog: pytest.LogCaptureFixture, large_bytes: int
) -> None:
    store = opened(tmp_path / "jobs.db", connection_type=connection, large_bytes=large_bytes)
    store.wait_until_safe(store.append("a", started()))
    called = threading.Event()
    pages = connection.opened[-1].execute("PRAGMA page_count").fetchone()[0]
    connection.opened[-1].execute(f"PRAGMA max_page_count = {pages}").close()

    numbers = [store.append("a", written(position, f"{position}" * 5000)) for position in range(2, 30)]
    store.call_when_safe(numbers[-1], called.set)
    for _ in range(3):
        connection.opened[-1].has_failed.clear()
        assert connection.opened[-1].has_failed.wait(30)
    assert store.safe < numbers[-1]
    assert not called.is_set()
    connection.opened[-1].execute("PRAGMA max_page_count = 1000000").close()

    store.wait_until_safe(numbers[-1])
    assert called.wait(30)
    assert [record.position for record in store.records("a")] == list(range(1, 30))
    texts = [record.getMessage() for record in caplog.records]
    assert len([text for text in texts if "cannot be written (database or disk is full). Its jobs wait" in text]) == 1
    assert len([text for text in texts if "can be written again, and goes on." in text]) == 1
    store.close()


def test_a_store_that_is_closed_while_the_disk_is_full_says_what_it_lost(
    tmp_path: Path, connection: type[Watched]
) -> None:
    store = opened(tmp_path / "jobs.db", connection_type=connection)
    store.wait_until_safe(store.append("a", started()))
    connection.opened[-1].fails_at, connection.opened[-1].error = "INSERT INTO frames", failing("SQLITE_FULL")

    number = store.append("a", written(2))
    assert connection.opened[-1].has_failed.wait(30)
    store.close()

    with pytest.raises(StoreFailedError, match="there was no space for its last records when it was closed"):
        store.wait_until_safe(number)
    again = opened(tmp_path / "jobs.db")
    assert again.records("a") == [started()]
    again.close()


@pytest.mark.parametrize("name", ["SQLITE_FULL", "SQLITE_BUSY"])
@pytest.mark.parametrize("large_bytes", [1 << 20, 10])
def test_reading_needs_no_space(tmp_path: Path, connection: type[Watched], name: str, large_bytes: int) -> None:
    store = opened(tmp_path / "jobs.db", connection_type=connection, large_bytes=large_bytes)
    store.append("old", started())
    store.wait_until_safe(store.append("old", written(2, "x" * 100)))
    store.jobs()
    store.append("old", written(3, "y" * 100))
    store.append("new", started())
    store.wait_until_safe(store.append("new", moved(2, "completed")))
    connection.opened[-1].fails_at, connection.opened[-1].error = "BEGIN", failing(name)

    while_full = seen(store)

    connection.opened[-1].error = None
    store.close()
    again = opened(tmp_path / "jobs.db")
    assert while_full == seen(again)
    assert [len(history.records) for history in while_full[1]] == [3, 2, 0]
    assert [(job.id, job.status) for job in while_full[0]] == [("old", "running"), ("new", "completed")]
    again.close()


def seen(store: SqliteStore) -> tuple[list[KnownJob], list[History], list[list[Record]]]:
    """All that can be read."""
    names = ["old", "new", "nobody"]
    histories = [store.history(job) for job in names]
    whole = [History(history.base, list(history.records)) for history in histories]
    return store.jobs(), whole, [list(store.every_record(job, 2)) for job in names]


def test_letting_jobs_go_needs_space_and_says_so(tmp_path: Path, connection: type[Watched]) -> None:
    store = opened(tmp_path / "jobs.db", connection_type=connection)
    store.append("a", started())
    store.wait_until_safe(store.append("a", moved(2, "completed")))
    connection.opened[-1].fails_at, connection.opened[-1].error = "BEGIN", failing("SQLITE_FULL")

    forgets: list[Callable[[], int]] = [store.prune, lambda: store.delete("a")]
    for forget in forgets:
        with pytest.raises(StoreFullError, match=r"has no space: no good\. Free some on its disk\."):
            forget()

    connection.opened[-1].error = None
    assert (store.prune(), store.jobs()) == (1, [])
    store.close()


def test_a_full_disk_does_not_end_the_shortening_of_jobs(tmp_path: Path, connection: type[Watched]) -> None:
    store = opened(tmp_path / "jobs.db", connection_type=connection, fold_records=10)
    store.append("a", started())
    for position in range(2, 100):
        store.append("a", written(position))
    store.wait_until_safe(99)
    store.jobs()
    database, folded, has_failed = connection.opened[-1], threading.Event(), threading.Event()

    def fold(job: str, history: History) -> bytes:
        if not has_failed.is_set():
            database.fails_at, database.error = "BEGIN", failing("SQLITE_FULL")
            database.has_failed.clear()
            has_failed.set()
        else:
            folded.set()
        return b"base"

    store.fold_with(fold)
    assert has_failed.wait(30)
    assert database.has_failed.wait(30)
    database.error = None
    store.wait_until_safe(store.append("a", written(100)))
    store.jobs()

    assert folded.wait(30)
    store.close()


def test_a_failed_write_ends_all_acknowledgement(
    tmp_path: Path, connection: type[Watched], caplog: pytest.LogCaptureFixture
) -> None:
    store = opened(tmp_path / "jobs.db", connection_type=connection)
    safe = store.append("a", started())
    store.wait_until_safe(safe)
    connection.opened[-1].fails_at, connection.opened[-1].error = "INSERT INTO frames", failing("SQLITE_IOERR_FSYNC")
    called: list[int] = []

    number = store.append("a", written(2))
    store.call_when_safe(number, lambda: called.append(number))
    with pytest.raises(StoreFailedError, match=r"has failed: no good\. It is not known what reached the disk"):
        store.wait_until_safe(number)
    connection.opened[-1].error = None
    late = store.append("a", written(3))
    store.call_when_safe(late, lambda: called.append(late))

    with pytest.raises(StoreFailedError, match="start the process again"):
        store.wait_until_safe(late)
    with pytest.raises(StoreFailedError, match="look after the disk"):
        store.records("a")
    store.close()
    assert (store.safe, called) == (safe, [])
    assert len([record for record in caplog.records if record.levelno == logging.CRITICAL]) == 1


def test_a_failed_write_of_chunks_ends_all_acknowledgement(tmp_path: Path, connection: type[Watched]) -> None:
    store = opened(tmp_path / "jobs.db", connection_type=connection)
    connection.opened[-1].fails_at, connection.opened[-1].error = "INSERT INTO chunks", failing("SQLITE_IOERR_WRITE")
    number = store.append("a", started())

    def write_on() -> None:
        last = number
        for position in range(2, 1000):
            store.wait_until_safe(last)
            last = store.append("a", written(position))

    with pytest.raises(StoreFailedError, match="has failed: no good"):
        write_on()

    connection.opened[-1].error = None
    store.close()
    again = opened(tmp_path / "jobs.db")
    assert len(again.records("a")) == store.safe
    again.close()


def test_a_writer_that_breaks_leaves_nobody_waiting(tmp_path: Path, connection: type[Watched]) -> None:
    store = opened(tmp_path / "jobs.db", connection_type=connection)
    connection.opened[-1].fails_at, connection.opened[-1].error = "INSERT INTO frames", MemoryError("none left")

    number = store.append("a", started())

    with pytest.raises(StoreFailedError, match=r"its writer broke with MemoryError\('none left'\)"):
        store.wait_until_safe(number)
    store.close()


def raising() -> None:
    raise ValueError("a defect of whoever waits")


def test_a_callback_that_raises_is_logged_and_harms_nobody(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    store = opened(tmp_path / "jobs.db")
    called = threading.Event()

    store.call_when_safe(store.append("a", started()), raising)
    store.call_when_safe(store.append("a", written(2)), called.set)

    assert called.wait(30)
    assert "What was to follow a commit raised." in caplog.text
    store.close()


# Damage

HISTORY: list[Record] = [started(), *[written(position, "x" * 50) for position in range(2, 40)], moved(40, "paused")]


def copy_of(folder: Path, target: Path) -> Path:
    """The files as a kill would leave them."""
    target.mkdir()
    for file in folder.iterdir():
        shutil.copy(file, target / file.name)
    return target / "jobs.db"


@pytest.fixture
def killed(tmp_path: Path) -> Iterator[Path]:
    """The folder of a store with two jobs that was killed, part of it in the write-ahead log, part in chunks."""
    folder = tmp_path / "original"
    folder.mkdir()
    store = opened(folder / "jobs.db")
    for record in HISTORY[:20]:
        store.wait_until_safe(store.append("a", record))
        store.append("b", record)
    store.jobs()
    for record in HISTORY[20:]:
        store.wait_until_safe(store.append("b", record))
        store.append("a", record)
    store.wait_until_safe(2 * len(HISTORY))
    yield Path(copy_of(folder, tmp_path / "killed")).parent
    store.close()


def is_whole(path: Path) -> bool:
    """Whether all is there; False if damage is reported. Anything between the two fails the test."""
    try:
        store = opened(path)
    except StoreDamagedError:
        return False
    try:
        jobs = [(job.id, job.flow, job.status, job.changed) for job in store.jobs()]
        histories = [store.records(job) for job in "ab"]
    except StoreDamagedError:
        return False
    finally:
        store.close()
    assert jobs == [(job, "flow", "paused", 1.0) for job in "ab"]
    assert histories == [HISTORY, HISTORY]
    return True


def test_a_killed_store_that_is_not_damaged_is_whole(killed: Path) -> None:
    assert is_whole(killed / "jobs.db")


@pytest.mark.parametrize("within", [0, 20, 100, 300, 511])
@pytest.mark.parametrize("suffix", ["", "-wal"])
def test_a_flipped_byte_is_reported_or_does_no_harm(killed: Path, tmp_path: Path, suffix: str, within: int) -> None:
    if not suffix:
        # Otherwise the log would hide each page of so small a database.
        opened(killed / "jobs.db").close()
    size = Path(f"{killed / 'jobs.db'}{suffix}").stat().st_size

    outcomes = {is_whole(flipped(copy_of(killed, tmp_path / str(at)), suffix, at)) for at in range(within, size, BLOCK)}

    assert False in outcomes


def test_a_flipped_byte_beside_it_is_reported_or_does_no_harm(killed: Path, tmp_path: Path) -> None:
    outcomes = [is_whole(flipped(copy_of(killed, tmp_path / str(at)), ".lock", at)) for at in range(96)]

    # The identity is the middle third; the pid before it is for people, and of the numbers there are two.
    assert outcomes == [True] * 32 + [False] * 32 + [True] * 32


def flipped(path: Path, suffix: str, at: int) -> Path:
    file = Path(f"{path}{suffix}")
    data = bytearray(file.read_bytes())
    data[at] ^= 0x41
    file.write_bytes(data)
    return path


def cut(share: float) -> Callable[[Path], None]:
    def change(path: Path) -> None:
        log = Path(f"{path}-wal")
        log.write_bytes(log.read_bytes()[: int(log.stat().st_size * share)])

    return change


def exchange(path: Path) -> None:
    """Another store, that is as long, comes in its place."""
    other = opened(path.parent / "other.db")
    for record in HISTORY:
        other.append("a", record)
        other.append("b", record)
    other.close()
    Path(f"{path}-wal").unlink()
    (path.parent / "other.db").rename(path)


def lose_all(path: Path) -> None:
    for suffix in ("", "-wal", "-shm"):
        Path(f"{path}{suffix}").unlink()


def overwrite(suffix: str) -> Callable[[Path], None]:
    def change(path: Path) -> None:
        Path(f"{path}-wal").unlink()
        Path(f"{path}{suffix}").write_text("something else " * 1000)

    return change


LOSSES: dict[str, tuple[Callable[[Path], None], str]] = {
    "log lost": (cut(0), "were safe, are not in it"),
    "log cut": (cut(0.97), "were safe, are not in it"),
    "log halved": (cut(0.5), "were safe, are not in it"),
    "all lost": (lose_all, "80 were safe"),
    "exchanged": (exchange, "another store lies in its place"),
    "overwritten": (overwrite(""), "is damaged"),
    "lock overwritten": (overwrite(".lock"), "the .lock file beside it is not what was written"),
}


@pytest.mark.parametrize("loss", LOSSES)
def test_lost_files_are_reported(killed: Path, loss: str) -> None:
    change, message = LOSSES[loss]

    change(killed / "jobs.db")

    with pytest.raises(StoreDamagedError, match=message) as caught:
        opened(killed / "jobs.db")
    assert "Nothing was read as a shorter history; restore it from a backup" in str(caught.value)


def test_a_format_of_a_later_version_is_refused(tmp_path: Path) -> None:
    opened(tmp_path / "jobs.db").close()
    other = sqlite3.connect(tmp_path / "jobs.db")
    other.execute("UPDATE meta SET value = 99 WHERE key = 'format'")
    other.commit()
    other.close()

    with pytest.raises(StoreDamagedError, match="its format is 99, and this version reads 1"):
        opened(tmp_path / "jobs.db")


def test_whoever_waits_writes_for_himself_unless_a_signal_could_interrupt_him(tmp_path: Path) -> None:
    store = opened(tmp_path / "jobs.db")

    with held(store, store.append("a", started())):
        number = store.append("a", written(2))
        store._writer.write_for_caller()  # noqa: SLF001 - the main thread would wait for the writer
        assert store.safe == 1
        waiting = threading.Thread(target=store.wait_until_safe, args=(number,))
        waiting.start()
        waiting.join(30)
        assert store.safe == 2

    store.close()


def test_what_a_waiting_thread_could_not_write_is_written_in_order(tmp_path: Path, connection: type[Watched]) -> None:
    store = opened(tmp_path / "jobs.db", connection_type=connection)
    database = connection.opened[-1]
    database.fails_at, database.error = "INSERT INTO frames", failing("SQLITE_FULL")

    def append_and_wait() -> None:
        store.wait_until_safe(store.append("a", started()))

    waiting = threading.Thread(target=append_and_wait)
    waiting.start()
    assert database.has_failed.wait(30)
    last = store.append("a", written(2))
    database.error = None
    waiting.join(30)
    store.wait_until_safe(last)

    assert store.records("a") == [started(), written(2)]
    store.close()


def test_nothing_on_the_main_thread_changes_the_file(tmp_path: Path, connection: type[Watched]) -> None:
    """A handler of a signal may raise there between any two lines."""
    store = opened(tmp_path / "jobs.db", connection_type=connection)
    database, wrote = connection.opened[-1], []
    execute = database.execute

    def noted(sql: str, parameters: Any = (), /) -> sqlite3.Cursor:
        if not sql.startswith(("SELECT", "PRAGMA")):
            wrote.append((sql.split(maxsplit=1)[0], threading.current_thread() is threading.main_thread()))
        return execute(sql, parameters)

    database.execute = noted  # type: ignore[method-assign]
    store._tables._execute = noted  # noqa: SLF001 - bound before the test could wrap it
    for record in started(), moved(2, "completed"):
        store.wait_until_safe(store.append("a", record))
    assert len(store.records("a")) == 2
    assert [job.id for job in store.jobs()] == ["a"]
    assert store.prune() == 1
    assert store.delete("a") == 0
    store.vacuum()
    store.close()

    assert {"INSERT", "BEGIN", "DELETE", "VACUUM", "COMMIT"} <= {word for word, _ in wrote}
    assert not any(on_main for _, on_main in wrote)


def test_what_fails_off_the_main_thread_is_raised_where_it_was_asked_for(tmp_path: Path) -> None:
    store = opened(tmp_path / "jobs.db")
    store.close()

    with pytest.raises(FlowForgeError, match="closed"):
        store.vacuum()


def test_no_frame_is_written_into_a_change_that_was_not_ended(tmp_path: Path) -> None:
    store = opened(tmp_path / "jobs.db")
    store._file.connection.execute("BEGIN IMMEDIATE")  # noqa: SLF001 - nothing of ours leaves it so

    number = store.append("a", started())

    with pytest.raises(StoreFailedError, match="a change of it was begun and not ended"):
        store.wait_until_safe(number)
    store.close()
    store = opened(tmp_path / "jobs.db")
    assert store.jobs() == []
    store.close()
