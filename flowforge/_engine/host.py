"""What a job needs of the runtime that it lives in."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable

    from actors.dispatcher import Dispatcher
    from actors.registry import Registry
    from flowforge._engine.job import Job
    from flowforge.output_handler import OutputHandler
    from flowforge.records import Record
    from flowforge.stores.codec import Codec

__all__ = ["JobHost", "Log"]


class Log(Protocol):
    """Where the records of jobs are kept."""

    is_durable: bool
    """Whether jobs go on from what it keeps: then every payload is data, and a generator needs a cursor to yield."""

    @property
    def is_full(self) -> bool:
        """Whether so much waits to be made safe that no further step should start."""
        ...

    @property
    def safe(self) -> int:
        """The number of the last record that a crash cannot take; all before it are safe too."""
        ...

    def append(self, job: str, record: Record) -> int:
        """Keep the next record of a job, and give its number; called in the commit, with the job's lock held."""
        ...

    def call_when_safe(self, number: int, callback: Callable[[], None]) -> None:
        """Call `callback` once, as soon as that record is safe; never inside this call, nor with a lock held."""
        ...


class JobHost(Protocol):
    """The runtime, as its jobs see it."""

    dispatcher: Dispatcher
    codec: Codec
    registry: Registry
    log: Log
    records_per_look: int
    """How many records may wait before the supervisor is called to apply them."""

    def check_process(self, asked: str) -> None:
        """Raise RuntimeForkedError in a child of the process that the runtime belongs to."""
        ...

    def attach_output_handler(self, job: Job, handler: OutputHandler | None) -> None:
        """Have what the job sends with `send_output` handled after the commits."""
        ...

    def note_finished(self, state: Any) -> None:
        """A job has finished while it rested."""
        ...

    def reopen(self, state: Any) -> bool:
        """Run a completed job again, to which work was given back; False if nothing can run any more."""
        ...

    def note_rest(self, state: Any, run: Job) -> None:
        """A job's run has ended; called once for each run, with its JobState and its lock held."""
        ...
