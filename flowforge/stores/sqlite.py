"""The durable store: a log in a SQLite file, written by one thread, one frame a group commit.

Guarantees:

- `append` may be called from any thread; it never waits for the disk. Records are safe in the order of their numbers.
- A record counts as safe once its frame is committed and synchronised; callbacks and waiters hear of it then.
- One thread writes. While the disk is full it tries the same frame again; after any other failure nothing more is
  written and nothing is acknowledged.
- A process whose store was taken over commits nothing.
- One lock guards the queue; the writer holds it neither while it writes nor while it calls back.
"""

from __future__ import annotations

import heapq
import itertools
import logging
import sqlite3
import threading
from typing import TYPE_CHECKING

from actors.clock import Clock, SystemClock
from actors.process_life import run_in_forked_child
from flowforge.records import JobMoved, JobStarted
from flowforge.stores.frames import Entry, pack
from flowforge.stores.record_form import decode_record, encode_record
from flowforge.stores.sqlite_file import SqliteFile
from flowforge.stores.sqlite_tables import SqliteTables
from flowforge.stores.store_errors import StoreClosedError, StoreDamagedError, StoreFailedError, StoreFencedError

if TYPE_CHECKING:
    import os
    from collections.abc import Callable

    from flowforge.errors import FlowForgeError
    from flowforge.records import Record
    from flowforge.stores.codec import Codec
    from flowforge.stores.store import KnownJob

__all__ = ["SqliteStore"]

logger = logging.getLogger("flowforge")

_FULL_DISK = "SQLITE_FULL"
_RETRY_INTERVAL = 1.0
_TIDY_AFTER = 256
"""Frames in the common log from which on a writer that has nothing else to do moves them into chunks."""


class SqliteStore:
    """The log of a runtime in a file; open it once, and close it after the runtime."""

    is_durable = True

    def __init__(
        self,
        path: str | os.PathLike[str],
        codec: Codec,
        *,
        window: int = 1024,
        window_bytes: int = 8 << 20,
        clock: Clock | None = None,
    ) -> None:
        self.path = str(path)
        self.failure: FlowForgeError | None = None
        """Why it has failed; None as long as it has not."""
        self._codec = codec
        self._window = window
        self._window_bytes = window_bytes
        self._clock = clock or SystemClock()
        self._file = SqliteFile(path)
        self._tables = SqliteTables(self._file)
        self._tables.tidy(self._clock.now())
        self._safe = self._last = self._tables.last_number
        self._hash = self._tables.last_hash
        self._file.note_safe(self._safe)
        self._waiting: list[Entry] = []
        self._waiting_bytes = 0
        self._is_full_disk = False
        self._frames = 0
        self._callbacks: list[tuple[int, int, Callable[[], None]]] = []
        self._order = itertools.count()
        self._lock = threading.RLock()
        self._changed = threading.Condition(self._lock)
        self._became_safe = threading.Condition(self._lock)
        self._is_closing = self._is_idle = False
        self._io = threading.RLock()
        run_in_forked_child(self._give_up_in_child)
        self._writer = threading.Thread(target=self._write_on, name="flowforge-store", daemon=True)
        self._writer.start()

    # Writing

    @property
    def safe(self) -> int:
        """The number of the last record that a crash cannot take."""
        return self._safe

    @property
    def is_full(self) -> bool:
        """Whether so much waits for the disk that no further step should start."""
        return self._last - self._safe >= self._window or self._waiting_bytes >= self._window_bytes

    def append(self, job: str, record: Record) -> int:
        """Queue the next record of a job, and give its number; after a failure it is dropped."""
        data = encode_record(record, self._codec)
        if isinstance(record, JobStarted):
            entry = Entry(job, data, "running", record.flow)
        else:
            entry = Entry(job, data, record.status if isinstance(record, JobMoved) else None)
        with self._lock:
            self._last += 1
            if self.failure is None:
                self._waiting.append(entry)
                self._waiting_bytes += len(data)
                if self._is_idle:
                    self._is_idle = False
                    self._changed.notify()
            return self._last

    def call_when_safe(self, number: int, callback: Callable[[], None]) -> None:
        """Have the writer call `callback` once the record is safe; never if it fails before."""
        with self._lock:
            heapq.heappush(self._callbacks, (number, next(self._order), callback))
            if number <= self._safe and self._is_idle:
                self._is_idle = False
                self._changed.notify()

    def wait_until_safe(self, number: int) -> None:
        """Return once the record is safe; raises why it never will be."""
        with self._lock:
            while self._safe < number and self.failure is None:
                self._became_safe.wait()
            if self._safe < number and self.failure is not None:
                raise self.failure

    def close(self) -> None:
        """Make all safe that was appended, and close the file; waits for the writer."""
        with self._lock:
            if self._is_closing:
                return
            self._is_closing = True
            self._changed.notify()
        self._writer.join()
        with self._lock:
            if self.failure is None:
                self.failure = StoreClosedError(self.path)
            self._became_safe.notify_all()
        self._file.close()

    def _write_on(self) -> None:
        """The writer's thread."""
        while (entries := self._next_entries()) is not None:
            if entries:
                first = self._safe + 1
                frame, frame_hash = pack(self._file.epoch, first, entries, self._hash)
                if not self._try_to_write(first, frame):
                    return
                self._hash = frame_hash
                self._file.note_safe(first + len(entries) - 1)
                with self._lock:
                    self._safe = first + len(entries) - 1
                    self._became_safe.notify_all()
            self._call_back()
            if self._frames >= _TIDY_AFTER and not self._waiting:
                self._tidy()
        self._tidy()

    def _next_entries(self) -> list[Entry] | None:
        with self._lock:
            while not self._waiting and not self._is_closing and not self._is_due():
                self._is_idle = True
                self._changed.wait()
            self._is_idle = False
            entries, self._waiting = self._waiting, []
            self._waiting_bytes = 0
            return entries if entries or self._is_due() or not self._is_closing else None

    def _is_due(self) -> bool:
        return bool(self._callbacks) and self._callbacks[0][0] <= self._safe

    def _call_back(self) -> None:
        while True:
            with self._lock:
                if not self._is_due():
                    return
                callback = heapq.heappop(self._callbacks)[2]
            try:
                callback()
            except Exception:
                logger.exception("What was to follow a commit of the store %r raised.", self.path)

    def _try_to_write(self, first: int, frame: bytes) -> bool:
        """Commit a frame, waiting for space if there is none; False after a failure."""
        while True:
            try:
                with self._io:
                    is_ours = self._file.write(first, frame)
            except sqlite3.Error as error:
                if getattr(error, "sqlite_errorname", "") != _FULL_DISK:
                    self._fail(StoreFailedError(self.path, str(error)))
                    return False
                if not self._waits_for_space():
                    return False
                continue
            if not is_ours:
                self._fail(StoreFencedError(self.path))
                return False
            if self._is_full_disk:
                self._is_full_disk = False
                logger.warning("The store %r has space again, and goes on.", self.path)
            self._frames += 1
            return True

    def _waits_for_space(self) -> bool:
        if not self._is_full_disk:
            self._is_full_disk = True
            logger.error("The disk under the store %r is full. Its jobs wait for space; free some.", self.path)
        with self._lock:
            if self._is_closing:
                self._fail(StoreFailedError(self.path, "the disk was full when it was closed"))
                return False
            self._changed.wait(_RETRY_INTERVAL)
        return True

    def _fail(self, failure: FlowForgeError) -> None:
        logger.critical("%s", failure)
        with self._lock:
            self.failure = failure
            self._waiting.clear()
            self._became_safe.notify_all()

    def _tidy(self) -> None:
        try:
            with self._io:
                self._tables.tidy(self._clock.now())
            self._frames = 0
        except StoreDamagedError as damage:
            self._fail(damage)
        except sqlite3.Error as error:
            if getattr(error, "sqlite_errorname", "") != _FULL_DISK:
                self._fail(StoreFailedError(self.path, str(error)))

    # Reading

    def records(self, job: str) -> list[Record]:
        """The safe records of a job, in order."""
        with self._io:
            self._tables.tidy(self._clock.now())
            data = self._tables.records(job)
        return [decode_record(record, job, self._codec) for record in data]

    def jobs(self) -> list[KnownJob]:
        """What is known of all jobs, oldest first."""
        with self._io:
            self._tables.tidy(self._clock.now())
            return self._tables.jobs()

    def delete(self, jobs: list[str]) -> None:
        """Forget jobs."""
        with self._io:
            self._tables.tidy(self._clock.now())
            self._tables.delete(jobs)

    def _give_up_in_child(self) -> None:
        """A forked child must neither write nor close what its parent has open."""
        self._lock = threading.RLock()
        self.failure = StoreFailedError(self.path, "this process was forked from the one that has it open")
        self._waiting.clear()
        _INHERITED.append(self._file)


_INHERITED: list[SqliteFile] = []
"""Files of a parent process, kept open: closing one would let go of the parent's locks."""
