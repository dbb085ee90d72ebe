"""Logs in memory: one that keeps nothing, and one that can lose what was not flushed, as a disk does.

MemoryLog serves runtimes without a store: their jobs' own views remember what they may. MemoryStore is what the
simulator crashes, and the reading example of a store.
"""

from collections import deque
from collections.abc import Callable
from operator import itemgetter

from flowforge.errors import FlowForgeError
from flowforge.records import JobMoved, JobReplaced, JobStarted, Record
from flowforge.stores.codec import Codec
from flowforge.stores.record_form import decode_record, encode_record
from flowforge.stores.store import KnownJob
from flowforge.stores.store_errors import StoreClosedError

__all__ = ["WINDOW", "MemoryLog", "MemoryStore"]

WINDOW = 1024
"""Records that may wait for a flush before no further step starts."""


_OPEN = 1 << 62
"""Where a group ends that has not ended yet."""


class MemoryLog:
    """Counts records and lets them go."""

    is_durable = False
    is_full = False
    safe = 0

    def __init__(self) -> None:
        self.records = 0

    def append(self, job: str, record: Record) -> int:
        """Take the next record of a job; there is nothing to wait for."""
        self.records += 1
        return 0

    def begin_group(self) -> None:
        """Nothing is kept, so there is nothing to keep together."""

    end_group = begin_group

    def call_when_safe(self, number: int, callback: Callable[[], None]) -> None:
        """Never called, for there is nothing to wait for."""
        raise AssertionError("a log that keeps nothing has nothing to make safe")


class MemoryStore:
    """One log of records as bytes, of which only the flushed part, which is in `disk`, outlives a crash.

    `on_append` is called, with the job's lock held, when something waits to be flushed that did not before.
    Not for several threads.
    """

    is_durable = True

    def __init__(
        self,
        codec: Codec,
        on_append: Callable[[], None],
        window: int = WINDOW,
        *,
        disk: list[tuple[str, bytes]] | None = None,
    ) -> None:
        self.failure: FlowForgeError | None = None
        self._codec = codec
        self._on_append = on_append
        self._window = window
        self._disk = [] if disk is None else disk
        self._waiting: list[tuple[str, bytes]] = []
        self._callbacks: deque[tuple[int, Callable[[], None]]] = deque()
        self._open_groups = 0
        self._groups: list[tuple[int, int]] = []
        """How many records come before each group, and how many do with it; the last one may be open."""

    @property
    def safe(self) -> int:
        """How many records are safe."""
        return len(self._disk)

    @property
    def waiting(self) -> int:
        """How many records a crash would lose."""
        return len(self._waiting)

    @property
    def is_full(self) -> bool:
        """Whether as many records wait as may."""
        return len(self._waiting) >= self._window

    def append(self, job: str, record: Record) -> int:
        """Take the next record of a job; it is safe with the next flush, or never after a failure."""
        self._waiting.append((job, encode_record(record, self._codec)))
        if len(self._waiting) == 1:
            self._on_append()
        return len(self._disk) + len(self._waiting)

    def begin_group(self) -> None:
        """Nothing is flushed from here on until the group ends."""
        if not self._open_groups:
            self._groups.append((self.safe + self.waiting, _OPEN))
        self._open_groups += 1

    def end_group(self) -> None:
        """What was appended since the group began is flushed in one."""
        self._open_groups -= 1
        if not self._open_groups:
            self._groups[-1] = self._groups[-1][0], self.safe + self.waiting
            if self._waiting:
                self._on_append()

    def call_when_safe(self, number: int, callback: Callable[[], None]) -> None:
        """Call `callback` at the end of the flush that makes the record safe; it must not be yet."""
        assert number > self.safe, "what is safe need not be waited for"
        self._callbacks.append((number, callback))

    def flush(self, most: int | None = None) -> None:
        """Make what waits safe, in order; only the first `most` records of it if given. Nothing after a failure.

        Of a group all is made safe or, while it is open, nothing.
        """
        if self.failure is not None:
            return
        count = self._whole(len(self._waiting) if most is None else min(most, len(self._waiting)))
        self._disk += self._waiting[:count]
        del self._waiting[:count]
        due = sorted((entry for entry in self._callbacks if entry[0] <= self.safe), key=itemgetter(0))
        self._callbacks = deque(entry for entry in self._callbacks if entry[0] > self.safe)
        if self._waiting and not self._open_groups:
            self._on_append()
        for _, callback in due:
            callback()

    def _whole(self, count: int) -> int:
        """As many of the first records as waits, so that no group is cut."""
        safe = self.safe
        self._groups = [group for group in self._groups if group[1] > safe]
        for before, after in self._groups:
            if before < safe + count < after:
                return (before if after == _OPEN else after) - safe
        return count

    def crash(self) -> None:
        """Lose what was not flushed, and whoever waits for it."""
        self._open_groups = 0
        self._groups.clear()
        self._waiting.clear()
        self._callbacks.clear()

    def records(self, job: str) -> list[Record]:
        """The safe records of a job, in order."""
        return [decode_record(data, owner, self._codec) for owner, data in self._disk if owner == job]

    def jobs(self) -> list[KnownJob]:
        """The jobs that have safe records, oldest first."""
        found: dict[str, KnownJob] = {}
        for job, data in self._disk:
            record = decode_record(data, job, self._codec)
            if isinstance(record, JobStarted):
                found[job] = KnownJob(job, record.flow, "running", record.at)
            elif isinstance(record, JobReplaced):
                found[job] = KnownJob(job, record.flow, record.status, record.at)
            elif isinstance(record, JobMoved):
                found[job] = found[job]._replace(status=record.status, changed=record.at)
            else:
                found[job] = found[job]._replace(changed=record.at)
        return list(found.values())

    def call_when_failed(self, callback: Callable[[], None]) -> None:
        """Never called: memory does not fail."""

    def wait_until_safe(self, number: int, timeout: float | None = None) -> bool:
        """Whether the record is safe, at once: on a virtual clock nobody waits; raises why it never will be."""
        if number > self.safe and self.failure is not None:
            raise self.failure
        return number <= self.safe

    def close(self) -> None:
        """Flush, and keep nothing more."""
        self.flush()
        if self.failure is None:
            self.failure = StoreClosedError("memory")
