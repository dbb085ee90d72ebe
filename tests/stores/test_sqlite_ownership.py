"""Whose a SQLite store is: one process's at a time, readable by nobody else, on a disk of this machine."""

import fcntl
import os
import signal
import sqlite3
import stat
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from flowforge.stores.codec import Codec
from flowforge.stores.sqlite import SqliteStore
from flowforge.stores.sqlite_file import refuse_network
from flowforge.stores.store_errors import (
    StoreDamagedError,
    StoreFencedError,
    StoreForkedError,
    StoreInUseError,
    StoreModeError,
    StoreSettingError,
    StoreUnreachableError,
)
from flowforge.testing.store_contract import started, written

HOLDER = """
import sys
from flowforge.stores.codec import Codec
from flowforge.stores.sqlite import SqliteStore
from flowforge.testing.store_contract import started
store = SqliteStore(sys.argv[1], Codec())
store.wait_until_safe(store.append("a", started()))
print("open", flush=True)
sys.stdin.read()
"""


FORK = """
import os
end, start = os.pipe()
if os.fork() == 0:
    os.write(start, b".")
    sys.stdin.read()
    os._exit(0)
os.read(end, 1)
os._exit(0)
"""


def opened(path: Path, **options: Any) -> SqliteStore:
    return SqliteStore(path, Codec(), **options)


def held_by_another(path: Path, repository: Path) -> subprocess.Popen[str]:
    environment = {"PYTHONPATH": str(repository), "PATH": "/usr/bin:/bin"}
    command = [sys.executable, "-c", HOLDER, str(path)]
    process = subprocess.Popen(command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "open\n"
    return process


def test_a_second_process_is_refused_with_the_first_ones_pid(tmp_path: Path, repository: Path) -> None:
    path = tmp_path / "jobs.db"

    with held_by_another(path, repository) as holder:
        with pytest.raises(StoreInUseError, match=rf"is in use by the process {holder.pid}\. Shut that down") as caught:
            opened(path)
        holder.kill()

    assert caught.value.holder == holder.pid
    store = opened(path)
    assert len(store.records("a")) == 1
    store.close()


def test_a_stopped_process_keeps_its_store(tmp_path: Path, repository: Path) -> None:
    path = tmp_path / "jobs.db"

    with held_by_another(path, repository) as holder:
        holder.send_signal(signal.SIGSTOP)
        with pytest.raises(StoreInUseError, match=f"the process {holder.pid}"):
            opened(path)
        holder.kill()


def test_a_second_store_of_the_same_process_is_refused(tmp_path: Path) -> None:
    store = opened(tmp_path / "jobs.db")

    with pytest.raises(StoreInUseError, match=r"is in use by another runtime\. .* a store of its own\."):
        opened(tmp_path / "jobs.db")

    store.wait_until_safe(store.append("a", started()))
    store.close()
    opened(tmp_path / "jobs.db").close()


def let_go_of_the_lock(path: Path) -> None:
    """As if the lock had been lost, for whatever reason: the file is another one from now on."""
    lock = Path(f"{path}.lock")
    copy = lock.read_bytes()
    lock.unlink()
    lock.write_bytes(copy)


def test_a_process_that_was_taken_over_commits_nothing_more(tmp_path: Path) -> None:
    path = tmp_path / "jobs.db"
    old = opened(path)
    old.wait_until_safe(old.append("a", started()))
    let_go_of_the_lock(path)
    new = opened(path)

    late = old.append("a", written(2, "old"))
    with pytest.raises(StoreFencedError, match=r"was taken over by another process.*End this process"):
        old.wait_until_safe(late)
    new.wait_until_safe(new.append("a", written(2, "new")))

    old.close()
    assert new.records("a") == [started(), written(2, "new")]
    new.close()


def test_a_process_that_was_taken_over_moves_nothing_either(tmp_path: Path) -> None:
    path = tmp_path / "jobs.db"
    old = opened(path)
    old.wait_until_safe(old.append("a", started()))
    let_go_of_the_lock(path)
    new = opened(path)

    with pytest.raises(StoreFencedError, match="can write no more"):
        old.delete(["a"])
    old.close()

    assert new.records("a") == [started()]
    new.close()


def test_a_forked_child_can_neither_write_nor_read_nor_unlock(tmp_path: Path) -> None:
    path = tmp_path / "jobs.db"
    store = opened(path)
    store.wait_until_safe(store.append("a", started()))

    child = os.fork()
    if child == 0:
        signal.alarm(10)
        os._exit(forked_child(store))
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])

    assert code == 0
    with pytest.raises(StoreInUseError):
        opened(path)
    store.wait_until_safe(store.append("a", written(2)))
    store.close()
    again = opened(path)
    assert again.records("a") == [started(), written(2)]
    again.close()


def forked_child(store: SqliteStore) -> int:
    """How many of three things went as they must not."""
    wrong = 0
    store.call_when_safe(1, lambda: None)
    number = store.append("a", written(2, "child"))
    for attempt in (lambda: store.wait_until_safe(number), lambda: store.records("a"), store.jobs):
        try:
            attempt()
        except StoreForkedError as error:
            wrong += "belongs to the process that this one was forked from" not in str(error)
        else:
            wrong += 1
    store.close()
    return wrong


def test_a_child_that_outlives_its_parent_does_not_keep_the_lock(tmp_path: Path, repository: Path) -> None:
    program = HOLDER.replace("sys.stdin.read()", FORK)
    environment = {"PYTHONPATH": str(repository), "PATH": "/usr/bin:/bin"}
    command = [sys.executable, "-W", "ignore", "-c", program, str(tmp_path / "jobs.db")]
    with subprocess.Popen(command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL) as process:
        process.wait(30)
        store = opened(tmp_path / "jobs.db")

    assert len(store.records("a")) == 1
    store.close()


FILES = ["jobs.db", "jobs.db-wal", "jobs.db-shm", "jobs.db.lock"]


def modes_in(folder: Path) -> dict[str, int]:
    return {file.name: stat.S_IMODE(file.stat().st_mode) for file in folder.iterdir()}


def test_nobody_else_may_read_any_of_its_files(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        store = opened(tmp_path / "jobs.db")
        store.wait_until_safe(store.append("a", started()))
        modes = modes_in(tmp_path)
        store.close()
    finally:
        os.umask(before)

    assert modes == dict.fromkeys(FILES, 0o600)


def test_files_that_were_there_before_are_closed_to_others(tmp_path: Path, repository: Path) -> None:
    with held_by_another(tmp_path / "jobs.db", repository) as holder:
        holder.kill()
    for file in tmp_path.iterdir():
        file.chmod(0o664)

    store = opened(tmp_path / "jobs.db")

    assert modes_in(tmp_path) == dict.fromkeys(FILES, 0o600)
    assert len(store.records("a")) == 1
    store.close()


@pytest.mark.parametrize("name", FILES)
def test_a_file_that_stays_open_to_others_is_refused(
    tmp_path: Path, repository: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    def refuse(descriptor: int, mode: int) -> None:
        raise PermissionError(descriptor, mode)

    with held_by_another(tmp_path / "jobs.db", repository) as holder:
        holder.kill()
    (tmp_path / name).chmod(0o640)
    with monkeypatch.context() as patch:
        patch.setattr(os, "fchmod", refuse)
        with pytest.raises(StoreModeError, match=rf"{name}' of a store has the mode 0640, .* run chmod 600") as caught:
            opened(tmp_path / "jobs.db")

    assert (Path(caught.value.path).name, caught.value.mode) == (name, 0o640)
    opened(tmp_path / "jobs.db").close()


MOUNTS = """\
/dev/sda / ext4 rw 0 0
server:/home /home nfs4 rw 0 0
/dev/sdb /home/local ext4 rw 0 0
//host/share /mnt/with\\040space cifs rw 0 0
"""


@pytest.mark.parametrize(("path", "kind"), [("/home/jobs.db", "nfs4"), ("/mnt/with space/x/jobs.db", "cifs")])
def test_a_network_file_system_is_refused(path: str, kind: str) -> None:
    with pytest.raises(StoreSettingError, match=rf"its file system = 'a local one', it has '{kind}'\. Put it on"):
        refuse_network(Path(path), MOUNTS)


def test_a_store_looks_where_it_is_before_it_makes_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "share"
    folder.mkdir()
    mounts = tmp_path / "mounts"
    mounts.write_text(f"server:/share {folder} nfs4 rw 0 0\n")
    monkeypatch.setattr("flowforge.stores.sqlite_file._MOUNTS", mounts)

    with pytest.raises(StoreSettingError, match="it has 'nfs4'"):
        opened(folder / "jobs.db")

    assert list(folder.iterdir()) == []


@pytest.mark.parametrize("path", ["/jobs.db", "/home/local/jobs.db", "/homes/jobs.db"])
def test_a_local_file_system_is_fine(path: str) -> None:
    refuse_network(Path(path), MOUNTS)


class Stubborn(sqlite3.Connection):
    """A database that keeps one of its settings."""

    setting = ""
    found = 0

    def execute(self, sql: str, parameters: Any = (), /) -> sqlite3.Cursor:
        if sql == f"PRAGMA {self.setting}":
            return super().execute("SELECT ?", (self.found,))
        return super().execute(sql, parameters)


def test_files_may_be_links_to_files_elsewhere(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    for name in ("jobs.db", "jobs.db.lock"):
        (tmp_path / "elsewhere" / name).touch(0o644)
        (tmp_path / name).symlink_to(tmp_path / "elsewhere" / name)

    opened(tmp_path / "jobs.db").close()

    modes = modes_in(tmp_path / "elsewhere")
    assert (modes["jobs.db"], modes["jobs.db.lock"]) == (0o600, 0o600)


SETTINGS = ["journal_mode", "synchronous", "fullfsync", "busy_timeout", "mmap_size", "foreign_keys"]


@pytest.mark.parametrize("setting", SETTINGS)
def test_a_setting_that_is_not_honoured_is_refused(tmp_path: Path, setting: str) -> None:
    connection = type("Connection", (Stubborn,), {"setting": setting, "found": 77})

    with pytest.raises(StoreSettingError, match=rf"does not honour {setting} = .*, it has 77\. Put it on a local"):
        opened(tmp_path / "jobs.db", connection_type=connection)

    opened(tmp_path / "jobs.db").close()


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(StoreUnreachableError, match=r"cannot be opened: No such file or directory\. Create its folder"):
        opened(tmp_path / "missing" / "jobs.db")


def test_a_folder_in_its_place_is_refused(tmp_path: Path) -> None:
    (tmp_path / "jobs.db").mkdir()

    with pytest.raises(StoreUnreachableError, match=r"cannot be opened: Is a directory\."):
        opened(tmp_path / "jobs.db")


def test_a_database_of_somebody_else_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "other.db"
    other = sqlite3.connect(path)
    other.execute("CREATE TABLE birds (name)")
    other.close()

    with pytest.raises(StoreDamagedError, match="it is a database, but no store of jobs"):
        opened(path)

    again = sqlite3.connect(path)
    assert again.execute("SELECT name FROM sqlite_master").fetchall() == [("birds",)]
    again.close()


class Busy(sqlite3.Connection):
    """A database that another program writes to for as long as anybody would wait."""

    def execute(self, sql: str, parameters: Any = (), /) -> sqlite3.Cursor:
        if sql.startswith("INSERT"):
            error = sqlite3.OperationalError("database is locked")
            error.sqlite_errorname = "SQLITE_BUSY"
            raise error
        return super().execute(sql, parameters)


def test_another_program_that_writes_to_it_is_named(tmp_path: Path) -> None:
    opened(tmp_path / "jobs.db").close()

    with pytest.raises(StoreInUseError, match="is in use by another program that writes to it"):
        opened(tmp_path / "jobs.db", connection_type=Busy)

    opened(tmp_path / "jobs.db").close()


def test_closing_while_others_write_keeps_all_that_was_safe(tmp_path: Path) -> None:
    store = opened(tmp_path / "jobs.db")
    store.append("a", started())
    numbers: list[int] = []

    def write_on() -> None:
        while store.failure is None:
            numbers.append(store.append("a", written(len(numbers) + 2)))

    writers = threading.Thread(target=write_on)
    writers.start()
    store.wait_until_safe(50)
    store.close()
    writers.join()

    again = opened(tmp_path / "jobs.db")
    assert again.safe == store.safe >= 50
    assert len(again.records("a")) == again.safe
    again.close()


def test_the_lock_is_one_that_a_kill_lets_go(tmp_path: Path) -> None:
    store = opened(tmp_path / "jobs.db")
    with (tmp_path / "jobs.db.lock").open("rb") as lock, pytest.raises(BlockingIOError):
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)

    store.close()

    with (tmp_path / "jobs.db.lock").open("rb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
