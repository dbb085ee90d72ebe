"""Records of what is done to a job from outside of its steps, whether it runs or rests."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, cast

from flowforge._engine.control import new_message, write_shared
from flowforge.held_interrupts import whole
from flowforge.job_errors import StaleJobStateError, UnknownJobError
from flowforge.job_status import JobStatus
from flowforge.records import Delivery, MessagePosted, Record, SharedChange, SharedWritten
from flowforge.step_context import CURRENT_STEP, MAY_WAIT

if TYPE_CHECKING:
    from collections.abc import Iterator

    from flowforge.job_state import JobState
    from flowforge.records import Destination
    from flowforge.stores.store import Log, Store

__all__ = [
    "append_at_rest",
    "check_is_kept",
    "check_outcome",
    "commit_shared",
    "in_one_frame",
    "last_number",
    "post_at_rest",
    "wait_until_safe",
]


def append_at_rest(job_state: JobState, kind: type[Record], **facts: Any) -> None:
    """Write a record of what was done to a resting job; with its `control_lock` held."""
    data = job_state.data
    data.position += 1
    record = kind(position=data.position, at=job_state.clock.now(), epoch=data.epoch, **facts)
    if job_state.log is not None:
        job_state.last_number = job_state.log.append(job_state.job_id, record)
    job_state.view.inbox.append(record)
    job_state.view.catch_up()
    host = job_state.host if job_state.live is None else job_state.live.host
    if host is not None:
        host.note_changed(job_state)


def post_at_rest(job_state: JobState, to: Destination, payload: dict[str, Any], key: str | None) -> None:
    """Put a message into a slot of a resting job, for its resume, once for each key; with its `control_lock` held."""
    data = job_state.data
    if key is not None:
        if key in data.keys:
            return
        data.keys.add(key)
    message = new_message(data, payload, job_state.clock.now(), key)
    append_at_rest(job_state, MessagePosted, delivery=Delivery(to, message))
    data.pending.setdefault((to.routine, to.slot), []).append(message)


@contextmanager
def in_one_frame(log: Log | None) -> Iterator[None]:
    """A block whose records a crash takes all or none of; nothing is to be waited for in it."""
    if log is None:
        yield
        return
    log.begin_group()
    try:
        yield
    finally:
        log.end_group()


def check_is_kept(job_state: JobState) -> None:
    """Raise why nothing that is done to a job is kept any more.

    Its store has failed, was closed, has let it go, or was given back. With its `control_lock` held, for what is true
    then stays true while it is.
    """
    if job_state.is_let_go:
        raise UnknownJobError(job_state.job_id)
    if job_state.log is not None and job_state.log.is_durable:
        failure = cast("Store", job_state.log).failure
        if failure is not None:
            raise failure
    if job_state.is_stale:
        raise StaleJobStateError(job_state.job_id)


def check_outcome(job_state: JobState) -> None:
    """Raise why it is not known what became of a job, if its store has failed while it ran."""
    if job_state.committed_status is JobStatus.RUNNING:
        check_is_kept(job_state)


def last_number(job_state: JobState) -> int:
    """The number of the last record that was written of a job by this process; 0 if there is none."""
    live = job_state.live
    return job_state.last_number if live is None else max(job_state.last_number, live.last_number)


def wait_until_safe(job_state: JobState, timeout: float | None = None) -> bool:
    """Return when all that was done to a job is on disk; at once without a store, and where nobody may wait.

    That is inside a step, and in functions of the user's that are called with a job's lock held. False after `timeout`
    seconds.
    """
    log = job_state.log
    if log is None or not log.is_durable or CURRENT_STEP.get() is not None or not MAY_WAIT.get():
        return True
    return cast("Store", log).wait_until_safe(last_number(job_state), timeout)


@whole
def commit_shared(job_state: JobState, changes: tuple[SharedChange, ...], entries: tuple[Any, ...]) -> None:
    """Let changes of shared data take effect."""
    check_is_kept(job_state)
    for change in changes:
        write_shared(job_state.data.shared, change)
    job_state.data.extend_log(entries, job_state.view.max_outputs)
    live = job_state.live
    if live is not None and not live.is_over:
        live.append(SharedWritten(**live.next_position(), shared=changes, shared_log=entries))
    else:
        append_at_rest(job_state, SharedWritten, shared=changes, shared_log=entries)
