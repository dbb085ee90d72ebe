"""Making steps of a simulated run fail: at their very end, or by taking longer than their time."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncGenerator, Generator
from typing import TYPE_CHECKING, Any

from flowforge._engine.orders import Renew, Restart, StartUp
from flowforge._engine.timeouts import time_out
from flowforge.job_errors import StepTimeoutError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from flowforge._engine.step import Step
    from flowforge._engine.worker import Worker
    from flowforge.testing.schedule import Failure

__all__ = ["Faults"]


class Faults:
    """The failures that a schedule asks for, until each has happened."""

    def __init__(self, failures: Mapping[tuple[Any, int], Failure], note: Callable[[str], None]) -> None:
        self._due = dict(failures)
        self._doomed: dict[Step, Failure] = {}
        self._steps: Counter[str] = Counter()
        self._note = note

    def __bool__(self) -> bool:
        """Whether some have not happened yet."""
        return bool(self._due or self._doomed)

    def run(self, worker: Worker, lane: int, turn: Callable[[], object]) -> None:
        """Give `worker` its turn; `lane` is what it takes from, if it is known."""
        ended = worker.unfinished
        if ended is not None:
            failure = self._doomed.pop(ended, None)
            if failure is not None and ended.error is None:
                ended.error = _made(failure)
            turn()
            return
        before, number = worker.step, self._steps[worker.plan.id] + 1
        failure = self._due.get((worker.plan.id, number))
        if any(isinstance(order, StartUp | Renew | Restart) for order in worker.mailbox.control):
            # The turn is the hook's; the step has one of its own.
            turn()
            return
        if failure is not None and _is_timeout(failure):
            _run_slowly(worker, lane, turn)
        else:
            turn()
        step = worker.step
        if step is None or step is before:
            return
        self._steps[worker.plan.id] = number
        if failure is not None:
            del self._due[worker.plan.id, number]
            self._note(_told(worker.plan.id, number, failure))
            if not _is_timeout(failure):
                self._doomed[step] = failure
            elif worker.task is not None:
                time_out(worker, step)


def _is_timeout(failure: Failure) -> bool:
    return failure is StepTimeoutError or isinstance(failure, StepTimeoutError)


def _made(failure: Failure) -> Exception:
    return failure() if isinstance(failure, type) else failure


def _told(routine: str, number: int, failure: Failure) -> str:
    if _is_timeout(failure):
        return f"step {number} of {routine} took longer than its time"
    name = failure.__name__ if isinstance(failure, type) else repr(failure)
    return f"step {number} of {routine} failed with {name}"


class _SlowStream(Generator[Any, Any, Any]):
    """A generator whose next segment takes longer than its time."""

    def __init__(self, stream: Generator[Any, Any, Any], worker: Worker) -> None:
        self._stream = stream
        self._worker = worker

    def send(self, value: Any) -> Any:
        try:
            return self._stream.send(value)
        finally:
            if self._worker.step is not None and self._worker.step.is_open:
                time_out(self._worker, self._worker.step)

    def throw(self, *error: Any) -> Any:
        return self._stream.throw(*error)


def _run_slowly(worker: Worker, lane: int, turn: Callable[[], object]) -> None:
    """Let the time of a step be over at the end of its handler, while its thread still is in it."""

    def slowed(call: Callable[..., Any]) -> Callable[..., Any]:
        def call_and_time_out(*args: Any) -> Any:
            result = call(*args)
            if worker.step is not None and worker.step.is_open:
                time_out(worker, worker.step)
            return result

        return call_and_time_out

    worker.settle_in()
    if not worker.has_instance:
        # Its constructor has raised, so its job fails for another reason.
        turn()
        return
    instance, work = worker.instance, worker.work
    logic, begun = instance.logic, None if work is None else work.call
    calls = worker.calls
    kept = worker.call_of(lane) if lane >= 0 else None
    stream = worker.stream
    if stream is not None and not isinstance(stream, AsyncGenerator):
        worker.stream = _SlowStream(stream, worker)
    elif work is not None:
        work.call = slowed(work.call)
    elif logic is not None:
        instance.logic = slowed(logic)
    elif kept is not None:
        calls[lane] = slowed(kept)
    try:
        turn()
    finally:
        instance.logic = logic
        if work is not None and begun is not None:
            work.call = begun
        elif logic is None and kept is not None:
            calls[lane] = kept
            if worker.work is not None:
                worker.work.call = kept
