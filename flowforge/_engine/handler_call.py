"""Calling a handler: plain, generator, async and async generator; on the turn's thread, without the job's lock."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Coroutine, Generator
from typing import TYPE_CHECKING, Any

from flowforge.step_context import CURRENT_STEP

if TYPE_CHECKING:
    import contextvars

    from flowforge._engine.step import Step
    from flowforge._engine.worker import Worker

__all__ = ["call_handler"]


def call_handler(worker: Worker, step: Step) -> bool:
    """Call the handler, or go on with its generator, on this thread and without the lock; True if it is pending."""
    try:
        worker.tracked.begin()
        worker.has_begun = True
        if worker.stream is not None:
            if _advance(worker, step):
                return True
        else:
            context = worker.job.context.copy()
            result = context.run(_enter, step)
            if result is not None and _goes_on(worker, step, result, context):
                return True
    except BaseException as error:  # noqa: BLE001 - whatever a handler raises fails this step and nothing else
        step.error = error
    worker.end(step)
    return False


def _goes_on(worker: Worker, step: Step, result: object, context: contextvars.Context) -> bool:
    """Run what the handler has given, if that can be run; True if it is pending."""
    if isinstance(result, Coroutine):
        _run_async(worker, step, result, context)
        return True
    if not isinstance(result, Generator | AsyncGenerator):
        return False
    with worker.job.lock:
        if step.is_abandoned:
            # Never begun, so there is nothing to clean up in it; the next attempt has its own.
            return False
        worker.stream, worker.stream_context = result, context
    return _advance(worker, step)


def _advance(worker: Worker, step: Step) -> bool:
    """Go on with the generator to its next yield, or its end; True if that is pending."""
    context, stream = worker.stream_context, worker.stream
    assert context is not None
    if isinstance(stream, AsyncGenerator):
        _run_async(worker, step, _next_of(stream), context)
        return True
    assert stream is not None
    step.is_final = context.run(_next_segment, step, stream)
    return False


def _run_async(worker: Worker, step: Step, coroutine: Coroutine[Any, Any, Any], context: contextvars.Context) -> None:
    def on_done(result: object, error: BaseException | None) -> None:
        step.error = error
        step.is_final = not isinstance(worker.stream, AsyncGenerator) or result is True
        worker.end(step)
        with worker.job.lock:
            if step.is_abandoned:
                worker.job.stuck.pop(step, None)
            else:
                worker.task = None
                worker.unfinished = step
                worker.note_end()

    context.run(CURRENT_STEP.set, step)
    task = worker.job.dispatcher.run_async(coroutine, on_done, context)
    with worker.job.lock:
        if step.is_cancelled:
            # Its job was cancelled, or its time was over, before there was anything to cancel.
            task.cancel()
        elif step.is_open:
            worker.task = task


def _enter(step: Step) -> Any:
    CURRENT_STEP.set(step)
    work = step.work
    return work.call(step.worker.merged(work) if work.is_merged else work.argument)


def _next_segment(step: Step, stream: Generator[Any, Any, Any]) -> bool:
    """Whether the generator has ended."""
    CURRENT_STEP.set(step)
    try:
        next(stream)
    except StopIteration:
        return True
    return False


async def _next_of(stream: AsyncGenerator[Any, Any]) -> bool:
    try:
        await anext(stream)
    except StopAsyncIteration:
        return True
    return False
