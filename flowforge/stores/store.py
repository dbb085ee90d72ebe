"""What a store offers to a runtime: a log that records come into and are read from, and the jobs that are in it."""

from collections.abc import Callable
from typing import NamedTuple, Protocol

from flowforge.errors import FlowForgeError
from flowforge.records import Record

__all__ = ["KnownJob", "Log", "Store"]


class KnownJob(NamedTuple):
    """A job in a store, as far as that is known without reading its records."""

    id: str
    flow: str
    status: str
    """As its last record that changed it says: `running` until then."""
    changed: float
    """Seconds since the epoch, when the store last noted something of it."""


class Log(Protocol):
    """Where the records of jobs go."""

    is_durable: bool
    """Whether jobs go on from what it keeps: then every payload is data, and a generator needs a cursor to yield."""

    @property
    def is_full(self) -> bool:
        """Whether so much waits to be made safe that no further step should start."""
        ...

    @property
    def safe(self) -> int:
        """The number of the last record that a crash cannot take; all before it are safe too."""
        ...

    def append(self, job: str, record: Record) -> int:
        """Keep the next record of a job, and give its number; called in the commit, with the job's lock held."""
        ...

    def call_when_safe(self, number: int, callback: Callable[[], None]) -> None:
        """Call `callback` once, as soon as that record is safe; never inside this call, nor with a lock held."""
        ...


class Store(Log, Protocol):
    """A log that can be read; one thread at a time reads."""

    failure: FlowForgeError | None
    """Why nothing is kept any more; None as long as it is."""

    def wait_until_safe(self, number: int) -> None:
        """Return when that record is safe; raises the failure if it never will be."""
        ...

    def records(self, job: str) -> list[Record]:
        """The safe records of a job, in order; none if it has no such job."""
        ...

    def jobs(self) -> list[KnownJob]:
        """All jobs that have safe records, oldest first."""
        ...

    def close(self) -> None:
        """Make safe what was appended, and let go of the file."""
        ...
