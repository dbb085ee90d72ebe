"""A job at rest: all that is known about it, as data that another run, or another process, can go on from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from flowforge._engine.logs import about, logger
from flowforge.records import ErrorInfo, FlowFingerprint, Message, MessageGivenUp, Timer

__all__ = ["RESTARTS", "RESTART_SECONDS", "DeadLetter", "JobData", "Retry", "letter_of"]


RESTARTS = 3
"""How often the broken actors of a job are restarted within that many seconds, before it fails."""
RESTART_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A message, or the messages of one activation, that was given up on."""

    id: str
    routine: str
    slots: tuple[str, ...]
    """The slot of each message."""
    messages: tuple[Message, ...]
    strategy: str
    """`skip`, `continue`, `unmatched` for what a join could not match, `poison` for what the process died of, or
    `migrated` for what a hook of `Flow.migrate` had no place for."""
    error: ErrorInfo | None
    at: float
    is_repeatable: bool = True
    """False for a generator that left no cursor: called again, it would emit again what it has emitted."""

    @property
    def payload(self) -> dict[str, Any]:
        """The payload of the first message."""
        return self.messages[0].payload

    @property
    def attempts(self) -> int:
        """How many attempts were made at it."""
        return self.messages[0].attempt

    @property
    def reason(self) -> str:
        """Why it was given up, in a line."""
        return f"{self.error.type}: {self.error.text}" if self.error is not None else self.strategy


class Retry(NamedTuple):
    """Another attempt at a message that is to be made."""

    routine: str
    replica: int
    """-1 for the front of a routine with replicas, which merges and asks policies."""
    due: float
    """Seconds since the epoch."""
    delay: float
    """Seconds that it may wait at most, whatever the clock is set to."""


def letter_of(record: MessageGivenUp) -> DeadLetter:
    """The dead letter that a record tells of."""
    return DeadLetter(
        record.letter,
        record.routine,
        record.slots,
        record.messages,
        record.strategy,
        record.error,
        record.at,
        record.is_repeatable,
    )


@dataclass(slots=True)
class JobData:
    """What the commits own: positions, counts, shared data, waiting messages, dead letters."""

    job_id: str
    flow_id: str
    epoch: int = 0
    position: int = 0
    entries: int = 0
    """How many messages came from outside."""
    keys: set[str] = field(default_factory=set)
    pending: dict[tuple[str, str], list[Message]] = field(default_factory=dict)
    """What waits in each (routine, slot) while the job is at rest."""
    retries: dict[int, Retry] = field(default_factory=dict)
    """The attempts to come, by the id of the first message of each."""
    timers: dict[int, Timer] = field(default_factory=dict)
    """What is to be emitted later, by id."""
    lacks_cursor: list[str] = field(default_factory=list)
    """Routines whose generator cannot be called again."""
    shared: dict[str, Any] = field(default_factory=dict)
    shared_log: list[Any] = field(default_factory=list)
    shared_log_dropped: int = 0
    """How many entries the shared log has let go, the oldest first."""
    dead_letters: dict[str, DeadLetter] = field(default_factory=dict)
    letters: int = 0
    goes_on: bool = False
    """Whether it was paused by the end of its runtime."""
    starts: int = 0
    """How often a run was begun since anything was done, as far as a log tells."""
    suspect: tuple[str, int] | None = None
    """The routine and the id of the message that the process died of, while it was handled alone."""
    pausing: str | None = None
    """Why it is to pause, while steps that run have not ended yet, as far as a log tells."""
    is_kept_alive: bool = False
    checkpoint: Any = None
    timeout: float | None = None
    """Seconds that it may run, if it was started with a limit of its own."""
    elapsed: float = 0.0
    """Seconds that it has run, pauses not counted."""
    fingerprint: FlowFingerprint | None = None
    """Of the flow that it ran with last; None if it never ran, or with a version of FlowForge that kept none."""

    @property
    def version(self) -> int:
        """The version of its flow that it fits."""
        return 1 if self.fingerprint is None else self.fingerprint.version

    restarts: list[float] = field(default_factory=list)
    """When broken actors were restarted, in seconds since the epoch, as far as the budget still counts it."""

    def note_restart(self, at: float) -> None:
        """A broken actor was restarted; with the job's lock held."""
        self.restarts = [*(before for before in self.restarts if at - before < RESTART_SECONDS), at][-RESTARTS:]

    def extend_log(self, entries: Sequence[Any], limit: int) -> None:
        """Append to the shared log, and let its oldest entries go beyond `limit`; with the job's lock held."""
        log = self.shared_log
        log.extend(entries)
        excess = len(log) - limit
        if excess > 0:
            if not self.shared_log_dropped:
                text = "The shared log of job %r has more than %d entries; the oldest leave it."
                logger.warning(text, self.job_id, limit, extra=about(self.job_id))
            self.shared_log_dropped += excess
            del log[:excess]
