"""How a failed job is made to try again."""

from flowforge._engine import control
from flowforge._engine.job_data import JobData

__all__ = ["reset_attempts"]


def reset_attempts(data: JobData) -> None:
    """Forget failed attempts, the delays they led to, restarts, and the time that it took."""
    data.elapsed = 0.0
    for messages in data.pending.values():
        messages[:] = [control.without_attempts(message) for message in messages]
    data.retries.clear()
    data.restarts.clear()
