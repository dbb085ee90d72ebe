"""The actors of a runtime's jobs, as pykka's users know actors: by references."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from actors.pykka_door import ActorRef
    from flowforge.job_table import JobTable

__all__ = ["JobActors"]


class JobActors:
    """The actors that there are now; every method may be called from any thread, and looks at each running job."""

    def __init__(self, table: JobTable) -> None:
        self._table = table

    def get_all(self) -> list[ActorRef[Any]]:
        """The references of all, job by job."""
        found: list[ActorRef[Any]] = []
        for run in self._table.runs():
            with run.lock:
                found.extend(worker.actor_ref for worker in run.everyone())
        return found

    def get_by_urn(self, actor_urn: str) -> ActorRef[Any] | None:
        """The reference of that urn, or None."""
        return next((ref for ref in self.get_all() if ref.actor_urn == actor_urn), None)

    def __len__(self) -> int:
        return len(self.get_all())
