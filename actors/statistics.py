"""What a dispatcher says about itself."""

from dataclasses import dataclass

__all__ = ["DispatcherStatistics"]


@dataclass(frozen=True, slots=True)
class DispatcherStatistics:
    """A pooled dispatcher at one moment; the figures are read one after the other, not at one instant."""

    workers: int
    """Worker threads there are."""
    active_workers: int
    """Workers that are not parked."""
    ready_actors: int
    """Actors that wait for a turn."""
    turns: int
    """Turns begun since the start."""
    longest_turn: float
    """Seconds that the longest of the running turns has taken so far, 0 when none runs."""
    pending_timers: int
    """Timers that are not yet due."""
    async_tasks: int
    """Coroutines that have not ended."""
