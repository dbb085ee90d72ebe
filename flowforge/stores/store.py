"""What a store offers to a runtime: a log that records come into and are read from, and the jobs that are in it."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple, Protocol, runtime_checkable

from flowforge.errors import FlowForgeError
from flowforge.records import Record

__all__ = ["Delete", "Fold", "FoldingStore", "History", "KnownJob", "LetGo", "Log", "PrunableStore", "Store"]


class KnownJob(NamedTuple):
    """A job in a store, as far as that is known without reading its records."""

    id: str
    flow: str
    status: str
    """As its last record that changed it says: `running` until then."""
    changed: float
    """Seconds since the epoch, as its last record says."""


class History(NamedTuple):
    """What a job is recovered from."""

    base: bytes | None
    """What a fold made of the first records; None if there is none."""
    records: Sequence[Record]
    """Those that follow, in order."""


Fold = Callable[[str, History], bytes]
"""Makes one base of all that is kept of a job, given its id; no user code may be called for it.

The records may lack the payloads of what steps were called with: those that delivered it have them.
"""


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

    def begin_group(self) -> None:
        """From here to `end_group` all that is appended, whoever does, becomes safe in one, or not at all.

        Groups that overlap are one. Whoever begins one ends it soon, and waits for nothing before.
        """
        ...

    def end_group(self) -> None:
        """End a group that was begun."""
        ...

    def call_when_safe(self, number: int, callback: Callable[[], None]) -> None:
        """Call `callback` once, as soon as that record is safe; never inside this call, nor with a lock held."""
        ...


class Store(Log, Protocol):
    """A log that can be read; one thread at a time reads."""

    @property
    def failure(self) -> FlowForgeError | None:
        """Why nothing is kept any more; None as long as it is."""
        ...

    def call_when_failed(self, callback: Callable[[], None]) -> None:
        """Call `callback` once nothing is kept any more; never with a lock held."""
        ...

    def wait_until_safe(self, number: int, timeout: float | None = None) -> bool:
        """Return when that record is safe, or False after `timeout` seconds; raises the failure if it never will be."""
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


@runtime_checkable
class FoldingStore(Protocol):
    """A store that can shorten a long job, if it is told how."""

    def fold_with(self, fold: Fold | None, *, keeps_records: bool = False) -> None:
        """From now on make bases of long jobs; `fold` is called by a thread of the store, with no lock held.

        The records that a base stands for are deleted, or, with `keeps_records`, set aside. Until `fold_with(None)`,
        which waits for the base that is being made, another fold is refused.
        """
        ...

    def history(self, job: str) -> History:
        """A job's base and the records that follow; without both if it has no such job."""
        ...

    def histories(self, jobs: Sequence[str]) -> list[History | FlowForgeError]:
        """`history` of each of these jobs, or why it cannot be read."""
        ...

    def every_record(self, job: str, from_position: int = 1) -> Iterator[Record]:
        """The safe records of a job from a position on, in order, those that were set aside included.

        They are read as the iterator is advanced, in parts that are no larger than what a recovery reads.
        """
        ...


Delete = Callable[[Sequence[str]], Sequence[str]]
"""Deletes those of these jobs that may go, and gives their ids."""

LetGo = Callable[[Sequence[str], Delete], Sequence[str]]
"""Calls a `Delete` with those of these jobs that nobody uses, and gives what that gave."""


@runtime_checkable
class PrunableStore(Store, Protocol):
    """A store that can let jobs go."""

    def let_go_with(self, let_go: LetGo | None) -> None:
        """From now on delete by way of `let_go`, which is called with no lock held; by None directly."""
        ...

    def prune(
        self, older_than: float | timedelta | datetime | None = None, status: str | Iterable[str] | None = None
    ) -> int:
        """Forget finished jobs that are not in use, and give their number."""
        ...

    def delete(self, jobs: str | Iterable[str]) -> int:
        """Forget those of these jobs that are not in use, and give their number; a text is the id of one job."""
        ...

    def vacuum(self) -> None:
        """Give the space of forgotten jobs back."""
        ...
