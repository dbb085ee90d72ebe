"""What the supervisor tells a worker to do, and what a worker reports: frozen messages on control lanes."""

from dataclasses import dataclass

from flowforge.error_handler import Decision
from flowforge.records import ErrorInfo

__all__ = ["ActOn", "ActorBroke", "Drain", "ErrorReported", "Renew", "Restart", "RetryDue", "StartUp", "StopDown"]


@dataclass(frozen=True, slots=True)
class StartUp:
    """Run `on_start` before anything else."""


@dataclass(frozen=True, slots=True)
class Renew:
    """Take a fresh instance: a step that was abandoned may still use the old one."""


@dataclass(frozen=True, slots=True)
class StopDown:
    """Run `on_stop`; nothing comes after it."""


@dataclass(frozen=True, slots=True)
class ActOn:
    """Answer the failed step that the worker is suspended at."""

    decision: Decision
    error: ErrorInfo
    epoch: int


@dataclass(frozen=True, slots=True)
class RetryDue:
    """The delay of a retry is over."""

    epoch: int
    number: int
    """Which of the worker's retries; one that was answered otherwise in between is no longer due."""


@dataclass(frozen=True, slots=True)
class Restart:
    """Take a fresh instance with the committed state."""

    error: ErrorInfo
    epoch: int


@dataclass(frozen=True, slots=True)
class Drain:
    """Nothing else in the job can run: release what waits, or give it up."""

    epoch: int


@dataclass(frozen=True, slots=True)
class ErrorReported:
    """A step failed; its worker is suspended until it is told what to do."""

    routine: int
    replica: int
    message: int
    """The id of the first message it was called with."""
    failures: int
    error: BaseException
    info: ErrorInfo
    epoch: int


@dataclass(frozen=True, slots=True)
class ActorBroke:
    """An actor failed outside of its handlers; it is suspended until it is restarted."""

    routine: int
    replica: int
    error: BaseException
    info: ErrorInfo
    epoch: int
