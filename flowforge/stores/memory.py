"""Logs in memory: one that keeps nothing, and one that can lose what was not flushed, as a disk does.

MemoryLog serves runtimes without a store: their jobs' own views remember what they may. MemoryStore is what the
simulator crashes, and the reading example of a store.
"""

from collections.abc import Callable

from flowforge.records import Record
from flowforge.stores.codec import Codec
from flowforge.stores.record_form import decode_record, encode_record

__all__ = ["MemoryLog", "MemoryStore"]


class MemoryLog:
    """Counts records and lets them go."""

    is_durable = False

    def __init__(self) -> None:
        self.records = 0

    def append(self, job: str, record: Record) -> None:
        """Take the next record of a job."""
        self.records += 1


class MemoryStore:
    """One log of records as bytes, of which only the flushed part outlives a crash.

    `on_append` is called, with the job's lock held, when something waits to be flushed that did not before.
    Not for several threads.
    """

    is_durable = True

    def __init__(self, codec: Codec, on_append: Callable[[], None]) -> None:
        self._codec = codec
        self._on_append = on_append
        self._flushed: list[tuple[str, bytes]] = []
        self._waiting: list[tuple[str, bytes]] = []

    @property
    def flushed(self) -> int:
        """How many records are safe."""
        return len(self._flushed)

    @property
    def waiting(self) -> int:
        """How many records a crash would lose."""
        return len(self._waiting)

    def append(self, job: str, record: Record) -> None:
        """Take the next record of a job; it is safe with the next flush."""
        self._waiting.append((job, encode_record(record, self._codec)))
        if len(self._waiting) == 1:
            self._on_append()

    def flush(self, most: int | None = None) -> None:
        """Make what waits safe, in order; only the first `most` records of it if given."""
        count = len(self._waiting) if most is None else most
        self._flushed += self._waiting[:count]
        del self._waiting[:count]

    def crash(self) -> None:
        """Lose what was not flushed."""
        self._waiting.clear()

    def records(self, job: str) -> list[Record]:
        """The safe records of a job, in order."""
        return [decode_record(data, owner, self._codec) for owner, data in self._flushed if owner == job]

    def jobs(self) -> list[str]:
        """The jobs that have safe records, oldest first."""
        return list(dict.fromkeys(job for job, _ in self._flushed))
