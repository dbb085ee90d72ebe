"""The file under a SQLite store: who may open it, with which settings, and that it is the one that was written.

The database's write-ahead log is synchronised with every commit.
"""

from __future__ import annotations

import os
import sqlite3
import stat
import uuid
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flowforge.stores.lock_file import LockFile
from flowforge.stores.store_errors import (
    StoreDamagedError,
    StoreFailedError,
    StoreFencedError,
    StoreFullError,
    StoreInUseError,
    StoreModeError,
    StoreSettingError,
    StoreUnreachableError,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from flowforge.errors import FlowForgeError
    from flowforge.stores.store_form import StoreForm

__all__ = ["FORMAT", "SqliteFile", "error_from", "may_pass", "refuse_network", "translated"]

FORMAT = 1
"""The version of the tables."""

_APPLICATION = 0x464C4647
_TABLES = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value) WITHOUT ROWID;
CREATE TABLE frames (first INTEGER PRIMARY KEY, data BLOB NOT NULL);
CREATE TABLE chunks (
    job TEXT NOT NULL, first INTEGER NOT NULL, is_base INTEGER NOT NULL, count INTEGER NOT NULL,
    checksum INTEGER NOT NULL, data BLOB NOT NULL
);
CREATE UNIQUE INDEX chunks_of_job ON chunks (job, first);
CREATE TABLE aside (
    job TEXT NOT NULL, last INTEGER NOT NULL, count INTEGER NOT NULL, checksum INTEGER NOT NULL, data BLOB NOT NULL
);
CREATE UNIQUE INDEX aside_of_job ON aside (job, last);
CREATE TABLE large (job TEXT NOT NULL, digest BLOB NOT NULL, data BLOB NOT NULL);
CREATE UNIQUE INDEX large_of_job ON large (job, digest);
CREATE TABLE jobs (
    job TEXT PRIMARY KEY, flow TEXT NOT NULL, status TEXT NOT NULL, first INTEGER NOT NULL, changed INTEGER NOT NULL,
    records INTEGER NOT NULL, size INTEGER NOT NULL, base INTEGER NOT NULL, checksum INTEGER NOT NULL,
    aside INTEGER NOT NULL, seal INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX jobs_in_order ON jobs (first);
"""
_BUSY_TIMEOUT = 5000
_SETTINGS = (
    ("journal_mode", "wal"),
    ("synchronous", 2),
    # On macOS an fsync leaves what was written in the drive's cache, which loses it with the power.
    ("fullfsync", 1),
    ("checkpoint_fullfsync", 1),
    ("busy_timeout", _BUSY_TIMEOUT),
    ("mmap_size", 0),
    ("foreign_keys", 1),
)
# Our statements are fixed, so one that SQLite cannot make sense of has met tables that are not as we made them.
_DAMAGE = ("SQLITE_CORRUPT", "SQLITE_NOTADB", "SQLITE_ERROR", "SQLITE_CONSTRAINT", "SQLITE_MISMATCH", "SQLITE_FORMAT")
_MAY_PASS = ("SQLITE_FULL", "SQLITE_BUSY")
_OTHERS = stat.S_IRWXG | stat.S_IRWXO
_NETWORK = frozenset({"nfs", "nfs4", "cifs", "smb3", "smbfs", "fuse.sshfs", "9p", "afs", "ceph", "glusterfs", "lustre"})
_MOUNTS = Path("/proc/mounts")


class SqliteFile:
    """One open database file, with one connection that any one thread at a time may use.

    StoreInUseError, StoreModeError, StoreSettingError, StoreUnreachableError or StoreDamagedError if it cannot be
    opened as it must be, or what `form` raises for the form of what is in it. `connection_type` makes the connection.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        form: StoreForm,
        connection_type: type[sqlite3.Connection] = sqlite3.Connection,
    ) -> None:
        self.path = Path(path).absolute()
        # Only Linux has that file; elsewhere it is for the guide to say.
        with suppress(OSError):
            refuse_network(self.path, _MOUNTS.read_text(encoding="utf-8", errors="replace"))
        try:
            self.lock = LockFile(self.path)
            try:
                os.close(os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
                for ending in ("", "-wal", "-shm"):
                    _close_to_others(Path(f"{self.path.resolve()}{ending}"))
                _close_to_others(Path(f"{self.path}.lock").resolve())
                self._open(form, connection_type)
            except BaseException:
                self.lock.close()
                raise
        except OSError as err:
            raise StoreUnreachableError(str(self.path), err.strerror or str(err)) from err

    def _open(self, form: StoreForm, connection_type: type[sqlite3.Connection]) -> None:
        with translated(self.path):
            self.connection = sqlite3.connect(
                self.path, isolation_level=None, check_same_thread=False, factory=connection_type
            )
        try:
            with translated(self.path):
                self._set_up()
                self._know_tables(form)
                self.identity = self._identify()
                epoch = self.meta("epoch", 0)
                if not isinstance(epoch, int):
                    raise StoreDamagedError(str(self.path), f"its epoch is {epoch!r}")
                self.epoch = epoch + 1
                self.set_meta("epoch", self.epoch)
        except BaseException:
            self.connection.close()
            raise

    def _set_up(self) -> None:
        for setting, wanted in _SETTINGS:
            self.connection.execute(f"PRAGMA {setting} = {wanted}").close()
            row = self.connection.execute(f"PRAGMA {setting}").fetchone()
            found = None if row is None else row[0]
            # A build without memory mapping has no such setting, and needs none.
            if found != wanted and not (setting == "mmap_size" and found is None):
                raise StoreSettingError(str(self.path), setting, wanted, found)

    def _know_tables(self, form: StoreForm) -> None:
        """Make the tables of a new file; StoreDamagedError for the database of anybody else, or what `form` raises."""
        (application,) = self.connection.execute("PRAGMA application_id").fetchone()
        (version,) = self.connection.execute("PRAGMA schema_version").fetchone()
        if version == 0:
            text = f"BEGIN IMMEDIATE; {_TABLES} PRAGMA application_id = {_APPLICATION}; COMMIT"
            self.connection.executescript(text)
            self.set_meta("format", FORMAT)
        elif application != _APPLICATION:
            raise StoreDamagedError(str(self.path), "it is a database, but no store of jobs")
        known = self.meta("format", FORMAT)
        if known != FORMAT:
            raise StoreDamagedError(str(self.path), f"its format is {known!r}, and this version reads {FORMAT!r}")
        noted = self.meta("form", None)
        if noted is None and self.meta("epoch", None) is not None:
            raise StoreDamagedError(str(self.path), "the note of its form is missing")
        renewed = form.renewed(str(self.path), noted)
        if renewed != noted:
            self.set_meta("form", renewed)

    def _identify(self) -> str:
        identity = self.meta("store", None)
        if identity is None:
            if self.lock.acknowledged:
                problem = f"its records, of which {self.lock.acknowledged} were safe, are not in it"
                raise StoreDamagedError(str(self.path), problem)
            identity = uuid.uuid4().hex
            self.set_meta("store", identity)
        elif self.lock.acknowledged and self.lock.identity != identity:
            raise StoreDamagedError(str(self.path), "another store lies in its place")
        return str(identity)

    def meta(self, key: str, default: Any) -> Any:
        """A single value of the store."""
        row = self.connection.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()
        return default if row is None else row[0]

    def set_meta(self, key: str, value: Any) -> None:
        """Keep a single value."""
        self.connection.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (key, value))

    def write(self, first: int, frame: bytes) -> bool:
        """Commit a frame in one statement; False if another process has taken the store over."""
        statement = "INSERT INTO frames SELECT ?, ? WHERE (SELECT value FROM meta WHERE key = 'epoch') = ?"
        return self.connection.execute(statement, (first, frame, self.epoch)).rowcount == 1

    def frames(self) -> list[tuple[int, bytes]]:
        """The frames that stand in the common log, oldest first."""
        return self.connection.execute("SELECT first, data FROM frames ORDER BY first").fetchall()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All that is done in the block takes place, or, if it raises, nothing; StoreFencedError if not ours."""
        try:
            self.connection.execute("BEGIN IMMEDIATE")
            if self.meta("epoch", None) != self.epoch:
                raise StoreFencedError(str(self.path))
            yield
            self.connection.execute("COMMIT")
        except BaseException:
            if self.connection.in_transaction:
                # A full disk has rolled back by itself, and a second time would hide why.
                self.connection.execute("ROLLBACK")
            raise

    def log_size(self) -> int:
        """How many bytes the write-ahead log has."""
        try:
            return Path(f"{self.path}-wal").stat().st_size
        except OSError:
            return 0

    def shorten_log(self) -> bool:
        """Move the write-ahead log into the database, and cut it to nothing; False if a reader is in the way."""
        # Whoever waits for the disk must not wait for a reader.
        self.connection.execute("PRAGMA busy_timeout = 0").close()
        try:
            (is_busy, _, _) = self.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        finally:
            self.connection.execute(f"PRAGMA busy_timeout = {_BUSY_TIMEOUT}").close()
        return not is_busy

    def close(self) -> None:
        """Close the database and let go of the lock."""
        self.connection.close()
        self.lock.close()


@contextmanager
def translated(path: Path) -> Iterator[None]:
    """What SQLite raises in the block becomes an error of ours."""
    try:
        yield
    except sqlite3.Error as error:
        raise error_from(str(path), error) from error
    except UnicodeDecodeError as error:
        # It has met a schema that is damaged, and says which name there is no text.
        raise StoreDamagedError(str(path), f"its schema cannot be read ({error})") from error


def error_from(path: str, error: sqlite3.Error) -> FlowForgeError:
    """Our error for one of SQLite's."""
    name = getattr(error, "sqlite_errorname", "") or ""
    # A text that is none has no name of its own.
    if name.startswith(_DAMAGE) or (not name and isinstance(error, sqlite3.OperationalError)):
        return StoreDamagedError(path, str(error))
    if name.startswith("SQLITE_FULL"):
        return StoreFullError(path, str(error))
    if name.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")):
        return StoreInUseError(path, "another program that writes to it")
    if name.startswith(("SQLITE_CANTOPEN", "SQLITE_READONLY", "SQLITE_PERM")):
        return StoreUnreachableError(path, str(error))
    return StoreFailedError(path, str(error))


def _close_to_others(path: Path) -> None:
    """Let nobody but its owner read or write a file that was there before; StoreModeError if that cannot be done."""
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return
    # Windows, which knows no such modes, has 0666 for every file.
    if os.name != "posix" or not mode & _OTHERS:
        return
    with suppress(PermissionError):
        # By its descriptor, for by its name it might be another one by now.
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            os.fchmod(descriptor, 0o600)
            mode = os.fstat(descriptor).st_mode
        finally:
            os.close(descriptor)
    if mode & _OTHERS:
        raise StoreModeError(str(path), stat.S_IMODE(mode))


def may_pass(error: sqlite3.OperationalError) -> bool:
    """Whether nothing was written for a reason that may be gone the next time."""
    return getattr(error, "sqlite_errorname", "") in _MAY_PASS


def refuse_network(path: Path, mounts: str) -> None:
    """Raise StoreSettingError if, by this list of mounts, the file would be on another machine."""
    lines = [line.split() for line in mounts.splitlines()]
    places = [(fields[1].replace("\\040", " "), fields[2]) for fields in lines if len(fields) > 2]
    folder = str(path.parent.resolve())
    within = [place for place in places if folder == place[0] or folder.startswith(place[0].rstrip("/") + "/")]
    # A later mount on the same place hides the one before.
    kind = max(enumerate(within), key=lambda entry: (len(entry[1][0]), entry[0]), default=(0, ("", "")))[1][1]
    if kind in _NETWORK:
        raise StoreSettingError(str(path), "its file system", "a local one", kind)
