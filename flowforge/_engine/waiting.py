"""What waits in front of a routine, as its activation policy sees it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from flowforge._engine.routine_actor import RoutineActor

__all__ = ["SlotsWaiting"]


class SlotsWaiting:
    """The lanes of one routine actor at one moment; used with the job's lock held."""

    __slots__ = ("_actor", "counts", "last_activation", "now")

    def __init__(self, actor: RoutineActor) -> None:
        self._actor = actor
        lanes = actor.mailbox.lanes
        self.counts = {slot.name: len(lanes[index].items) for index, slot in enumerate(actor.plan.slots)}
        self.now = actor.job.clock.now()
        self.last_activation = actor.last_activation

    def payloads(self, slot: str) -> list[dict[str, Any]]:
        """The payloads that wait in a slot, oldest first."""
        return [message.payload for message in self._actor.mailbox.lanes[self._actor.plan.lanes[slot]].items]

    @property
    def oldest(self) -> float | None:
        """When the message that has waited longest was committed."""
        return min((lane.items[0].at for lane in self._actor.mailbox.lanes if lane.items), default=None)
