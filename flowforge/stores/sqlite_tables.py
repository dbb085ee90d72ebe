"""What a SQLite store holds: the common log of frames, and the records of each job in chunks of its own.

Frames are moved into chunks when the writer has nothing else to do; so the common log stays short, and one job can be
read, shortened or deleted without a look at the others. Whatever SQLite does not check is sealed: the rows of jobs,
how many there are, and what each job's chunks hold. A statement is one row here, or one for many, because each row
that SQLite gives or takes lets go of the interpreter, and beside busy threads that costs milliseconds.
"""

from __future__ import annotations

from collections import Counter
from contextlib import closing
from typing import TYPE_CHECKING, NamedTuple

from flowforge.stores.byte_layers import LayerError
from flowforge.stores.frames import DamagedFrame, Entry, unpack
from flowforge.stores.job_rows import Chunk, Head, JobRow, checksum_of, decoded_chunks, decoded_rows, sum_of
from flowforge.stores.record_form import digests_in
from flowforge.stores.sqlite_large import LargeValues
from flowforge.stores.store import KnownJob
from flowforge.stores.store_errors import StoreDamagedError, StoreFailedError
from flowforge.structs import MsgpackDecoder, MsgpackEncoder, MsgspecError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from flowforge.stores.byte_layers import Layers
    from flowforge.stores.long_jobs import LongJobs
    from flowforge.stores.sqlite_file import SqliteFile

__all__ = ["Part", "SqliteTables", "Stored"]

_encode = MsgpackEncoder().encode
_decode = MsgpackDecoder(list[bytes]).decode
_ROWS_AT_ONCE = 128
_COLUMNS = ", ".join(JobRow._fields)


class Stored(NamedTuple):
    """What the tables hold of a job."""

    row: JobRow
    base: bytes | None
    records: list[bytes]
    apart: dict[bytes, bytes]
    """Its large values, by their digests."""
    last_chunk: int
    """Where the last of its chunks begins."""


class Part(NamedTuple):
    """Records of a job that were set aside when a base came to stand for them, or, last of all, those that were not."""

    job: int
    """The number of the job's first record, by which one job is told from a later one of its id."""
    last: int
    """Where the last of its chunks began: what the next part is asked for with; 0 in the last part."""
    records: list[bytes]
    apart: dict[bytes, bytes]
    """Their large values, by their digests."""
    before: int
    """How many records of the job were set aside before these, as those after tell."""


class SqliteTables:
    """The tables of one file; used by one thread at a time. `long_jobs` hears of all jobs."""

    def __init__(self, file: SqliteFile, long_jobs: LongJobs, layers: Layers) -> None:
        self._file = file
        self._layers = layers
        self._execute = file.connection.execute
        self._large = LargeValues(file, layers)
        self.long_jobs = long_jobs
        self._entries: list[Entry] = []
        """What stands in the common log, as it will come into chunks."""
        self._frames: list[int] = []
        self._size = 0
        self._grown: Counter[str] = Counter()
        """By how many bytes of large values jobs have grown meanwhile."""
        head = Head.decode(file.meta("head", Head().encode()))
        if head is None:
            raise self._damage("its head is not what was written")
        self._head = head
        self.last_number, self.last_hash = self._head.last_number, self._head.last_hash
        self._read_log()
        self._all_rows()

    def _read_log(self) -> None:
        """Read the common log through; StoreDamagedError unless all that was acknowledged is there as it was."""
        for first, data in self._file.frames():
            if not isinstance(data, bytes):
                raise self._damage("a frame is not what was written")
            try:
                frame = unpack(data, self.last_hash, self._layers.unwrap)
            except DamagedFrame as damage:
                raise self._damage(str(damage)) from None
            if first != self.last_number + 1 or frame.first != first:
                raise self._damage(f"the records from {self.last_number + 1} on are missing before {first}")
            self.note(first, frame.entries, frame.hash, len(data))
        acknowledged = self._file.lock.acknowledged
        if acknowledged > self.last_number:
            problem = f"the records {self.last_number + 1} to {acknowledged}, which were safe, are not in it"
            raise self._damage(problem)

    @property
    def backlog(self) -> tuple[int, int]:
        """How many frames stand in the common log, and how many bytes."""
        return len(self._frames), self._size

    def write(self, first: int, frame: bytes, apart: Mapping[tuple[str, bytes], bytes]) -> bool:
        """Commit a frame, and the large values that its records name; False if another process has taken over."""
        if self._file.connection.in_transaction:
            # A frame in it would be acknowledged, and go with it.
            raise StoreFailedError(str(self._file.path), "a change of it was begun and not ended")
        if not apart:
            return self._file.write(first, frame)
        with self._file.transaction():
            grown = self._large.add(apart)
            is_ours = self._file.write(first, frame)
        self._grown.update(grown)
        return is_ours

    def note(self, first: int, entries: Sequence[Entry], frame_hash: bytes, size: int) -> None:
        """A frame was committed."""
        self._entries += entries
        self._frames.append(first)
        self._size += size
        self.last_number, self.last_hash = first + len(entries) - 1, frame_hash

    def tidy(self) -> None:
        """Move the common log into the chunks of its jobs, in one transaction."""
        if not self._frames:
            return
        by_job, firsts = self._common()
        head = self._head
        with self._file.transaction():
            before = {row.job: row for row in self._rows_of(list(by_job))}
            chunks: list[tuple[object, ...]] = []
            rows: list[JobRow] = []
            for job, entries in by_job.items():
                chunk = self._layers.wrap(_encode([entry.data for entry in entries]))
                row = JobRow.after(before.get(job), entries, firsts[job], chunk, self._grown[job])
                # Of a job that was deleted meanwhile nothing more is kept.
                if row is None:
                    self._large.keep_only(job, ())
                else:
                    rows.append(row)
                    chunks.append((job, firsts[job], 0, len(entries), checksum_of(firsts[job], chunk), chunk))
                    head = head.with_row(before.get(job), row)
            head = head._replace(last_number=self.last_number, last_hash=self.last_hash)
            self._insert("INSERT INTO chunks VALUES", chunks)
            self._insert("INSERT OR REPLACE INTO jobs VALUES", rows)
            self._file.set_meta("head", head.encode())
            self._execute("DELETE FROM frames WHERE first <= ?", (self._frames[-1],))
        self._head = head
        self._entries, self._frames, self._size = [], [], 0
        self._grown.clear()
        self.long_jobs.note(rows)

    def _common(self) -> tuple[dict[str, list[Entry]], dict[str, int]]:
        """What stands in the common log, by job, and the number of the first record of each."""
        by_job: dict[str, list[Entry]] = {}
        firsts: dict[str, int] = {}
        for number, entry in enumerate(self._entries, start=self.last_number - len(self._entries) + 1):
            by_job.setdefault(entry.job, []).append(entry)
            firsts.setdefault(entry.job, number)
        return by_job, firsts

    def _insert(self, text: str, rows: Sequence[tuple[object, ...]]) -> None:
        for start in range(0, len(rows), _ROWS_AT_ONCE):
            part = rows[start : start + _ROWS_AT_ONCE]
            marks = "(" + ", ".join("?" * len(part[0])) + ")"
            self._execute(f"{text} {', '.join([marks] * len(part))}", [value for row in part for value in row])

    def _rows_of(self, jobs: Sequence[str]) -> list[JobRow]:
        """The rows of those of these jobs that there are."""
        rows: list[JobRow] = []
        for start in range(0, len(jobs), _ROWS_AT_ONCE):
            part = jobs[start : start + _ROWS_AT_ONCE]
            marks = ", ".join("?" * len(part))
            text = f"SELECT json_group_array(json_array({_COLUMNS})) FROM jobs WHERE job IN ({marks})"  # noqa: S608 - only marks
            rows += self._sound(self._execute(text, part).fetchone()[0])
        return rows

    def _all_rows(self) -> list[JobRow]:
        """The rows of all jobs, oldest first; StoreDamagedError if one is missing or not what was written."""
        part_of_jobs = "(SELECT * FROM jobs WHERE first > ? ORDER BY first LIMIT 10000)"
        text = f"SELECT json_group_array(json_array({_COLUMNS})) FROM {part_of_jobs}"  # noqa: S608 - our own words
        rows: list[JobRow] = []
        last = 0
        while part := self._sound(self._execute(text, (last,)).fetchone()[0]):
            rows += part
            # Of an index whose order is lost the same part may come again for ever.
            if part[-1].first <= last:
                break
            last = part[-1].first
        if not self._head.is_of(rows):
            raise self._damage("the list of its jobs is not what was written")
        self.long_jobs.note(rows)
        return rows

    def _sound(self, text: str) -> list[JobRow]:
        rows = decoded_rows(text)
        if rows is None:
            raise self._damage("the entry of a job is not what was written")
        return rows

    # Reading, the common log included, which cannot be moved into chunks while the disk is full

    def jobs(self) -> list[KnownJob]:
        """All jobs, oldest first."""
        rows = {row.job: row for row in self._all_rows()}
        by_job, firsts = self._common()
        for job, entries in by_job.items():
            if (row := JobRow.after(rows.get(job), entries, firsts[job], b"")) is not None:
                rows[job] = row
        return [KnownJob(row.job, row.flow, row.status, row.changed / 1e6) for row in rows.values()]

    def stored(self, job: str) -> Stored | None:
        """What is kept of a job; None if it is not there, StoreDamagedError if it is not what was written."""
        found = self._in_chunks(job)
        numbered = enumerate(self._entries, start=self.last_number - len(self._entries) + 1)
        common = [(number, entry) for number, entry in numbered if entry.job == job]
        if not common:
            return found
        entries = [entry for _, entry in common]
        row = JobRow.after(None if found is None else found.row, entries, common[0][0], b"")
        if row is None:
            return found
        more = [entry.data for entry in entries]
        apart = self._large.of(job, more)
        if found is None:
            return Stored(row, None, more, apart, 0)
        return found._replace(row=row, records=found.records + more, apart=found.apart | apart)

    def stored_or_error(self, job: str) -> Stored | StoreDamagedError | None:
        """`stored`, or what it raises."""
        try:
            return self.stored(job)
        except StoreDamagedError as error:
            return error

    def next_part(self, job: str, last: int) -> Part | None:
        """`aside_after`, or, when that has no more, what is `stored`."""
        if (part := self.aside_after(job, last)) is not None or (stored := self.stored(job)) is None:
            return part
        return Part(stored.row.first, 0, stored.records, stored.apart, stored.row.aside)

    def long_part(self, job: str) -> Stored | None:
        """The base of a job and as many of its first records as it takes to be long; None if it is not there.

        What stands in the common log is left out.
        """
        return self._in_chunks(job, is_part=True)

    def _in_chunks(self, job: str, *, is_part: bool = False) -> Stored | None:
        rows = self._rows_of([job])
        if not rows:
            return None
        row, base = rows[0], None
        part = self._chunks_of(row)
        if is_part:
            part = self._as_many_as_needed(row, part)
        records: list[bytes] = []
        for chunk, data in zip(part, self._data_of(job, part), strict=True):
            if chunk.is_base:
                base = self._unwrapped(job, data)
            else:
                records += self._records_in(job, data, chunk.records)
        return Stored(row, base, records, self._large.of(job, records), part[-1].first)

    def _chunks_of(self, row: JobRow) -> list[Chunk]:
        """All chunks of a job, its base first; StoreDamagedError if one is missing, or not known as it was written."""
        columns = "CAST(first AS INTEGER), CAST(is_base AS INTEGER), CAST(count AS INTEGER), CAST(checksum AS INTEGER)"
        text = f"SELECT json_group_array(json_array({columns}, length(data))) FROM chunks WHERE job = ?"  # noqa: S608 - our own words
        chunks = decoded_chunks(self._execute(text, (row.job,)).fetchone()[0])
        if chunks is not None and sum_of(chunks) == row.checksum:
            counts = [chunk.records for chunk in chunks if not chunk.is_base]
            if sum(counts) == row.records and len(chunks) - len(counts) == (row.base > 0) and chunks:
                return chunks
        raise self._damage(f"records of the job {row.job!r} are not what was written")

    def _as_many_as_needed(self, row: JobRow, chunks: Sequence[Chunk]) -> list[Chunk]:
        """The base of a job, and as many of its first chunks as are enough for the next one."""
        part: list[Chunk] = []
        size = records = 0
        for chunk in chunks:
            if not chunk.is_base:
                if self.long_jobs.is_enough(row._replace(size=size, records=records), row):
                    break
                size, records = size + chunk.size, records + chunk.records
            part.append(chunk)
        return part

    def _data_of(self, job: str, chunks: Sequence[Chunk]) -> Iterator[bytes]:
        """What these chunks of a job, which follow one another, hold."""
        if not chunks:
            return
        text = "SELECT data FROM chunks WHERE job = ? AND first BETWEEN ? AND ? ORDER BY first"
        # One after the other, for all at once would be in memory twice.
        with closing(self._execute(text, (job, chunks[0].first, chunks[-1].first))) as found:
            for chunk in chunks:
                (data,) = found.fetchone() or (None,)
                if not isinstance(data, bytes) or checksum_of(chunk.first, data) != chunk.checksum:
                    raise self._damage(f"records of the job {job!r} are not what was written")
                yield data

    def _records_in(self, job: str, data: bytes, count: int) -> list[bytes]:
        try:
            found = _decode(self._unwrapped(job, data))
        except MsgspecError as err:
            raise self._damage(f"records of the job {job!r} cannot be read ({err})") from err
        if len(found) != count:
            raise self._damage(f"records of the job {job!r} are missing")
        return found

    def _unwrapped(self, job: str, data: bytes) -> bytes:
        try:
            return self._layers.unwrap(data)
        except LayerError as err:
            raise self._damage(f"records of the job {job!r} cannot be read ({err})") from err

    def aside_after(self, job: str, last: int) -> Part | None:
        """The first of a job's parts that were set aside after `last`; None if there is none."""
        rows = self._rows_of([job])
        if not rows or not rows[0].aside:
            return None
        part = "FROM aside WHERE job = ? AND last > ?"
        text = f"SELECT last, checksum, data, (SELECT coalesce(sum(count), 0) {part}) {part} ORDER BY last LIMIT 1"
        found = self._execute(text, (job, last, job, last)).fetchone()
        if found is None:
            return None
        end, checksum, data, left = found
        if not (isinstance(end, int) and isinstance(data, bytes)) or checksum_of(end, data) != checksum:
            raise self._damage(f"old records of the job {job!r} are not what was written")
        records = _decode(self._unwrapped(job, data))
        return Part(rows[0].first, end, records, self._large.of(job, records), rows[0].aside - left)

    def replace(self, before: Stored, base: bytes, *, keeps_records: bool = False) -> bool:
        """Let a base stand for what was read of a job; False if the job has changed in other ways than by growing.

        With `keeps_records` these are set aside.
        """
        job = before.row.job
        base = self._layers.wrap(base)
        rows = self._rows_of([job])
        if not rows or rows[0].first != before.row.first:
            self.long_jobs.forget(job)
            self.long_jobs.note(rows)
            return False
        rest = [chunk for chunk in self._chunks_of(rows[0]) if chunk.first > before.last_chunk]
        made = Chunk(before.last_chunk, 1, 1, checksum_of(before.last_chunk, base), len(base))
        left = rows[0].records - len(before.records)
        size = sum(chunk.size for chunk in rest)
        row = rows[0]._replace(records=left, size=size, base=len(base), checksum=sum_of([made, *rest]))
        if keeps_records:
            row = row._replace(aside=row.aside + len(before.records))
        row = row.sealed()
        with self._file.transaction():
            if keeps_records:
                old = self._layers.wrap(_encode(before.records))
                part = (job, before.last_chunk, len(before.records), checksum_of(before.last_chunk, old), old)
                self._insert("INSERT INTO aside VALUES", [part])
            if before.apart and not row.aside:
                self._large.keep_only(job, self._named(job, self._data_of(job, rest)))
            self._execute("DELETE FROM chunks WHERE job = ? AND first <= ?", (job, before.last_chunk))
            self._insert("INSERT INTO chunks VALUES", [(job, *made[:-1], base)])
            self._insert("INSERT OR REPLACE INTO jobs VALUES", [row])
            head = self._head.with_row(rows[0], row)
            self._file.set_meta("head", head.encode())
        self._head = head
        self.long_jobs.forget(job)
        self.long_jobs.note([row])
        return True

    def _named(self, job: str, chunks: Iterable[bytes]) -> set[bytes]:
        """The digests of the large values that records in these chunks name."""
        return set().union(*[digests_in(record) for chunk in chunks for record in _decode(self._unwrapped(job, chunk))])

    def delete(self, jobs: Sequence[str]) -> list[str]:
        """Forget jobs; those of them that there were."""
        head = self._head
        with self._file.transaction():
            # An id that came twice would be taken from the head twice.
            rows = self._rows_of(list(dict.fromkeys(jobs)))
            for row in rows:
                head = head.with_row(row, None)
                self._execute("DELETE FROM chunks WHERE job = ?", (row.job,))
                self._execute("DELETE FROM aside WHERE job = ?", (row.job,))
                self._execute("DELETE FROM large WHERE job = ?", (row.job,))
                self._execute("DELETE FROM jobs WHERE job = ?", (row.job,))
            self._file.set_meta("head", head.encode())
        self._head = head
        for row in rows:
            self.long_jobs.forget(row.job)
        return [row.job for row in rows]

    def _damage(self, problem: str) -> StoreDamagedError:
        return StoreDamagedError(str(self._file.path), problem)
