"""How jobs begin: at once, with the commit of a step that asks for it, or, when their runtime ends, at its next start.

Guarantees:

- A job that several steps ask for begins once, with the first of them that commits, as that one asked for it. It
  is given up when none of them will commit.
- One that a durable step asked for while its runtime was being shut down is begun by the next start.
- A lock of its own guards what steps claim; it is taken before a job's.
"""

from __future__ import annotations

import threading
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from flowforge._engine.control import check_payload, new_message
from flowforge._engine.logs import about, logger
from flowforge._engine.plan import plan_of
from flowforge._engine.step import Step
from flowforge.at_rest import append_at_rest
from flowforge.job_errors import RuntimeClosedError, RuntimeOptionError
from flowforge.job_status import JobStatus
from flowforge.names import check_name
from flowforge.records import Delivery, Destination, JobMoved, JobStarted
from flowforge.runtime_checks import check_fits_handler, checked_timeout
from flowforge.step_context import CURRENT_STEP

if TYPE_CHECKING:
    from collections.abc import Callable

    from flowforge._engine.job import Job
    from flowforge._engine.plan import FlowPlan, RoutinePlan
    from flowforge.flow_graph import FlowGraph
    from flowforge.job_state import JobState

__all__ = ["JobStart", "Opening", "Starting", "leave_for_next_start", "open_step", "opening_of", "settled"]


class JobStart(NamedTuple):
    """What a new job is started with, as the user gave it."""

    routine_id: str | None
    params: dict[str, Any] | None
    slot: str | None
    job_id: str | None = None
    keep_alive: bool = False
    timeout: float | None = None


class Opening(NamedTuple):
    """What a new job begins with, checked."""

    plan: FlowPlan
    entries: list[tuple[RoutinePlan, int]]
    """The routines that it enters, each with the lane."""
    payload: dict[str, Any]
    limit: float | None
    """Seconds that it may run."""
    start: JobStart

    def apply(self, job: Job) -> tuple[Delivery, ...]:
        """Make a job that has not begun the one that was asked for; its entry messages."""
        data = job.data
        data.is_kept_alive, data.timeout, data.entries = self.start.keep_alive, self.start.timeout, 0
        job.timeout = self.limit
        at = job.clock.now()
        return tuple(
            Delivery(Destination(entry.id, entry.slots[lane].name), new_message(data, dict(self.payload), at))
            for entry, lane in self.entries
        )


def opening_of(flow: FlowGraph, start: JobStart) -> Opening:
    """What a job of `flow` would begin with; raises what is wrong with the flow, the entry or the parameters."""
    if start.job_id is not None:
        check_name("job id", start.job_id)
    if not isinstance(start.keep_alive, bool):
        raise RuntimeOptionError("keep_alive", start.keep_alive, "Give True or False.")
    plan = plan_of(flow)
    is_fed_by_posts = start.keep_alive and start.routine_id is None and start.params is None
    entries: list[tuple[RoutinePlan, int]] = []
    if not is_fed_by_posts:
        chosen = plan.entries() if start.routine_id is None else [plan.routine(start.routine_id)]
        entries = [(entry, entry.entry_lane(start.slot)) for entry in chosen]
    payload = check_payload({} if start.params is None else start.params, f"the entry of the flow {plan.flow_id!r}")
    for entry, lane in entries:
        check_fits_handler(entry, lane, payload)
    return Opening(
        plan, entries, payload, checked_timeout(flow.timeout if start.timeout is None else start.timeout), start
    )


def open_step() -> Step | None:
    """The step that the calling code belongs to, while it runs."""
    step = CURRENT_STEP.get()
    return step if isinstance(step, Step) and step.is_open else None


def settled(state: JobState, asked: str) -> None:
    """Return when a job that steps have asked for has begun, or will not; RuntimeClosedError if nobody will know."""
    while (starting := state.starting) is not None:
        if not starting.job.dispatcher.wait_for(starting.settled) and state.starting is starting:
            raise RuntimeClosedError(asked)


class Starting:
    """A job that steps have asked for, none of which has committed; `release` gives its id back."""

    def __init__(self, job: Job, release: Callable[[JobState], None]) -> None:
        self.job = job
        self.settled = threading.Event()
        """Set when it has begun, or is not wanted any more."""
        self._release = release
        self._lock = threading.RLock()
        self._claims: dict[Step, None] = {}
        self._state = cast("JobState", job.job_state)
        self._state.starting = self

    def claim(self, step: Step, begin: Callable[[], None]) -> bool:
        """Call `begin` when the step commits, unless another's commit comes first; False if it is settled."""
        with self._lock:
            if self.settled.is_set():
                return False
            step.do_after_commit(partial(self._begin, begin), partial(self._give_up, step))
            self._claims[step] = None
            return True

    @property
    def is_claimed_by_this_step(self) -> bool:
        """Whether the step that the calling code belongs to has asked for the job."""
        return open_step() in self._claims

    def _begin(self, begin: Callable[[], None]) -> None:
        with self._lock:
            if self.settled.is_set():
                return
            try:
                begin()
            except RuntimeClosedError:
                text = "The job %r, which a step started, does not run: its runtime was shut down."
                logger.exception(text, self.job.id, extra=about(self.job.id))
            finally:
                self._settle()

    def _give_up(self, step: Step) -> None:
        with self._lock:
            self._claims.pop(step, None)
            if not self._claims and not self.settled.is_set():
                self._release(self._state)
                self._settle()

    def _settle(self) -> None:
        self._state.starting = None
        self.settled.set()


def leave_for_next_start(job: Job, deliveries: tuple[Delivery, ...] | None) -> None:
    """Write that a job of a store is to begin, or to go on, when the store is opened again."""
    state = cast("JobState", job.job_state)
    with state.control_lock:
        data = state.data
        if deliveries is not None:
            append_at_rest(
                state,
                JobStarted,
                flow=data.flow_id,
                deliveries=deliveries,
                is_kept_alive=data.is_kept_alive,
                timeout=data.timeout,
                fingerprint=job.plan.fingerprint,
            )
            for delivery in deliveries:
                data.pending.setdefault((delivery.to.routine, delivery.to.slot), []).append(delivery.message)
        data.goes_on = True
        append_at_rest(
            state,
            JobMoved,
            status=JobStatus.PAUSED.value,
            reason="shutdown",
            checkpoint=data.checkpoint,
            elapsed=data.elapsed,
            goes_on=True,
        )
