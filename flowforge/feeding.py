"""Messages from outside into the slots of a job that runs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from flowforge._engine import control
from flowforge._engine.control import check_payload
from flowforge._engine.logs import about, logger
from flowforge._engine.step import Step
from flowforge.at_rest import wait_until_safe
from flowforge.job_errors import JobFinishedError, RuntimeOptionError, SlotQueueFullError
from flowforge.names import is_encodable
from flowforge.option_checks import is_amount
from flowforge.records import Destination
from flowforge.runtime_checks import check_fits_handler
from flowforge.step_context import CURRENT_STEP

if TYPE_CHECKING:
    from flowforge._engine.job import Job
    from flowforge.job_state import JobState

__all__ = ["feed"]


def feed(  # noqa: PLR0917 - as `Runtime.post` has them
    state: JobState, routine: str, slot: str | None, payload: object, key: str | None, timeout: float | None
) -> None:
    """Do what `Runtime.post` promises."""
    values = check_payload(payload, f"the slot {routine}.{slot}")
    _check_options(key, timeout)
    step = CURRENT_STEP.get()
    # A job that this step starts begins when the step commits, and the post follows.
    live = state.live if state.starting is None else state.starting[0]
    if live is None or live.is_over:
        remedy = "Start it with keep_alive=True, or resume it."
        raise JobFinishedError(state.job_id, state.status, "take a post", remedy)
    plan = live.plan.routine(routine)
    lane = plan.entry_lane(slot)
    check_fits_handler(plan, lane, values)
    if live.is_isolated:
        values = live.codec.copy(values, f"the payload for {routine}.{plan.slots[lane].name}")
    if not isinstance(step, Step) or not step.is_open:
        _wait_for_room(live, routine, slot, values, key, timeout)
        wait_until_safe(state)
    elif step.worker.job is live:
        step.post(Destination(routine, plan.slots[lane].name), values, key)
    else:
        step.do_after_commit(lambda: _post_now(state, live, routine, slot, values, key=key))


def _check_options(key: object, timeout: object) -> None:
    if key is not None and (not isinstance(key, str) or not key or not is_encodable(key)):
        raise RuntimeOptionError("key", key, "Give a text that UTF-8 can encode, or None.")
    if timeout is not None and not is_amount(timeout):
        raise RuntimeOptionError("timeout", timeout, "Give seconds, 0 or more, or None to wait for ever.")


def _wait_for_room(  # noqa: PLR0917 - as `feed` has them
    live: Job, routine: str, slot: str | None, values: dict[str, Any], key: str | None, timeout: float | None
) -> None:
    monotonic = live.clock.monotonic
    deadline = None if timeout is None else monotonic() + timeout
    while (room := control.try_post(live, routine, slot, values, key)) is not None:
        left = None if deadline is None else max(0.0, deadline - monotonic())
        try:
            has_room = live.dispatcher.wait_for(room, left)
        finally:
            control.forget_waiter(live, room)
        if not has_room:
            plan = live.plan.routine(routine)
            waiting_for = plan.slots[plan.entry_lane(slot)]
            raise SlotQueueFullError(f"{routine}.{waiting_for.name}", waiting_for.max_queue_length, timeout or 0.0)


def _post_now(
    state: JobState, live: Job, routine: str, slot: str | None, values: dict[str, Any], *, key: str | None
) -> None:
    """Put what a step posted to another job into its slot, however full; it is logged if that job has ended."""
    try:
        if state.live is not live:
            raise JobFinishedError(live.id, state.status, "take a post", "It was not begun, or was resumed since.")
        control.try_post(live, routine, slot, values, key, is_bounded=False)
    except JobFinishedError:
        text = "Job %r had ended when a post of a step to %s.%s was to take effect."
        logger.exception(text, live.id, routine, slot, extra=about(live.id, routine))
