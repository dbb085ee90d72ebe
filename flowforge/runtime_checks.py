"""Small checks and helpers of the runtime."""

from __future__ import annotations

import uuid
import weakref
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from flowforge._engine.logs import about, logger
from flowforge.binding import HandlerKind
from flowforge.job_errors import RuntimeOptionError

if TYPE_CHECKING:
    from flowforge._engine.plan import FlowPlan
    from flowforge.job_state import JobState

__all__ = ["checked_id", "checked_timeout", "drain", "state_reader", "warn_of_concurrency"]


def checked_timeout(timeout: float | None) -> float | None:
    """`timeout` if it is None or above 0; else RuntimeOptionError."""
    if timeout is not None and not timeout > 0:
        raise RuntimeOptionError("timeout", timeout, "Give seconds above 0, or None for no limit.")
    return timeout


def checked_id(job_id: str | None) -> str:
    """`job_id` if it is a text, or a new one; RuntimeOptionError for anything else."""
    if job_id is not None and (type(job_id) is not str or not job_id):
        raise RuntimeOptionError("job_id", job_id, "Give a text, or None to have one made.")
    return job_id or uuid.uuid4().hex


def warn_of_concurrency(plan: FlowPlan, threads: int) -> None:
    """Log a warning, once for each plan, if a routine has more replicas than there are threads for them."""
    for routine in plan.routines:
        kinds = {slot.shape.kind for slot in routine.slots if slot.shape is not None}
        needs_threads = not kinds <= {HandlerKind.ASYNC, HandlerKind.ASYNC_GENERATOR} or not kinds
        if routine.template.concurrency > threads and needs_threads and not plan.has_warned:
            plan.has_warned = True
            text = "The routine %r has %d replicas, but the runtime has %d threads for handlers."
            logger.warning(text, routine.id, routine.template.concurrency, threads, extra=about("", routine.id))


def state_reader(job_state: JobState, routine_id: str) -> Callable[[], dict[str, Any]]:
    """What a template's `stats` reads: the state in that job, for as long as somebody holds it."""
    state = weakref.ref(job_state)

    def read() -> dict[str, Any]:
        job = state()
        return {} if job is None else job.get_routine_state(routine_id, {})

    return read


def drain(runtime: weakref.ref[Any]) -> None:
    """At the end of the process: shut a runtime down, if there still is one, within its own deadline."""
    living = runtime()
    if living is not None:
        living.shutdown(timeout=living.options.shutdown_timeout)
