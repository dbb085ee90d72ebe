"""How a resting job comes to go on with its flow: checked, migrated if the flow's version asks for it, or taken in.

Guarantees:

- Hooks are called with the job's lock held, on a copy: if one raises, or the job does not fit then, it is as it was.
- What hooks have made of a job is in its log before it goes on, so that they are not called for it again.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from flowforge._engine.fitting import check_fit, check_is_of
from flowforge._engine.logs import about, logger
from flowforge._engine.resuming import reset_attempts
from flowforge.at_rest import append_at_rest, check_is_kept
from flowforge.flow_fingerprint import changes_between
from flowforge.held_interrupts import HeldInterrupts
from flowforge.job_errors import FlowChangedError, JobFinishedError, JobForkedError, MigrationFailedError
from flowforge.job_migration import JobMigration
from flowforge.job_status import JobStatus
from flowforge.records import JobReplaced
from flowforge.step_context import call_with_lock

if TYPE_CHECKING:
    from actors.clock import Clock
    from flowforge._engine.bases import Bases
    from flowforge._engine.job_data import JobData
    from flowforge._engine.plan import FlowPlan
    from flowforge._engine.view import JobView
    from flowforge.job_state import JobState
    from flowforge.stores.store import Log

__all__ = ["check_can_resume", "make_ready"]

_RESUMABLE = frozenset({JobStatus.PENDING, JobStatus.PAUSED, JobStatus.FAILED})


def check_can_resume(state: JobState) -> None:
    """Raise JobFinishedError for a job that runs, or that has ended for good."""
    if not state.is_resting:
        remedy = "Only the runtime that it runs in can go on with it."
        raise JobFinishedError(state.job_id, state.status, "be resumed", remedy)
    if state.status not in _RESUMABLE:
        raise JobFinishedError(state.job_id, state.status, "be resumed", "Start a new job.")


def make_ready(state: JobState, plan: FlowPlan, bases: Bases, log: Log, clock: Clock) -> None:
    """Make a resting job one that is kept in `log` and fits `plan`.

    Raises WrongFlowError, NoCursorError, JobForkedError for a job of another store, StaleJobStateError,
    FlowChangedError, MigrationFailedError, and UnencodableValueError; then it is as it was.
    """
    with state.control_lock:
        data, view = state.data, state.view
        check_is_of(data, plan)
        if state.log is not None and state.log.is_durable and state.log is not log:
            raise JobForkedError(data.job_id, "a store", "Go on with it by resume_job of the runtime with that store.")
        if data.version > plan.version:
            newer = ("it has run with a later version",)
            raise FlowChangedError(data.job_id, data.flow_id, data.version, plan.version, newer)
        check_is_kept(state)
        is_migrated = any(data.version <= version < plan.version for version in plan.migrations)
        if is_migrated:
            data, view = _migrated(bases.base_of(data, view), plan, bases, clock)
        check_fit(data, view, plan)
        with HeldInterrupts():
            _note_change(data, plan)
            _hand_over_merged(view, plan)
            is_taken_in = log.is_durable and state.log is not log
            if is_migrated or is_taken_in:
                # Whoever takes a job in wants it to run, so that it does even if the process dies now.
                data = replace(data, fingerprint=plan.fingerprint, goes_on=data.goes_on or is_taken_in)
                _replace(state, bases.base_of(data, view), bases, log, clock)
            if state.view.status is JobStatus.FAILED:
                reset_attempts(state.data)


def _migrated(base: bytes, plan: FlowPlan, bases: Bases, clock: Clock) -> tuple[JobData, JobView]:
    """A copy of a job that the hooks have changed, in the order of the versions."""
    data, view = bases.opened(base)
    known = set(view.trees)
    for version in range(data.version, plan.version):
        hook = plan.migrations.get(version)
        if hook is not None:
            try:
                call_with_lock(hook, JobMigration(data, view, version, clock.now()))
            except Exception as err:
                raise MigrationFailedError(data.job_id, plan.flow_id, version, err) from err
    # A routine that a hook has only looked at begins with its initial state.
    view.trees = {owner: tree for owner, tree in view.trees.items() if owner in known or any(tree.values())}
    return data, view


def _replace(state: JobState, base: bytes, bases: Bases, log: Log, clock: Clock) -> None:
    state.data, state.view = bases.opened(base)
    state.log, state.clock = log, clock
    kept = base if log.is_durable else b""
    append_at_rest(state, JobReplaced, flow=state.flow_id, status=state.view.status.value, base=kept)


def _hand_over_merged(view: JobView, plan: FlowPlan) -> None:
    """See to what slots have gathered, if a routine has got or lost its replicas."""
    for routine in plan.routines:
        if routine.concurrency == 1 and (routine.id, -1) in view.trees:
            view.set_initial(routine.id, 0, routine.template.__dict__["_initial_state"])
    view.hand_over_merged(plan.fingerprint)


def _note_change(data: JobData, plan: FlowPlan) -> None:
    if data.fingerprint is not None and data.fingerprint != plan.fingerprint and not plan.has_noted_change:
        plan.has_noted_change = True
        text = "The flow %r has changed since the job %r ran with it, which goes on: %s."
        changes = "; ".join(changes_between(data.fingerprint, plan.fingerprint))
        logger.info(text, plan.flow_id, data.job_id, changes, extra=about(data.job_id))
