"""Messages from outside into the slots of a job that runs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from flowforge._engine import control
from flowforge._engine.control import check_payload
from flowforge._engine.logs import about, logger
from flowforge.at_rest import post_at_rest, wait_until_safe
from flowforge.errors import FlowForgeError
from flowforge.job_errors import JobFinishedError, RuntimeOptionError, SlotQueueFullError
from flowforge.job_starts import open_step, settled
from flowforge.job_status import JobStatus
from flowforge.names import is_encodable
from flowforge.records import Destination
from flowforge.runtime_checks import check_fits_handler, check_wait

if TYPE_CHECKING:
    from flowforge._engine.job import Job
    from flowforge._engine.plan import FlowPlan
    from flowforge.job_state import JobState

__all__ = ["feed"]


def feed(  # noqa: PLR0917 - as `Runtime.post` has them
    state: JobState, routine: str, slot: str | None, payload: object, key: str | None, timeout: float | None
) -> None:
    """Do what `Runtime.post` promises."""
    values = check_payload(payload, f"the slot {routine}.{slot}")
    _check_options(key, timeout)
    step = open_step()
    if step is None:
        settled(state, "take a post")
    plan = _plan_to_feed(state, step is not None).routine(routine)
    lane = plan.entry_lane(slot)
    check_fits_handler(plan, lane, values)
    to = Destination(routine, plan.slots[lane].name)
    # From outside never the one that a step may ask for this very moment: it has not begun.
    live = state.live if step is None or state.starting is None else state.starting.job
    if live is None or live.is_isolated:
        values = state.codec.copy(values, f"the payload for {to.routine}.{to.slot}")
    if step is None:
        assert live is not None, "from outside only a job that runs is fed"
        _wait_for_room(live, to, values, key, timeout)
        wait_until_safe(state)
    elif step.worker.job is live:
        step.post(to, values, key)
    else:
        step.do_after_commit(lambda: _post_now(state, to, values, key))


def _plan_to_feed(state: JobState, is_in_a_step: bool) -> FlowPlan:  # noqa: FBT001 - private
    """The plan of a job that can be fed; JobFinishedError if it cannot.

    A step may feed a job that it starts, which begins when the step commits, and one of a store that is paused, which
    may be so because their runtime is being shut down.
    """
    live = state.live if state.starting is None else state.starting.job
    if state.starting is not None and not state.starting.is_claimed_by_this_step:
        remedy = "The step that starts it has not committed; let that step post, or try again."
        raise JobFinishedError(state.job_id, state.status, "take a post", remedy)
    if live is not None and not live.is_over:
        return live.plan
    if is_in_a_step and state.log is not None and state.log.is_durable and state.status is JobStatus.PAUSED:
        plan = live.plan if live is not None else None if state.host is None else state.host.known_plan(state)
        if plan is not None:
            return plan
    remedy = "Start it with keep_alive=True, or resume it."
    raise JobFinishedError(state.job_id, state.status, "take a post", remedy)


def _check_options(key: object, timeout: object) -> None:
    if key is not None and (not isinstance(key, str) or not key or not is_encodable(key)):
        raise RuntimeOptionError("key", key, "Give a text that UTF-8 can encode, or None.")
    check_wait(timeout)


def _wait_for_room(live: Job, to: Destination, values: dict[str, Any], key: str | None, timeout: float | None) -> None:
    monotonic = live.clock.monotonic
    deadline = None if timeout is None else monotonic() + timeout
    while (room := control.try_post(live, to.routine, to.slot, values, key)) is not None:
        left = None if deadline is None else max(0.0, deadline - monotonic())
        try:
            has_room = live.dispatcher.wait_for(room, left)
        finally:
            control.forget_waiter(live, room)
        if not has_room:
            plan = live.plan.routine(to.routine)
            full = plan.slots[plan.lane_of(to.slot)]
            raise SlotQueueFullError(f"{to.routine}.{to.slot}", full.max_queue_length, timeout or 0.0)


def _post_now(state: JobState, to: Destination, values: dict[str, Any], key: str | None) -> None:
    """Put what a step posted to another job into its slot, however full; it is logged if that job has ended."""
    try:
        with state.control_lock:
            live = state.live
            if live is not None and not live.is_over:
                control.try_post(live, to.routine, to.slot, values, key, is_bounded=False)
            elif state.committed_status in {JobStatus.PAUSED, JobStatus.FAILED}:
                post_at_rest(state, to, values, key)
            else:
                raise JobFinishedError(state.job_id, state.status, "take a post", "Post to a job that is kept alive.")
    except FlowForgeError:
        text = "Job %r could not take a post of a step to %s.%s when it was to take effect."
        logger.exception(text, state.job_id, to.routine, to.slot, extra=about(state.job_id, to.routine))
