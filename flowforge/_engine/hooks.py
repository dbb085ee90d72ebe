"""A worker's hooks and what has to be done without the job's lock."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Coroutine, Mapping
from typing import TYPE_CHECKING

from flowforge._engine.logs import about, logger
from flowforge._engine.orders import ActorBroke, Renew, Restart, StopDown
from flowforge._engine.rest import note_stopped
from flowforge.error_texts import error_info

if TYPE_CHECKING:
    from flowforge._engine.worker import Worker

__all__ = ["run_hook", "tidy_up"]


def run_hook(worker: Worker, order: object) -> bool:
    """Run `on_start` or `on_stop` on the turn's thread; True when it goes on as a coroutine."""
    is_stop = isinstance(order, StopDown)
    is_needed = isinstance(order, Restart | Renew) or not (is_stop or worker.has_instance)
    if is_needed and not worker.renew():
        return False
    if not (worker.has_stop and worker.is_started if is_stop else worker.has_start):
        _hook_done(worker, None, is_stop=is_stop)
        return False
    worker.is_starting = not is_stop
    try:
        # Nothing may have come for it, and yet it is told of the end.
        if not worker.has_instance and not worker.renew():
            _hook_done(worker, None, is_stop=is_stop)
            return False
        context = worker.job.context.copy()
        result = context.run(worker.instance.on_stop if is_stop else worker.instance.on_start)
        if isinstance(result, Coroutine):
            worker.job.dispatcher.run_async(
                result, lambda _, error: _hook_awaited(worker, error, is_stop=is_stop), context
            )
            return True
    except BaseException as error:  # noqa: BLE001 - a hook that raises breaks this actor and nothing else
        _hook_done(worker, error, is_stop=is_stop)
        return False
    _hook_done(worker, None, is_stop=is_stop)
    return False


def _hook_awaited(worker: Worker, error: BaseException | None, *, is_stop: bool) -> None:
    _hook_done(worker, error, is_stop=is_stop)
    with worker.job.lock:
        worker.note_end()


def _hook_done(worker: Worker, error: BaseException | None, *, is_stop: bool) -> None:
    with worker.job.lock:
        if is_stop:
            worker.is_stopped = True
            if error is not None:
                ids = (worker.plan.id, worker.job.id)
                logger.error("on_stop of %r in job %r raised.", *ids, exc_info=error, extra=_ids(worker))
            note_stopped(worker.job)
        elif error is not None:
            info = error_info(error)
            worker.is_starting = False
            worker.suspend_for(ActorBroke(worker.plan.index, worker.replica, error, info, worker.job.epoch))
        else:
            worker.is_starting = False
            worker.is_started = True
            worker.mend()


def tidy_up(worker: Worker) -> bool:
    """Do what has to wait until the lock is not held; True when it goes on as a coroutine."""
    if worker.after_commit is not None:
        worker.after_commit.run()
    while worker.stale_streams:
        *worker.stale_streams, (stream, context) = worker.stale_streams
        if isinstance(stream, AsyncGenerator):
            worker.job.dispatcher.run_async(stream.aclose(), _when_closed(worker), context)
            return True
        try:
            context.run(stream.close)
        except BaseException:  # noqa: BLE001 - a generator's own clean-up must not end the actor
            ids = (worker.plan.id, worker.job.id)
            logger.exception("Closing a generator of %r in job %r raised.", *ids, extra=_ids(worker))
    return False


def _when_closed(worker: Worker) -> Callable[[object, BaseException | None], None]:
    def note(_result: object, error: BaseException | None) -> None:
        if error is not None:
            ids = (worker.plan.id, worker.job.id)
            logger.error("Closing a generator of %r in job %r raised.", *ids, exc_info=error, extra=_ids(worker))
        with worker.job.lock:
            worker.note_end()

    return note


def _ids(worker: Worker) -> Mapping[str, str | None]:
    return about(worker.job.id, worker.plan.id)
