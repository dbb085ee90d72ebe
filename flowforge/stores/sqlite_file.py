"""The file under a SQLite store: who may open it, with which settings, and that it holds all that was acknowledged.

A lock file beside it names the process that has it open and the last record that is safe, so that a lost or
exchanged file is noticed. The database's write-ahead log is synchronised with every commit.
"""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flowforge.stores.store_errors import StoreDamagedError, StoreInUseError, StoreSettingError

try:
    import fcntl
except ImportError:  # pragma: no cover - on Windows the database locks its file itself
    fcntl = None  # type: ignore[assignment]  # looked at before each use

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["FORMAT", "SqliteFile"]

FORMAT = 1
"""The version of the tables."""

_SCHEMA = """
CREATE TABLE IF NOT EXISTS meta (key TEXT PRIMARY KEY, value) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS frames (first INTEGER PRIMARY KEY, data BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS chunks (
    job TEXT NOT NULL, first INTEGER NOT NULL, count INTEGER NOT NULL, checksum INTEGER NOT NULL, data BLOB NOT NULL,
    PRIMARY KEY (job, first)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS jobs (
    job TEXT PRIMARY KEY, flow TEXT NOT NULL, status TEXT NOT NULL, first INTEGER NOT NULL, changed REAL NOT NULL
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS jobs_in_order ON jobs (first);
"""
_NETWORK = frozenset({"nfs", "nfs4", "cifs", "smb3", "smbfs", "fuse.sshfs", "9p", "afs", "ceph", "glusterfs", "lustre"})


class SqliteFile:
    """One open database file, with one connection that any one thread at a time may use.

    StoreInUseError, StoreSettingError or StoreDamagedError if it cannot be opened as it must be.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path).absolute()
        _refuse_network(self.path)
        self._lock = os.open(f"{self.path}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            self._take_lock()
            os.close(os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
            self.connection = sqlite3.connect(self.path, isolation_level=None, check_same_thread=False)
            try:
                self._prepare()
            except sqlite3.DatabaseError as err:
                self.connection.close()
                raise StoreDamagedError(str(self.path), str(err)) from err
        except BaseException:
            os.close(self._lock)
            raise

    def _take_lock(self) -> None:
        if fcntl is None:
            return
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder, _ = self._read_lock()
            raise StoreInUseError(str(self.path), None if holder == os.getpid() else holder) from None
        self.acknowledged = self._read_lock()[1]

    def _read_lock(self) -> tuple[int | None, int]:
        words = os.pread(self._lock, 100, 0).split()
        return (int(words[0]), int(words[1])) if len(words) == 2 else (None, 0)

    def note_safe(self, number: int) -> None:
        """Write down, beside the database, that all records up to this one are safe."""
        os.pwrite(self._lock, b"%20d %20d\n" % (os.getpid(), number), 0)

    def _prepare(self) -> None:
        for setting, wanted in (
            ("journal_mode", "wal"),
            ("synchronous", 2),
            ("busy_timeout", 5000),
            ("mmap_size", 0),
            ("foreign_keys", 1),
        ):
            self.connection.execute(f"PRAGMA {setting} = {wanted}").close()
            row = self.connection.execute(f"PRAGMA {setting}").fetchone()
            found = None if row is None else row[0]
            # A build without memory mapping has no such setting, and needs none.
            if found != wanted and not (setting == "mmap_size" and found is None):
                raise StoreSettingError(str(self.path), setting, wanted, found)
        self.connection.executescript(_SCHEMA)
        known = self.meta("format", FORMAT)
        if known != FORMAT:
            raise StoreDamagedError(str(self.path), f"its format is {known!r}, and this version reads {FORMAT!r}")
        self.set_meta("format", FORMAT)
        self.epoch = int(self.meta("epoch", 0)) + 1
        self.set_meta("epoch", self.epoch)

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

    def frames(self) -> Iterator[tuple[int, bytes]]:
        """The frames that stand in the common log, oldest first."""
        yield from self.connection.execute("SELECT first, data FROM frames ORDER BY first").fetchall()

    def close(self) -> None:
        """Close the database and let go of the lock."""
        self.connection.close()
        os.close(self._lock)


def _refuse_network(path: Path) -> None:
    """Raise StoreSettingError if the file system is a network's, as far as that can be told."""
    try:
        lines = Path("/proc/mounts").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return
    mounts = [(fields[1], fields[2]) for line in lines if len(fields := line.split()) > 2]
    folder = str(path.parent.resolve())
    within = [m for m in mounts if folder == m[0] or folder.startswith(m[0].rstrip("/") + "/")]
    kind = max(within, key=lambda mount: len(mount[0]), default=("", ""))[1]
    if kind in _NETWORK:
        raise StoreSettingError(str(path), "its file system", "a local one", kind)
