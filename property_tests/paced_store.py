"""Stores for a stepped runtime: each becomes safe when a test says so, and can be read as a kill would have left it."""

import heapq
import itertools
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple, Protocol, Self

from actors.testing.stepped_dispatcher import SteppedDispatcher
from flowforge.errors import FlowForgeError
from flowforge.records import Record
from flowforge.stores.codec import Codec
from flowforge.stores.memory import WINDOW, MemoryStore
from flowforge.stores.sqlite import SqliteStore
from flowforge.stores.store import KnownJob, Store

__all__ = [
    "Files",
    "Moment",
    "PacedMemory",
    "PacedSqlite",
    "PacedStore",
    "come_to_rest",
    "copied",
    "read_files",
    "store_path",
]

Files = dict[str, bytes]
"""The files of a store by the ends of their names."""

_ENDS = ("", "-wal", ".lock")
_IN_MEMORY = Path("/dev/shm")


@contextmanager
def store_path() -> Iterator[Path]:
    """Where a store may lie for a while; in memory where there is such a folder, for disks are slow."""
    with TemporaryDirectory(dir=_IN_MEMORY if _IN_MEMORY.is_dir() else None) as folder:
        yield Path(folder) / "jobs.db"


@contextmanager
def copied(files: Files) -> Iterator[Path]:
    """The path of a store that is made of those files."""
    with store_path() as path:
        for end, data in files.items():
            Path(f"{path}{end}").write_bytes(data)
        yield path


def read_files(path: Path) -> Files:
    """What a process that dies now leaves; the index of the write-ahead log is made anew from it."""
    return {end: Path(f"{path}{end}").read_bytes() for end in _ENDS if Path(f"{path}{end}").exists()}


class PacedStore(Store, Protocol):
    """A store whose calls back are made by `flush` alone."""

    monotonic: Callable[[], float]
    """The clock of the run."""

    @property
    def waiting(self) -> int:
        """How many records the runtime does not know to be safe."""
        ...

    @property
    def written(self) -> int:
        """How many records a kill would leave."""
        ...

    def flush(self, most: int | None = None) -> None:
        """Let the runtime know what is safe, of what waits only the first `most` records if given."""
        ...

    def tidy(self) -> None:
        """Do what a store does when it is idle."""
        ...


def come_to_rest(dispatcher: SteppedDispatcher, store: PacedStore) -> None:
    """Let all be done that can be, and become safe."""
    while store.waiting or dispatcher.choices() or dispatcher.advance_to_next():
        store.flush()
        dispatcher.step()


class PacedMemory(MemoryStore):
    """The simulated store, as it is."""

    def __init__(self, disk: list[tuple[str, bytes]] | None = None) -> None:
        self.disk = [] if disk is None else disk
        self.monotonic: Callable[[], float] = float
        super().__init__(Codec(), lambda: None, disk=self.disk)

    @property
    def written(self) -> int:
        return self.safe

    def tidy(self) -> None:
        """There is nothing to tidy."""


class Moment(NamedTuple):
    """A transaction of the file: what was there before it, and after."""

    safe_before: int
    safe: int
    instant: float
    """On the monotonic clock of the run."""
    before: Files
    files: Files

    def torn(self, share: float) -> Iterator[Files]:
        """The files if the write-ahead log got so far only: its end missing, or never filled."""
        start, whole = len(self.before["-wal"]), self.files["-wal"]
        if len(whole) > start:
            cut = start + int((len(whole) - start) * share)
            for end in b"", bytes(len(whole) - cut):
                yield {**self.files, "-wal": whole[:cut] + end, ".lock": self.before[".lock"]}


class PacedSqlite:
    """A SqliteStore with a frame for each record or group, which is in the file when the call returns.

    Where `keeps` says so of the numbers of a frame, the files before and after it are kept; around a tidying too.
    """

    is_durable = True

    def __init__(self, path: Path, keeps: Callable[[range], bool] = lambda numbers: False) -> None:
        self.path = path
        self.real = SqliteStore(path, Codec())
        self.safe = self._last = self.real.safe
        self.monotonic: Callable[[], float] = float
        self.moments: list[Moment] = []
        self._keeps = keeps
        self._open_groups = 0
        self._order = itertools.count()
        self._callbacks: list[tuple[int, int, Callable[[], None]]] = []

    @property
    def failure(self) -> FlowForgeError | None:
        return self.real.failure

    @property
    def waiting(self) -> int:
        return self._last - self.safe

    @property
    def written(self) -> int:
        return self.real.safe

    @property
    def is_full(self) -> bool:
        return self.waiting >= WINDOW

    def append(self, job: str, record: Record) -> int:
        self._last += 1
        with self._kept():
            assert self.real.append(job, record) == self._last
        return self._last

    def begin_group(self) -> None:
        self._open_groups += 1
        self.real.begin_group()

    def end_group(self) -> None:
        self._open_groups -= 1
        with self._kept():
            self.real.end_group()

    @contextmanager
    def _kept(self) -> Iterator[None]:
        """What is done in the block writes a frame, unless a group is open."""
        before = self.real.safe
        if self._open_groups:
            yield
            # The writer may look at any time, and must find nothing to write.
            has_looked = threading.Event()
            self.real.call_when_safe(before, has_looked.set)
            assert has_looked.wait(30)
        elif not self._keeps(range(before + 1, self._last + 1)):
            yield
            self.real.wait_until_safe(self._last)
        else:
            files = read_files(self.path)
            yield
            self.real.wait_until_safe(self._last)
            self._keep(before, files)

    def _keep(self, before: int, files: Files) -> None:
        self.moments.append(Moment(before, self.real.safe, self.monotonic(), files, read_files(self.path)))

    def tidy(self) -> None:
        is_kept = self._keeps(range(self.real.safe, self.real.safe + 1))
        files = read_files(self.path) if is_kept else {}
        self.real.jobs()
        if is_kept:
            self._keep(self.real.safe, files)

    def flush(self, most: int | None = None) -> None:
        # More than it says may be on disk already, as it may be for a while when a thread writes.
        self.safe = self.real.safe if most is None else min(self.real.safe, self.safe + most)
        due = []
        while self._callbacks and self._callbacks[0][0] <= self.safe:
            due.append(heapq.heappop(self._callbacks)[2])
        for callback in due:
            callback()

    def call_when_safe(self, number: int, callback: Callable[[], None]) -> None:
        heapq.heappush(self._callbacks, (number, next(self._order), callback))

    def call_when_failed(self, callback: Callable[[], None]) -> None:
        self.real.call_when_failed(callback)

    def wait_until_safe(self, number: int, timeout: float | None = None) -> bool:
        return number <= self.safe

    def records(self, job: str) -> list[Record]:
        return self.real.records(job)

    def jobs(self) -> list[KnownJob]:
        return self.real.jobs()

    def close(self) -> None:
        self.real.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()
