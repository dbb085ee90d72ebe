"""Which jobs a store lets go of."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from flowforge.option_checks import is_amount
from flowforge.stores.store_errors import StoreRetentionError

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from flowforge.stores.store import Delete, KnownJob

__all__ = ["checked_statuses", "chosen", "go_all", "named"]

_USUAL = ("completed", "cancelled")
_ALLOWED = (*_USUAL, "failed")


def chosen(
    jobs: Iterable[KnownJob], older_than: float | timedelta | datetime | None, statuses: Collection[str], now: float
) -> list[str]:
    """The ids of the jobs of those statuses whose last record is older; StoreRetentionError for what is no age."""
    limit = _limit_of(older_than, now)
    return [job.id for job in jobs if job.status in statuses and (limit is None or job.changed < limit)]


def checked_statuses(status: str | Iterable[str] | None) -> Collection[str]:
    """The statuses that are meant, by default the usual ones; StoreRetentionError for any that is not finished."""
    if status is None:
        return _USUAL
    wanted = [status] if isinstance(status, str) or not isinstance(status, Iterable) else list(status)
    for each in wanted:
        if each not in _ALLOWED:
            raise StoreRetentionError("status", each, "Choose among completed, cancelled and failed.")
    return wanted


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


def go_all(jobs: Sequence[str], delete: Delete) -> Sequence[str]:
    """Delete all of these jobs, for no runtime uses any."""
    return delete(jobs)


def _limit_of(older_than: float | timedelta | datetime | None, now: float) -> float | None:
    if older_than is None:
        return None
    if isinstance(older_than, datetime):
        if older_than.tzinfo is None:
            raise StoreRetentionError("older_than", older_than, "Give the time a time zone.")
        return older_than.timestamp()
    age = older_than.total_seconds() if isinstance(older_than, timedelta) else older_than
    if not is_amount(age):
        raise StoreRetentionError(
            "older_than", older_than, "Give seconds before now, 0 or more, a timedelta, or a time."
        )
    return now - age
