"""Whether what is kept of a job at rest has its place in a flow."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from flowforge.job_errors import FlowChangedError, NoCursorError, WrongFlowError
from flowforge.routine_instances import is_surely_equal

if TYPE_CHECKING:
    from collections.abc import Iterator

    from flowforge._engine.job_data import DeadLetter, JobData
    from flowforge._engine.plan import FlowPlan
    from flowforge._engine.view import JobView

__all__ = ["check_fit", "check_is_of", "check_letter_fits"]


def check_is_of(data: JobData, plan: FlowPlan) -> None:
    """Raise WrongFlowError for a job of another flow, NoCursorError for one whose generator cannot be called again."""
    if data.flow_id != plan.flow_id:
        raise WrongFlowError(data.job_id, data.flow_id, plan.flow_id)
    for routine in data.lacks_cursor:
        raise NoCursorError(routine, "resumed")


def check_fit(data: JobData, view: JobView, plan: FlowPlan) -> None:
    """Raise FlowChangedError unless all that waits, and the state of each replica, has its place in that plan."""
    difference = (*_waiting_in_vain(data, plan), *_replicas_gone(view, plan))
    if difference:
        raise FlowChangedError(data.job_id, data.flow_id, data.version, plan.version, difference)


def check_letter_fits(data: JobData, letter: DeadLetter, plan: FlowPlan) -> None:
    """Raise FlowChangedError if a dead letter comes from a slot that the plan does not have."""
    difference = [
        f"{_gone(plan, letter.routine, slot)}, and the dead letter {letter.id!r} comes from there"
        for slot in dict.fromkeys(letter.slots)
        if not _has_slot(plan, letter.routine, slot)
    ]
    if difference:
        raise FlowChangedError(data.job_id, data.flow_id, data.version, plan.version, difference)


def _waiting_in_vain(data: JobData, plan: FlowPlan) -> Iterator[str]:
    for (routine, slot), messages in data.pending.items():
        if not _has_slot(plan, routine, slot):
            waiting = "1 message waits" if len(messages) == 1 else f"{len(messages)} messages wait"
            yield f"{_gone(plan, routine, slot)}, and {waiting} there"
    deliveries = [timer.delivery.to for timer in data.timers.values() if timer.delivery is not None]
    for to, count in Counter((to.routine, to.slot) for to in deliveries).items():
        if not _has_slot(plan, *to):
            yield f"{_gone(plan, *to)}, and {'1 timer is' if count == 1 else f'{count} timers are'} set for it"
    for routine in dict.fromkeys(retry.routine for retry in data.retries.values()):
        if routine not in plan.by_id:
            yield f"the routine {routine!r} is gone, and a retry waits for it"


def _replicas_gone(view: JobView, plan: FlowPlan) -> Iterator[str]:
    with view.lock:
        view.catch_up()
        for (routine, replica), tree in view.trees.items():
            known = plan.by_id.get(routine)
            # What it began with is no loss: each new replica begins with the same.
            if known is None or replica < known.concurrency or not tree["state"]:
                continue
            if not is_surely_equal(tree["state"], known.template.__dict__["_initial_state"]):
                yield f"the replica {replica} of {routine!r} is gone, and its state is kept"


def _has_slot(plan: FlowPlan, routine: str, slot: str) -> bool:
    return routine in plan.by_id and slot in plan.by_id[routine].lanes


def _gone(plan: FlowPlan, routine: str, slot: str) -> str:
    if routine in plan.by_id:
        return f"the slot '{routine}.{slot}' is gone"
    return f"the routine {routine!r} is gone with its slot {slot!r}"
