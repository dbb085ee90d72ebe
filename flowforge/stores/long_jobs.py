"""Which jobs of a store are long, and when one of them is to be shortened."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from flowforge.stores.job_rows import JobRow

__all__ = ["LongJobs"]

_AT_LATEST = 10.0
"""Seconds after which a job that is long waits no more for a moment without other work."""


class LongJobs:
    """The jobs with more than so many records or bytes, if these outweigh their base; for one thread at a time.

    While the store is busy, they are shortened when all together have `backlog` times as many, or after ten seconds of
    `monotonic`. So a burst is not slowed down by what can be done after it, and what a recovery has to read is bounded.
    """

    def __init__(self, most_records: int, most_bytes: int, backlog: int, monotonic: Callable[[], float]) -> None:
        self._most = most_records, most_bytes
        self._backlog = backlog
        self._monotonic = monotonic
        self._rows: dict[str, JobRow] = {}
        self._since: dict[str, float] = {}
        self._kept: set[str] = set()
        self.on_long: Callable[[], None] | None = None
        """Called, in the middle of things, when there are some."""

    def __bool__(self) -> bool:
        return bool(self._rows)

    def is_long(self, row: JobRow) -> bool:
        """Whether the records of a job are worth a new base."""
        # So that all bases together cost no more than a share of what the job itself does.
        return row.size > row.base and self._exceeds(row.records, row.size)

    def _exceeds(self, records: int, size: int, times: int = 1) -> bool:
        return records > times * self._most[0] or size > times * self._most[1]

    def is_enough(self, part: JobRow, row: JobRow) -> bool:
        """Whether a part of a job's records will do for its next base."""
        # What is left has to be read twice, so of very much a part takes more.
        return self.is_long(part) and part.size >= row.size // 8

    def note(self, rows: Iterable[JobRow]) -> None:
        """What jobs have become."""
        for row in rows:
            if row.job not in self._kept and self.is_long(row):
                self._rows[row.job] = row
                self._since.setdefault(row.job, self._monotonic())
        self.tell()

    def tell(self) -> None:
        """Call `on_long` if there are some."""
        # Once, for whoever stops shortening takes it away without a lock.
        on_long = self.on_long
        if self._rows and on_long is not None:
            on_long()

    def forget(self, job: str) -> None:
        """It is long no more, or there is no such job."""
        self._rows.pop(job, None)
        self._since.pop(job, None)
        self._kept.discard(job)

    def keep(self, job: str) -> None:
        """It is to stay as it is."""
        self.forget(job)
        self._kept.add(job)

    def next(self, *, is_busy: bool) -> str | None:
        """The job to be shortened now; None if there is none, or if that can wait until the store is busy no more."""
        if not self._rows:
            return None
        job, rows = next(iter(self._rows)), self._rows.values()
        if not is_busy or self._monotonic() - self._since[job] >= _AT_LATEST:
            return job
        is_much = self._exceeds(sum(row.records for row in rows), sum(row.size for row in rows), self._backlog)
        return job if is_much else None
