"""The limits and numbers of a runtime, checked once."""

from dataclasses import dataclass
from typing import Literal

from flowforge.job_errors import RuntimeOptionError
from flowforge.option_checks import is_amount

__all__ = ["RuntimeOptions"]


@dataclass(frozen=True, slots=True, kw_only=True)
class RuntimeOptions:
    """How large a runtime's pool is, and how much it remembers; RuntimeOptionError for what cannot be."""

    thread_pool_size: int = 16
    """How many handlers may run on threads at once; a hard limit. Threads are started as they are needed."""
    history: Literal["full", "recent", "off"] = "recent"
    """What each job remembers of its execution: its last `max_history` records, or, if it is `off`, nothing.

    With `full` the store keeps every record, and `Runtime.read_history` reads them; only for a runtime with a store.
    """
    max_history: int = 1_000
    """Records that each job remembers in memory; a record of small payloads takes about a kilobyte."""
    max_outputs: int = 100_000
    """Payloads that each job keeps per output, and entries of its output log and of its shared log."""
    max_finished_jobs: int = 10_000
    """Finished jobs that `get_job` and `list_jobs` know; the oldest are let go."""
    shutdown_timeout: float = 10.0
    """Seconds that an exit of the interpreter, or of the `with` block, waits for jobs to end."""

    def __post_init__(self) -> None:
        for name in ("thread_pool_size", "max_history", "max_outputs", "max_finished_jobs"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise RuntimeOptionError(name, value, "Give a whole number, 1 or more.")
        if self.history not in ("full", "recent", "off"):
            raise RuntimeOptionError("history", self.history, "Give one of ['full', 'recent', 'off'].")
        if not is_amount(self.shutdown_timeout):
            raise RuntimeOptionError("shutdown_timeout", self.shutdown_timeout, "Give seconds, 0 or more.")

    @property
    def remembered(self) -> int:
        """How many records each job remembers in memory."""
        return 0 if self.history == "off" else self.max_history
