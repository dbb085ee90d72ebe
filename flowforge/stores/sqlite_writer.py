"""What writes to a SQLite store: a thread of its own, or, while that has nothing to do, whoever waits for the disk.

Guarantees:

- One thread at a time writes, and what has come first is written first.
- Callbacks are called by the writer's own thread alone; whoever writes for himself waits for no space.
"""

from __future__ import annotations

import logging
import sqlite3
import threading
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING

from actors.threads import DaemonThread
from flowforge.errors import FlowForgeError
from flowforge.stores.frames import pack
from flowforge.stores.sqlite_file import error_from, may_pass
from flowforge.stores.store_errors import StoreFailedError, StoreFencedError
from flowforge.stores.uninterrupted import uninterrupted

if TYPE_CHECKING:
    from collections.abc import Callable

    from flowforge.stores.byte_layers import Layers
    from flowforge.stores.commit_queue import Batch, CommitQueue
    from flowforge.stores.sqlite_file import SqliteFile
    from flowforge.stores.sqlite_tables import SqliteTables

__all__ = ["SqliteWriter"]

logger = logging.getLogger("flowforge")

_BYTES = 1 << 20
"""How large the common log grows before the writer moves it into chunks: as long as it is, it is in memory too."""
_FRAMES, _TOO_MANY = 256, 2048
"""How many frames stand in it before a writer does so that has nothing else to do, and before a busy one does."""

_QUIET_AFTER = 0.1
"""Seconds without anything to write after which the store is busy no more."""


class SqliteWriter:
    """Makes safe what comes into the queue; `io` guards the connection.

    A write-ahead log of more than `log_bytes` is cut.
    """

    def __init__(
        self,
        file: SqliteFile,
        tables: SqliteTables,
        queue: CommitQueue,
        io: threading.RLock,
        *,
        retry_interval: float,
        log_bytes: int,
        layers: Layers,
    ) -> None:
        self._file = file
        self._tables = tables
        self._queue = queue
        self._io = io
        self._retry_interval = retry_interval
        self._log_bytes = log_bytes
        self._layers = layers
        self._is_stalled = False
        self._is_held = False
        self._turn = threading.Lock()
        self._left: Batch | None = None
        """What somebody took, and could not write yet."""
        self._path = str(file.path)
        self._thread = DaemonThread(self._run, "flowforge-store")

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def write_for_caller(self) -> None:
        """Write what waits on the calling thread, if nobody is at it; what cannot be written yet is left.

        Beside busy threads each change of the thread that runs costs milliseconds. The main thread, where a signal's
        handler may raise between any two lines, leaves all to the writer's own.
        """
        if threading.current_thread() is threading.main_thread() or not self._turn.acquire(blocking=False):
            return
        try:
            self._guarded(self._write_once)
        finally:
            self._turn.release()

    def _write_once(self) -> None:
        if self._left is None:
            batch = self._queue.take_now()
            if batch.entries and not self._commit(batch, may_wait=False):
                self._left = batch
                self._queue.wake_writer()

    def join(self) -> None:
        """Return when all is written, as it is soon once the queue is closed, or has failed."""
        self._thread.join()
        # Somebody who writes for himself may have taken the last of it, or left it for the thread that has ended.
        uninterrupted(partial(self._guarded, self._write_what_is_left))

    def _write_what_is_left(self) -> None:
        if self._queue.failure is None:
            self._write_what_waits()

    def _run(self) -> None:
        self._guarded(self._write_all)

    def _write_all(self) -> None:
        while self._queue.wait_for_work(None if self._queue.is_quiet else _QUIET_AFTER):
            if self._queue.is_quiet:
                # Those that could wait while the store was busy need wait no more.
                self._tables.long_jobs.tell()
                continue
            if self._left is not None or not self._queue.is_idle:
                self._write_what_waits()
            self._queue.call_back()
            self._tidy_if_due()
        if self._queue.failure is None:
            self._tidy(is_idle=True)

    def _write_what_waits(self) -> None:
        with self._turn:
            batch, self._left = self._left or self._queue.take_now(), None
            if batch.entries:
                self._commit(batch)

    def _guarded(self, write: Callable[[], None]) -> None:
        try:
            write()
        except sqlite3.Error as error:
            self._fail(error_from(self._path, error))
        except FlowForgeError as failure:
            self._fail(failure)
        except BaseException as error:
            # Whoever waits must hear of it; that nothing goes on is all that is left to promise.
            logger.exception("The writer of the store %r broke.", self._path)
            self._fail(StoreFailedError(self._path, f"its writer broke with {error!r}"))

    def _fail(self, failure: FlowForgeError) -> None:
        logger.critical("%s", failure)
        self._queue.fail(failure)

    def _commit(self, batch: Batch, *, may_wait: bool = True) -> bool:
        """Make a batch safe, waiting for space if there is none and it may; raises what is final."""
        frame, frame_hash = pack(
            self._file.epoch, batch.first, batch.entries, self._tables.last_hash, self._layers.wrap
        )
        with self._io:
            while not self._has_written(batch, frame):
                if not may_wait:
                    return False
                self._io.release()
                try:
                    may_go_on = self._queue.wait_a_while(self._retry_interval)
                finally:
                    self._io.acquire()
                if not may_go_on:
                    raise StoreFailedError(self._path, "there was no space for its last records when it was closed")
            size = len(frame) + sum(map(len, batch.apart.values()))
            self._tables.note(batch.first, batch.entries, frame_hash, size)
            last = batch.first + len(batch.entries) - 1
            self._file.lock.note_safe(last)
        self._queue.made_safe(last)
        return True

    def _has_written(self, batch: Batch, frame: bytes) -> bool:
        """Whether the frame is in the file now; False if that may yet come."""
        try:
            is_ours = self._tables.write(batch.first, frame, batch.apart)
        except sqlite3.OperationalError as error:
            if not may_pass(error):
                raise
            if not self._is_stalled:
                self._is_stalled = True
                text = "The store %r cannot be written (%s). Its jobs wait; free some space."
                logger.error(text, self._path, error)  # noqa: TRY400 - the traceback tells no more
            with suppress(sqlite3.OperationalError):
                # What it takes most of is its own log.
                self._file.shorten_log()
            return False
        if not is_ours:
            raise StoreFencedError(self._path)
        if self._is_stalled:
            self._is_stalled = False
            logger.warning("The store %r can be written again, and goes on.", self._path)
        return True

    def _tidy_if_due(self) -> None:
        frames, size = self._tables.backlog
        is_idle = self._queue.is_idle
        if size >= _BYTES or frames >= (_FRAMES if is_idle else _TOO_MANY):
            self._tidy(is_idle=is_idle)

    def _tidy(self, *, is_idle: bool) -> None:
        try:
            with self._io:
                self._tables.tidy()
                self._shorten_log(is_idle=is_idle)
        except sqlite3.OperationalError as error:
            # The log stays as it is until there is space for its chunks.
            if not may_pass(error):
                raise

    def _shorten_log(self, *, is_idle: bool) -> None:
        """Cut the write-ahead log if it is long; say once that a reader keeps it from being cut."""
        size = self._file.log_size()
        if size <= self._log_bytes or (self._is_held and not is_idle):
            return
        was_held, self._is_held = self._is_held, not self._file.shorten_log()
        if self._is_held and not was_held:
            text = (
                "The log of the store %r has grown to %d bytes, for another program has a transaction open that reads "
                "the file. It grows until that ends it."
            )
            logger.error(text, self._path, size)
        elif was_held and not self._is_held:
            logger.warning("The log of the store %r is short again.", self._path)
