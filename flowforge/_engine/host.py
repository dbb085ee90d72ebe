"""What a job needs of the runtime that it lives in."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable

    from actors.dispatcher import Dispatcher
    from flowforge._engine.job import Job
    from flowforge._engine.plan import FlowPlan
    from flowforge._engine.tracked_convert import Codec as StateCodec
    from flowforge.output_handler import OutputHandler
    from flowforge.stores.codec import Codec
    from flowforge.stores.store import Log

__all__ = ["JobHost"]


class JobHost(Protocol):
    """The runtime, as its jobs see it."""

    dispatcher: Dispatcher
    codec: Codec
    state_codec: StateCodec
    """The codec, as the states of routines ask it."""
    log: Log
    records_per_look: int
    """How many records may wait before the supervisor is called to apply them."""

    def check_process(self, asked: str) -> None:
        """Raise RuntimeForkedError in a child of the process that the runtime belongs to."""
        ...

    def attach_output_handler(self, job: Job, handler: OutputHandler | None) -> None:
        """Have what the job sends with `send_output` handled after the commits."""
        ...

    def note_changed(self, state: Any) -> None:
        """Something was done to a job that rests."""
        ...

    def note_finished(self, state: Any) -> None:
        """A job has finished while it rested."""
        ...

    def known_plan(self, state: Any) -> FlowPlan | None:
        """The plan of the flow that the runtime would go on with a job that has not run in it; None if it has none."""
        ...

    def reopen(self, state: Any, keep: Callable[[], None]) -> bool:
        """Run a completed job again, to which work was given back; False if nothing can run any more.

        `keep` is called before the record of that, once it is known that the job can go on.
        """
        ...

    def note_rest(self, state: Any, run: Job) -> None:
        """A job's run has ended; called once for each run, with its JobState and its lock held."""
        ...
