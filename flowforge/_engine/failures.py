"""What becomes of a failed step: its record, the retry, the dead letter; with the job's lock held."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flowforge._engine.job_data import Retry, letter_of
from flowforge._engine.orders import ErrorReported, RetryDue
from flowforge.error_handler import ErrorStrategy
from flowforge.error_texts import error_info
from flowforge.job_errors import NoCursorError
from flowforge.records import ErrorInfo, MessageGivenUp, RetryScheduled, RoutineRestarted, StepFailed

if TYPE_CHECKING:
    from flowforge._engine.job import Job
    from flowforge._engine.orders import ActOn
    from flowforge._engine.step import Step
    from flowforge._engine.work import Work
    from flowforge._engine.worker import Worker

__all__ = [
    "act_on",
    "fail_step",
    "give_up",
    "record_failure",
    "record_restart",
    "schedule_retry",
    "wait_for_retry",
    "would_retry",
]


def record_failure(job: Job, worker: Worker, step: Step, error: ErrorInfo) -> None:
    """Write down a failed attempt."""
    job.append(
        StepFailed(
            **job.next_position(),
            routine=worker.plan.id,
            replica=worker.replica,
            slot=step.work.slot,
            messages=step.work.messages,
            duration=step.ended - step.started,
            queued=max(0.0, step.began - step.work.messages[0].at),
            error=error,
        )
    )


def record_restart(job: Job, worker: Worker, error: ErrorInfo) -> None:
    """Write down that a broken actor gets a fresh instance."""
    record = RoutineRestarted(**job.next_position(), routine=worker.plan.id, replica=worker.replica, error=error)
    job.data.note_restart(record.at)
    job.append(record)


def would_retry(job: Job, worker: Worker, error: BaseException, failures: int) -> bool:
    """Whether the supervisor would answer that error with another attempt."""
    return job.supervisor.decide(worker.plan.index, error, failures).strategy is ErrorStrategy.RETRY


def schedule_retry(job: Job, worker: Worker, delay: float) -> None:
    """Let a suspended worker go on after `delay` seconds."""
    due = job.clock.now() + delay
    job.append(
        RetryScheduled(**job.next_position(), routine=worker.plan.id, replica=worker.replica, delay=delay, due=due)
    )
    if delay <= 0:
        worker.release()
    else:
        assert worker.work is not None, "what failed is kept until it is tried again"
        _order_later(job, worker, worker.work.messages[0].id, due, delay)


def wait_for_retry(job: Job, worker: Worker, message: int, retry: Retry) -> None:
    """Suspend a worker until a retry of the message of that id, which was scheduled before a pause, is due."""
    worker.is_suspended = True
    worker.mailbox.hold()
    _order_later(job, worker, message, retry.due, retry.delay)


def _order_later(job: Job, worker: Worker, message: int, due: float, delay: float) -> None:
    worker.retry = message, Retry(worker.plan.id, worker.replica, due, delay)
    worker.retries += 1
    order = RetryDue(job.epoch, worker.retries)
    job.call_later(min(max(0.0, due - job.clock.now()), delay), lambda: worker.order(order))


def give_up(job: Job, worker: Worker, work: Work, strategy: str, error: ErrorInfo | None) -> None:
    """Make the work's messages a dead letter."""
    data = job.data
    data.letters += 1
    record = MessageGivenUp(
        **job.next_position(),
        letter=f"{job.id}-dl{data.letters}",
        routine=worker.plan.id,
        slots=worker.slots_of(work),
        messages=work.messages,
        strategy=strategy,
        error=error,
        is_repeatable=not worker.lacks_cursor,
    )
    data.dead_letters[record.letter] = letter_of(record)
    worker.consume(work)
    job.in_flight -= len(work.messages)
    job.append(record)
    job.complete_if_done()


def act_on(worker: Worker, order: ActOn) -> None:
    """Answer the failed step that a worker is suspended at."""
    job, strategy = worker.job, order.decision.strategy
    if strategy is ErrorStrategy.RETRY:
        schedule_retry(job, worker, order.decision.delay)
    elif strategy is ErrorStrategy.STOP:
        job.stop_for(order.error, worker.plan.id)
    else:
        work, worker.work = worker.work, None
        assert work is not None, "a failed step's work is kept until it is answered"
        worker.release()
        give_up(job, worker, work, strategy.value, order.error)
        worker.lacks_cursor = False
        worker.note_given_up()


def fail_step(worker: Worker, step: Step, error: BaseException) -> None:
    """Put back what a failed step did, write it down, and suspend its worker until the supervisor has answered."""
    job, work = worker.job, step.work
    worker.refuse(step)
    if worker.lacks_cursor and would_retry(job, worker, error, work.messages[0].attempt + 1):
        refusal = NoCursorError(worker.plan.id, "retried")
        refusal.__cause__ = error
        error = refusal
    failures = work.messages[0].attempt + 1
    worker.put_back(work, failures, work.messages[0].progress)
    info = error_info(error)
    record_failure(job, worker, step, info)
    report = ErrorReported(
        routine=worker.plan.index,
        replica=worker.replica,
        message=work.messages[0].id,
        failures=failures,
        error=error,
        info=info,
        epoch=job.epoch,
    )
    worker.suspend_for(report)
