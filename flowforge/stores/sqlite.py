"""The durable store: a log in a SQLite file, written by one thread, one frame a group commit.

Guarantees:

- `append` may be called from any thread; it never waits for the disk. Records are safe in the order of their numbers.
- A record counts as safe once its frame is committed and synchronised; callbacks and waiters hear of it then.
- One thread at a time writes: its own, or one that waits for the disk and that no signal can interrupt. While the disk
  is full the same frame is tried again; after any other failure nothing more is written and nothing is acknowledged.
- A process whose store was taken over commits nothing, nor does a forked child.
- Long jobs are shortened by a thread of their own, which holds up the writer for a read or one commit at a time.
- Jobs are deleted by way of `let_go`, which is called with no lock held.
- One lock guards the connection; the queue has its own, and nobody waits for the first while holding the second.
"""

from __future__ import annotations

import sqlite3
import threading
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from actors.clock import Clock, SystemClock
from actors.process_life import run_in_forked_child
from flowforge.records import JobMoved, JobReplaced, JobStarted
from flowforge.stores.byte_layers import Layers
from flowforge.stores.commit_queue import CommitQueue
from flowforge.stores.folding import Folder, kept_if_damaged
from flowforge.stores.frames import Entry
from flowforge.stores.histories import Histories
from flowforge.stores.long_jobs import LongJobs
from flowforge.stores.record_form import encode_record
from flowforge.stores.retention import checked_statuses, chosen, go_all, named
from flowforge.stores.sqlite_file import SqliteFile, translated
from flowforge.stores.sqlite_tables import SqliteTables, Stored
from flowforge.stores.sqlite_writer import SqliteWriter
from flowforge.stores.store import History
from flowforge.stores.store_errors import (
    StoreClosedError,
    StoreDamagedError,
    StoreForkedError,
    StoreFullError,
    StoreInUseError,
)
from flowforge.stores.store_form import StoreForm
from flowforge.stores.store_options import check_codec, check_counts, check_interval, check_path
from flowforge.stores.uninterrupted import uninterrupted

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from datetime import datetime, timedelta

    from flowforge.errors import FlowForgeError
    from flowforge.records import Record
    from flowforge.stores.byte_layers import ByteLayer
    from flowforge.stores.codec import Codec
    from flowforge.stores.store import Fold, KnownJob, LetGo

__all__ = ["SqliteStore"]

T = TypeVar("T")


class SqliteStore:
    """The log of a runtime in a file; open it once, for one runtime after the other, and close it after the last.

    At most `window` records, or `window_bytes`, wait for the disk before `is_full` says so. A value of more than
    `large_bytes` is kept once a job, however many of its records hold it. A job with more than `fold_records` records,
    or `fold_bytes`, is shortened if these outweigh its base: as soon as nothing was to be written for a moment, when
    all such jobs have `fold_backlog` times as many, or after ten seconds. `retry_interval` are the seconds between two
    attempts while the disk is full. A write-ahead log of more than `log_bytes` is cut when nobody reads it.
    `connection_type` makes the connection. What jobs hold goes through the `layers`, but not who they are: their ids,
    flows, statuses and times. OptionError for what cannot be.
    """

    is_durable = True

    def __init__(
        self,
        path: str | os.PathLike[str],
        codec: Codec,
        *,
        layers: Iterable[ByteLayer] = (),
        window: int = 1024,
        window_bytes: int = 8 << 20,
        large_bytes: int = 16 << 10,
        fold_records: int = 10_000,
        fold_bytes: int = 4 << 20,
        fold_backlog: int = 10,
        retry_interval: float = 1.0,
        log_bytes: int = 64 << 20,
        clock: Clock | None = None,
        connection_type: type[sqlite3.Connection] = sqlite3.Connection,
    ) -> None:
        check_path(path)
        check_codec("SqliteStore", codec)
        check_counts(1, window=window, window_bytes=window_bytes)
        check_counts(0, large_bytes=large_bytes, log_bytes=log_bytes)
        check_counts(0, fold_records=fold_records, fold_bytes=fold_bytes, fold_backlog=fold_backlog)
        check_interval(retry_interval)
        self.path = str(path)
        self.codec = codec
        through = Layers(layers)
        self._histories = Histories(self.path, codec)
        self._large_bytes = large_bytes
        self._clock = clock or SystemClock()
        self._retry_interval = retry_interval
        self._next_tidy = 0.0
        """When a reader next tries to tidy after one had no space for it, by the monotonic clock."""

        long_jobs = LongJobs(fold_records, fold_bytes, fold_backlog, self._clock.monotonic)
        self._file = SqliteFile(path, StoreForm(codec, through), connection_type)
        try:
            with translated(self._file.path):
                self._tables = SqliteTables(self._file, long_jobs, through)
                self._tables.tidy()
            self._file.lock.begin(self._file.identity, self._tables.last_number)
        except BaseException:
            self._file.close()
            raise
        self._io = threading.RLock()
        self._queue = CommitQueue(self._tables.last_number, window, window_bytes)
        self._writer = SqliteWriter(
            self._file,
            self._tables,
            self._queue,
            self._io,
            retry_interval=retry_interval,
            log_bytes=log_bytes,
            layers=through,
        )
        self._folder: Folder | None = None
        self._keeps_records = False
        self._let_go: LetGo = go_all
        self._is_forked = False
        run_in_forked_child(self._give_up_in_child)
        self._writer.start()

    # Writing

    @property
    def failure(self) -> FlowForgeError | None:
        """Why nothing is kept any more; None as long as it is."""
        return self._queue.failure

    @property
    def safe(self) -> int:
        """The number of the last record that a crash cannot take."""
        return self._queue.safe

    @property
    def is_full(self) -> bool:
        """Whether so much waits for the disk that no further step should start."""
        return self._queue.is_full

    def append(self, job: str, record: Record) -> int:
        """Queue the next record of a job, and give its number; after a failure it is dropped."""
        data = encode_record(record, self.codec)
        status = flow = None
        if isinstance(record, JobStarted):
            status, flow = "running", record.flow
        elif isinstance(record, JobReplaced):
            status, flow = record.status, record.flow
        elif isinstance(record, JobMoved):
            status = record.status
        if len(data) <= self._large_bytes:
            return self._queue.append(Entry(job, data, record.at, status, flow))
        # Again, which small records are not to pay for.
        apart: dict[bytes, bytes] = {}
        data = encode_record(record, self.codec, apart, self._large_bytes)
        return self._queue.append(Entry(job, data, record.at, status, flow), apart)

    def begin_group(self) -> None:
        """What is appended from here to `end_group` comes into one frame."""
        self._queue.begin_group()

    def end_group(self) -> None:
        """End a group that was begun."""
        self._queue.end_group()

    def call_when_safe(self, number: int, callback: Callable[[], None]) -> None:
        """Have the writer call `callback` once the record is safe; never if it fails before."""
        self._queue.call_when_safe(number, callback)

    def call_when_failed(self, callback: Callable[[], None]) -> None:
        """Call `callback` once it has failed or was closed, on whichever thread finds out."""
        self._queue.call_when_failed(callback)

    def wait_until_safe(self, number: int, timeout: float | None = None) -> bool:
        """Return once the record is safe, or False after `timeout` seconds; raises why it never will be."""
        if number > self._queue.safe and timeout is None:
            self._writer.write_for_caller()
        return self._queue.wait_until_safe(number, timeout)

    def close(self) -> None:
        """Make all safe that was appended, and close the file; waits for the writer, whoever else has closed it.

        Whoever is interrupted may call it again, and it goes on with what is left.
        """
        self._queue.close()
        if self._is_forked:
            return
        self._stop_folding()
        self._writer.join()
        with self._io:
            self._queue.fail(StoreClosedError(self.path))
            self._file.close()

    # Reading

    def _read(self, use: Callable[[SqliteTables], T]) -> T:
        """What `use` finds in the tables; raises why they cannot be read.

        Whoever is interrupted holds none of our locks, so that a handler of signals may call us too.
        """
        return uninterrupted(partial(self._read_now, use))

    def _read_now(self, use: Callable[[SqliteTables], T]) -> T:
        with self._io:
            self._tidy_if_possible()
            if self.failure is not None:
                raise self.failure
            with translated(self._file.path):
                return use(self._tables)

    def _tidy_if_possible(self) -> None:
        if self.failure is not None or self._clock.monotonic() < self._next_tidy:
            return
        try:
            with translated(self._file.path):
                self._tables.tidy()
        except (StoreFullError, StoreInUseError):
            # Whoever reads many jobs is not to wait for each.
            self._next_tidy = self._clock.monotonic() + self._retry_interval

    @contextmanager
    def _tidied(self) -> Iterator[SqliteTables]:
        """The tables, to be changed, with all that is safe in them; raises why they cannot be."""
        with self._io:
            if self.failure is not None:
                raise self.failure
            with translated(self._file.path):
                self._tables.tidy()
                yield self._tables

    def jobs(self) -> list[KnownJob]:
        """What is known of all jobs, oldest first."""
        return self._read(SqliteTables.jobs)

    def records(self, job: str) -> list[Record]:
        """The safe records of a job, in order; of one that was shortened, those that its base does not stand for."""
        return list(self.history(job).records)

    def history(self, job: str) -> History:
        """All that is kept of a job; without base and records if it has no such job."""
        (history,) = self.histories([job])
        if isinstance(history, History):
            return history
        raise history

    def histories(self, jobs: Sequence[str]) -> list[History | FlowForgeError]:
        """`history` of each of these jobs, or why it cannot be read."""
        found = self._read(lambda tables: [tables.stored_or_error(job) for job in jobs])
        return [self._history_or_error(stored) for stored in found]

    def _history_or_error(self, stored: Stored | FlowForgeError | None) -> History | FlowForgeError:
        if isinstance(stored, Stored):
            return self._histories.of(stored)
        return History(None, []) if stored is None else stored

    def every_record(self, job: str, from_position: int = 1) -> Iterator[Record]:
        """The safe records of a job from a position on, in order, those that were set aside included."""
        for records, apart in self._parts(job):
            # Positions rise, so the last one tells of all.
            if records and self._histories.decoded(records[-1], job, apart).position >= from_position:
                found = (self._histories.decoded(data, job, apart) for data in records)
                yield from (record for record in found if record.position >= from_position)

    def _parts(self, job: str) -> Iterator[tuple[list[bytes], Mapping[bytes, bytes]]]:
        first = last = count = 0
        while (part := self._read(partial(SqliteTables.next_part, job=job, last=last))) is not None:
            if first not in {0, part.job}:
                return
            # A damaged index may hide some of them from one look, and not from another.
            if part.before != count:
                raise StoreDamagedError(self.path, f"old records of the job {job!r} are missing")
            yield part.records, part.apart
            if not part.last:
                return
            first, last, count = part.job, part.last, count + len(part.records)

    # Keeping it small

    def fold_with(self, fold: Fold | None, *, keeps_records: bool = False) -> None:
        """From now on make bases of long jobs with `fold`, which a thread of the store calls, with no lock held.

        The records that a base stands for are deleted, or, with `keeps_records`, set aside. Called by the runtime
        that takes the store, and at its end with None, which waits for the base that is being made; in between
        StoreInUseError for any other.
        """
        if fold is None:
            self._stop_folding()
            self._folder = self._tables.long_jobs.on_long = None
            return
        # The runtime before may have left something that is on its way, and this one is to read all.
        self._queue.wait_until_safe(self._queue.last)
        if self._folder is not None:
            raise StoreInUseError(self.path, None)
        self._keeps_records = keeps_records
        folder = Folder(self._next_long, self._shorten, fold)
        folder.start()
        self._folder = folder
        self._tables.long_jobs.on_long = folder.look

    def _stop_folding(self) -> None:
        if (folder := self._folder) is not None:
            folder.stop()

    def _next_long(self) -> tuple[Stored, History] | None:
        with self._io, translated(self._file.path):
            if self.failure is not None:
                raise self.failure
            while (job := self._tables.long_jobs.next(is_busy=not self._queue.is_quiet)) is not None:
                with kept_if_damaged(job, self._tables.long_jobs.keep), translated(self._file.path):
                    if (stored := self._tables.long_part(job)) is not None:
                        return stored, self._histories.of(stored, is_bare=True)
                    self._tables.long_jobs.forget(job)
            return None

    def _shorten(self, stored: Stored, base: bytes | None) -> None:
        with (
            self._tidied() as tables,
            kept_if_damaged(stored.row.job, tables.long_jobs.keep),
            translated(self._file.path),
        ):
            if base is None:
                tables.long_jobs.keep(stored.row.job)
            else:
                tables.replace(stored, base, keeps_records=self._keeps_records)

    def let_go_with(self, let_go: LetGo | None) -> None:
        """From now on delete by way of `let_go`, which knows the jobs that are in use; called with no lock held."""
        self._let_go = let_go or go_all

    def prune(
        self, older_than: float | timedelta | datetime | None = None, status: str | Iterable[str] | None = None
    ) -> int:
        """Forget finished jobs, and give their number; StoreRetentionError for jobs that are not finished.

        `older_than` is a time, or a time span or seconds before now, that their last record must be older than.
        Without `status` completed and cancelled jobs go; failed ones, which can be resumed, only if it names them.
        """
        now = self._clock.now()
        statuses = checked_statuses(status)

        def old(jobs: list[KnownJob]) -> list[str]:
            return chosen(jobs, older_than, statuses, now)

        return len(self._let_go(old(self.jobs()), lambda free: uninterrupted(partial(self._delete, free, old))))

    def delete(self, jobs: str | Iterable[str]) -> int:
        """Forget jobs, whatever their status, but for those that run; give the number of those that were there.

        A text is the id of one job. StoreRetentionError for what is no id.
        """
        return len(self._let_go(named(jobs), lambda free: uninterrupted(partial(self._delete, free))))

    def _delete(self, free: Sequence[str], old: Callable[[list[KnownJob]], list[str]] | None = None) -> list[str]:
        with self._tidied() as tables:
            if old is not None:
                # Something may have been done to one of them since they were chosen.
                still = frozenset(old(tables.jobs()))
                free = [job for job in free if job in still]
            return tables.delete(free)

    def vacuum(self) -> None:
        """Give the space of forgotten jobs back to the disk; nothing is made safe meanwhile."""
        uninterrupted(self._vacuum)

    def _vacuum(self) -> None:
        with self._tidied():
            self._file.connection.execute("VACUUM")
            self._file.shorten_log()

    def _give_up_in_child(self) -> None:
        self._is_forked = True
        self._io = threading.RLock()
        self._queue.give_up_in_child(StoreForkedError(self.path))
        self._file.lock.close()
        _INHERITED.append(self._file)


_INHERITED: list[SqliteFile] = []
"""In a forked child, files of its parent: closing one would let go of the parent's locks."""
