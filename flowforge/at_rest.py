"""Records of what is done to a job from outside of its steps, whether it runs or rests."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from flowforge._engine.control import close, write_shared
from flowforge.records import JobClosed, Record, SharedChange, SharedWritten

if TYPE_CHECKING:
    from flowforge.job_state import JobState

__all__ = ["append_at_rest", "close_job", "commit_shared"]


def append_at_rest(job_state: JobState, kind: type[Record], **facts: Any) -> None:
    """Write a record of what was done to a resting job; with its `control_lock` held."""
    data = job_state.data
    data.position += 1
    record = kind(position=data.position, at=job_state.clock.now(), epoch=data.epoch, **facts)
    if job_state.log is not None:
        job_state.log.append(job_state.job_id, record)
    job_state.view.inbox.append(record)
    job_state.view.catch_up()


def close_job(job_state: JobState) -> None:
    """Keep a job open for posts no longer, whether it runs or rests."""
    with job_state.control_lock:
        if job_state.live is not None and not job_state.is_resting:
            close(job_state.live)
        elif job_state.data.is_kept_alive:
            job_state.data.is_kept_alive = False
            append_at_rest(job_state, JobClosed)


def commit_shared(job_state: JobState, changes: tuple[SharedChange, ...], entries: tuple[Any, ...]) -> None:
    """Let changes of shared data take effect; with the job's `control_lock` held."""
    for change in changes:
        write_shared(job_state.data.shared, change)
    job_state.data.extend_log(entries, job_state.view.max_outputs)
    live = job_state.live
    if live is not None and not live.is_over:
        live.append(SharedWritten(**live.next_position(), shared=changes, shared_log=entries))
    else:
        append_at_rest(job_state, SharedWritten, shared=changes, shared_log=entries)
