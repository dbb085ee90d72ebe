"""What a runtime holds at one moment."""

from dataclasses import dataclass
from typing import Any

from flowforge._engine.control import StillRunning

__all__ = ["RuntimeStatistics"]


@dataclass(frozen=True, slots=True)
class RuntimeStatistics:
    """A frozen account of a runtime."""

    jobs: dict[str, int]
    """How many of the jobs it knows have each status."""
    steps_still_running: tuple[StillRunning, ...]
    """Abandoned steps whose threads have not come back."""
    dispatcher: Any
    """The dispatcher's own figures; None if it has none."""
