"""What a SQLite store holds: the common log of frames, and the records of each job in chunks of its own.

Frames are moved into chunks, as bytes, when the writer has nothing else to do; so the common log stays short, and one
job can be read, shortened or deleted without a look at the others.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from flowforge.stores.frames import FIRST_HASH, DamagedFrame, Frame, unpack
from flowforge.stores.store import KnownJob
from flowforge.stores.store_errors import StoreDamagedError
from flowforge.structs import MsgpackDecoder, MsgpackEncoder, MsgspecError

if TYPE_CHECKING:
    from flowforge.stores.sqlite_file import SqliteFile

__all__ = ["SqliteTables"]

_encode = MsgpackEncoder().encode
_decode = MsgpackDecoder(list[bytes]).decode


class SqliteTables:
    """The tables of one file; used by one thread at a time."""

    def __init__(self, file: SqliteFile) -> None:
        self._file = file
        self._connection = file.connection
        self.last_number = 0
        """The number of the last record in the store."""
        self.last_hash = FIRST_HASH
        self._check()

    def _check(self) -> None:
        """Read the common log through; StoreDamagedError unless all that was acknowledged is there as it was."""
        for frame in self._frames():
            self.last_number, self.last_hash = frame.last, frame.hash
        if self._file.acknowledged > self.last_number:
            problem = f"the records {self.last_number + 1} to {self._file.acknowledged}, which were safe, are not in it"
            raise self._damage(problem)

    def _frames(self) -> Iterator[Frame]:
        self.last_number = int(self._file.meta("last_number", 0))
        before = self.last_hash = self._file.meta("last_hash", FIRST_HASH)
        number = self.last_number
        for first, data in self._file.frames():
            try:
                frame = unpack(data, before)
            except DamagedFrame as damage:
                raise self._damage(str(damage)) from None
            if first != number + 1 or frame.first != first:
                raise self._damage(f"the records from {number + 1} on are missing before {first}")
            yield frame
            number, before = frame.last, frame.hash

    def tidy(self, now: float) -> None:
        """Move the common log into the chunks of its jobs, in one transaction."""
        frames = list(self._frames())
        if not frames:
            return
        parts: dict[str, list[bytes]] = {}
        firsts: dict[str, int] = {}
        news: dict[str, tuple[str | None, str]] = {}
        for frame in frames:
            for number, entry in enumerate(frame.entries, start=frame.first):
                parts.setdefault(entry.job, []).append(entry.data)
                firsts.setdefault(entry.job, number)
                if entry.status is not None:
                    flow = news[entry.job][0] if entry.job in news else None
                    news[entry.job] = entry.flow or flow, entry.status
        last = frames[-1]
        execute = self._connection.execute
        with self.transaction():
            for job, data in parts.items():
                chunk = _encode(data)
                row = (job, firsts[job], len(data), zlib.crc32(chunk), chunk)
                execute("INSERT INTO chunks VALUES (?, ?, ?, ?, ?)", row)
                flow, status = news.get(job, (None, None))
                if flow is not None:
                    execute("INSERT INTO jobs VALUES (?, ?, ?, ?, ?)", (job, flow, status, firsts[job], now))
                else:
                    text = "UPDATE jobs SET status = coalesce(?, status), changed = ? WHERE job = ?"
                    execute(text, (status, now, job))
            self._file.set_meta("last_number", last.last)
            self._file.set_meta("last_hash", last.hash)
            execute("DELETE FROM frames WHERE first <= ?", (last.first,))
        self.last_number, self.last_hash = last.last, last.hash

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All that is done in the block takes place, or, if it raises, nothing."""
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            if self._connection.in_transaction:
                # A full disk has rolled back by itself, and a second time would hide why.
                self._connection.execute("ROLLBACK")
            raise
        self._connection.execute("COMMIT")

    # Reading, after `tidy`

    def jobs(self) -> list[KnownJob]:
        """All jobs, oldest first."""
        rows = self._connection.execute("SELECT job, flow, status, changed FROM jobs ORDER BY first").fetchall()
        return [KnownJob(*row) for row in rows]

    def records(self, job: str) -> list[bytes]:
        """The bytes of a job's records, in order; StoreDamagedError if they are not what was written."""
        found: list[bytes] = []
        text = "SELECT count, checksum, data FROM chunks WHERE job = ? ORDER BY first"
        for count, checksum, data in self._connection.execute(text, (job,)).fetchall():
            if zlib.crc32(data) != checksum:
                raise self._damage(f"records of the job {job!r} are not what was written")
            try:
                records = _decode(data)
            except MsgspecError as err:
                raise self._damage(f"records of the job {job!r} cannot be read ({err})") from err
            if len(records) != count:
                raise self._damage(f"records of the job {job!r} are missing")
            found += records
        return found

    def delete(self, jobs: Iterable[str]) -> None:
        """Forget jobs."""
        with self.transaction():
            for job in jobs:
                self._connection.execute("DELETE FROM chunks WHERE job = ?", (job,))
                self._connection.execute("DELETE FROM jobs WHERE job = ?", (job,))

    def _damage(self, problem: str) -> StoreDamagedError:
        return StoreDamagedError(str(self._file.path), problem)
