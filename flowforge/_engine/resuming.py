"""Whether a job at rest can go on with a flow, and how it is made to."""

from flowforge._engine import control
from flowforge._engine.job_data import JobData
from flowforge._engine.plan import FlowPlan
from flowforge.job_errors import NoCursorError, WrongFlowError, WrongStateError

__all__ = ["check_fit", "reset_attempts"]


def check_fit(data: JobData, plan: FlowPlan) -> None:
    """Raise WrongFlowError, WrongStateError or NoCursorError unless the job can go on with that plan."""
    if data.flow_id != plan.flow_id:
        raise WrongFlowError(data.job_id, data.flow_id, plan.flow_id)
    for routine, slot in data.pending:
        if routine not in plan.by_id:
            raise WrongStateError(
                data.job_id, f"messages wait for the routine {routine!r}, which the flow does not have"
            )
        if slot not in plan.by_id[routine].lanes:
            raise WrongStateError(
                data.job_id, f"messages wait in the slot {routine}.{slot}, which the flow does not have"
            )
    for timer in data.timers.values():
        to = None if timer.delivery is None else timer.delivery.to
        if to is not None and (to.routine not in plan.by_id or to.slot not in plan.by_id[to.routine].lanes):
            missing = f"a timer is set for the slot {to.routine}.{to.slot}, which the flow does not have"
            raise WrongStateError(data.job_id, missing)
    for retry in data.retries.values():
        if retry.routine not in plan.by_id:
            raise WrongStateError(
                data.job_id, f"a retry waits for the routine {retry.routine!r}, which the flow does not have"
            )
    for routine in data.lacks_cursor:
        raise NoCursorError(routine, "resumed")


def reset_attempts(data: JobData) -> None:
    """Forget failed attempts, the delays they led to, restarts, and the time that it took."""
    data.elapsed = 0.0
    for messages in data.pending.values():
        messages[:] = [control.without_attempts(message) for message in messages]
    data.retries.clear()
    data.restarts.clear()
