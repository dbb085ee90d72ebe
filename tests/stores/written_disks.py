"""What lies on a disk while a SQLite store is written: what a crash of the machine may have lost is put together of it.

`Life` writes a store and keeps its files at each checkpoint; `laid_out` makes files of any of these parts; `found` says
what a store finds in them. What comes to the disk is the same in each run, but for the store's own random id.
"""

import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from random import Random
from typing import NamedTuple

from flowforge.records import Record
from flowforge.stores.codec import Codec
from flowforge.stores.sqlite import SqliteStore
from flowforge.stores.store import History
from flowforge.testing.store_contract import moved, started, written

__all__ = ["KEPT", "SECTOR", "Files", "Jobs", "Life", "Moment", "files_of", "found", "laid_out", "mixed", "record_of"]

SECTOR = 512
"""What a disk writes whole, or not at all."""

KEPT = "ac"
"""The jobs of which those records are set aside that a base stands for."""

_LARGE = 3000
_SIZES = (10, 200, 1000, _LARGE + 1000)

Jobs = dict[str, tuple[int, int]]
"""What a store holds: by job, how often one of that id was begun, and how many records it has."""


class Files(NamedTuple):
    """The bytes of a store's files."""

    database: bytes
    log: bytes
    memory: bytes
    """What says where in the log each page is; a crash leaves anything in it."""
    lock: bytes


class Moment(NamedTuple):
    """One checkpoint."""

    before: Files
    after: Files
    jobs: Jobs
    """What was acknowledged."""
    passed: list[Jobs]
    """What was so after each change since the checkpoint before, the last of them included."""
    undone: list[Jobs]
    """And after those changes that no record has followed."""


def record_of(job: str, life: int, position: int) -> Record:
    """The record of that position, in the job of that id that was begun so many times."""
    if position == 1:
        return started(f"flow {life}")
    if position % 5 == 0:
        return moved(position, status_of(position))
    size = _SIZES[position % len(_SIZES)]
    # Its large values are all the same one.
    seed = f"{job} {life} {position if size < _LARGE else ''}"
    return written(position, Random(seed).randbytes(size))


def status_of(position: int) -> str:
    """The status of a job that has so many records."""
    return "running" if position < 5 else "completed" if position % 10 < 5 else "failed"


class Life(SqliteStore):
    """A store that a test has write, fold, delete and checkpoint, and what it went through."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, Codec(), large_bytes=_LARGE)
        self.held: Jobs = {}
        self._lives: dict[str, int] = {}
        self._passed: list[Jobs] = [{}]
        self._undone: list[Jobs] = [{}]
        self.moments: list[Moment] = []

    def _changed(self, *, by_record: bool = False) -> None:
        self._passed.append(dict(self.held))
        self._undone = [*([] if by_record else self._undone), dict(self.held)]

    def grow(self, job: str, count: int) -> None:
        """Give a job so many more records, each in a frame of its own."""
        for _ in range(count):
            if job not in self.held:
                self._lives[job] = self._lives.get(job, 0) + 1
            life, position = self.held.get(job, (self._lives[job], 0))
            self.wait_until_safe(self.append(job, record_of(job, life, position + 1)))
            self.held[job] = life, position + 1
            self._changed(by_record=True)

    def tidy(self) -> None:
        """Move what was written into chunks."""
        self.jobs()

    def shorten(self, job: str) -> None:
        """Let a base stand for all that a job has."""
        with self._tidied() as tables:
            if (stored := tables.stored(job)) is not None and stored.records:
                base = _base_of(self._histories.of(stored))
                tables.replace(stored, base, keeps_records=job in KEPT)

    def forget(self, job: str) -> None:
        """Delete a job."""
        self.delete(job)
        self.held.pop(job, None)
        self._changed()

    def forget_finished(self) -> None:
        """Delete those that are completed."""
        self.prune()
        self.held = {job: seen for job, seen in self.held.items() if status_of(seen[1]) != "completed"}
        self._changed()

    def rewrite(self) -> None:
        """Give the space of deleted jobs back, which makes the file shorter at the next checkpoint."""
        with self._tidied():
            self._file.connection.execute("VACUUM")

    def checkpoint(self, mode: str = "TRUNCATE") -> None:
        """Move the write-ahead log into the database, and keep the files as they are before and after."""
        with self._io:
            before = files_of(self._file.path)
            assert self._file.connection.execute(f"PRAGMA wal_checkpoint({mode})").fetchone()[0] == 0
            after = files_of(self._file.path)
        self.moments.append(Moment(before, after, dict(self.held), self._passed, self._undone))
        self._passed = [dict(self.held)]


def _base_of(history: History) -> bytes:
    """The text of the positions that it stands for."""
    return (history.base or b"") + b"".join(b"%d " % record.position for record in history.records)


def files_of(path: Path) -> Files:
    """The files of a store, as they are."""
    return Files(*[Path(f"{path}{ending}").read_bytes() for ending in ("", "-wal", "-shm", ".lock")])


def laid_out(files: Files, folder: Path) -> Path:
    """Write these files into a new folder, and give the path of the store."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    path = folder / "jobs.db"
    for ending, data in zip(("", "-wal", "-shm", ".lock"), files, strict=True):
        Path(f"{path}{ending}").write_bytes(data)
    return path


def mixed(data: bytes, others: Mapping[int, bytes], block: int) -> bytes:
    """`data`, but that those of its blocks are as in other bytes: empty where these are shorter."""
    parts = bytearray(data)
    for number, other in others.items():
        start = number * block
        end = min(start + block, len(data))
        parts[start:end] = other[start:end].ljust(end - start, b"\0")
    return bytes(parts)


def found(path: Path, use: Callable[[SqliteStore], object] = SqliteStore.close) -> Jobs:
    """What a store finds there, if each record is what was written, and none is missing before another; then `use` it.

    Raises why it cannot be read.
    """
    store = SqliteStore(path, Codec(), large_bytes=_LARGE)
    try:
        jobs = {job.id: _whole(store, job.id, job.flow, job.status) for job in store.jobs()}
        assert all(store.history(job) == History(None, []) for job in {*"abc"} - {*jobs})
        use(store)
        return jobs
    finally:
        store.close()


def _whole(store: SqliteStore, job: str, flow: str, status: str) -> tuple[int, int]:
    life = int(flow.split()[1])
    history = store.history(job)
    based = [int(word) for word in (history.base or b"").split()]
    count = len(based) + len(history.records)
    records = [record_of(job, life, position) for position in range(1, count + 1)]
    assert based == [*range(1, len(based) + 1)]
    assert history.records == records[len(based) :]
    every = list(store.every_record(job))
    assert every == (records if job in KEPT else records[len(based) :])
    assert status == status_of(count)
    return life, count
