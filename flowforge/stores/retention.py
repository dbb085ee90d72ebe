"""Which jobs a store lets go of."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import TYPE_CHECKING

from flowforge.stores.store_errors import StoreRetentionError

if TYPE_CHECKING:
    from flowforge.stores.store import KnownJob

__all__ = ["chosen", "named"]

_USUAL = frozenset({"completed", "cancelled"})
_ALLOWED = _USUAL | {"failed"}


def chosen(
    jobs: Iterable[KnownJob], older_than: float | datetime | None, status: str | Iterable[str] | None, now: float
) -> list[str]:
    """The ids of the finished jobs of those statuses whose last record is older; StoreRetentionError for others."""
    wanted = _USUAL if status is None else frozenset([status] if isinstance(status, str) else status)
    if not wanted <= _ALLOWED:
        unfinished = min(wanted - _ALLOWED)
        raise StoreRetentionError("status", unfinished, "Choose among completed, cancelled and failed.")
    limit = _limit_of(older_than, now)
    return [job.id for job in jobs if job.status in wanted and (limit is None or job.changed < limit)]


def named(jobs: str | Iterable[str]) -> list[str]:
    """The ids that somebody names, each once, a single text being one; StoreRetentionError for what names no job."""
    remedy = "Give the ids of jobs, which are texts; that of a JobState is its job_id."
    ids = [jobs] if isinstance(jobs, str) else jobs
    if not isinstance(ids, Iterable):
        raise StoreRetentionError("ids", jobs, remedy)
    return list(dict.fromkeys(_checked(job, remedy) for job in ids))


def _checked(job: object, remedy: str) -> str:
    if not isinstance(job, str) or job.encode("utf-8", "replace").decode("utf-8") != job:
        raise StoreRetentionError("id", job, remedy)
    return job


def _limit_of(older_than: float | datetime | None, now: float) -> float | None:
    if older_than is None:
        return None
    if isinstance(older_than, datetime):
        if older_than.tzinfo is None:
            raise StoreRetentionError("older_than", older_than, "Give the time a time zone.")
        return older_than.timestamp()
    if not older_than >= 0:
        raise StoreRetentionError("older_than", older_than, "Give seconds before now, 0 or more.")
    return now - older_than
