"""Where the outputs of jobs go: to a function, a queue or a log, each on the pump that calls it.

Guarantees of OutputPump:

- A handler gets every record that was put, once, in the order of the puts, one at a time, on one thread of
  the pump's own, which starts with the first record.
- A handler that raises is logged with job and routine and counted, and later records still reach it.
- `put` never waits for the handler. `flush` waits for what was put before it.
- `close` hands over what was put before it, within its timeout, and ends the thread; what is put later is
  logged, counted and let go.
- The thread never keeps the interpreter alive. One condition guards all counts; the handler runs without it.
"""

import logging
import queue
import threading
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from actors.threads import DaemonThread
from flowforge.option_checks import check_whole_number
from flowforge.option_errors import OptionError, OutputWaitError

__all__ = [
    "CallbackOutputHandler",
    "InlineOutputPump",
    "LoggingOutputHandler",
    "OutputHandler",
    "OutputPump",
    "OutputRecord",
    "OutputStatistics",
    "QueueOutputHandler",
    "output_handler_from",
]

logger = logging.getLogger("flowforge")


@dataclass(frozen=True, slots=True)
class OutputRecord:
    """One output of a job, committed."""

    job_id: str
    routine_id: str
    output_type: str
    """`routine.event` of an event without a connection, or the type given to `send_output`."""
    data: Mapping[str, Any]
    """Shared with the job's log, and not to be changed."""
    at: float
    """Seconds since the epoch when it was committed."""


@dataclass(frozen=True, slots=True)
class OutputStatistics:
    """How far a pump has come."""

    handled: int
    """Given to the handler, whether or not it raised."""
    waiting: int
    """Put and not handled yet, the one being handled included."""
    errors: int
    """Records at which the handler raised."""
    refused: int
    """Records put after the pump was closed."""


@runtime_checkable
class OutputHandler(Protocol):
    """What a job's outputs are given to."""

    def handle(self, output: OutputRecord) -> None:
        """Take one output, after its commit, on a thread that may block; raising loses this output only."""
        ...


class CallbackOutputHandler:
    """Calls a function as `fn(job_id, routine_id, output_type, data)`."""

    def __init__(self, fn: Callable[[str, str, str, Mapping[str, Any]], object]) -> None:
        if not callable(fn):
            remedy = "Give a function of job_id, routine_id, output_type and data."
            raise OptionError("CallbackOutputHandler", "fn", fn, remedy)
        self.fn = fn

    def handle(self, output: OutputRecord) -> None:
        """Call the function."""
        self.fn(output.job_id, output.routine_id, output.output_type, output.data)


class QueueOutputHandler:
    """Puts each OutputRecord into a queue, waiting for room if it is bounded."""

    def __init__(self, target: "queue.Queue[OutputRecord] | None" = None) -> None:
        if target is not None and not isinstance(target, queue.Queue):
            raise OptionError("QueueOutputHandler", "target", target, "Give a queue.Queue, or None for a new one.")
        self.queue: queue.Queue[OutputRecord] = queue.Queue() if target is None else target

    def handle(self, output: OutputRecord) -> None:
        """Put the record into the queue."""
        self.queue.put(output)


class LoggingOutputHandler:
    """Logs each output, with its job and routine as `job_id` and `routine_id` of the log record."""

    def __init__(self, logger: logging.Logger | None = None, level: int = logging.INFO) -> None:
        if logger is not None and not isinstance(logger, logging.Logger):
            remedy = "Give a logging.Logger, or None for 'flowforge.output'."
            raise OptionError("LoggingOutputHandler", "logger", logger, remedy)
        self.logger = logging.getLogger("flowforge.output") if logger is None else logger
        self.level = check_whole_number("LoggingOutputHandler", "level", level, least=0)

    def handle(self, output: OutputRecord) -> None:
        """Log the record, with the ids of its job and routine as attributes."""
        self.logger.log(
            self.level,
            "Job %r, routine %r, output %r: %r",
            output.job_id,
            output.routine_id,
            output.output_type,
            output.data,
            extra=_ids(output),
        )


def output_handler_from(value: object) -> OutputHandler:
    """The handler that `value` is, or one that calls it; OptionError for anything else."""
    if isinstance(value, type):
        pass
    elif isinstance(value, OutputHandler):
        return value
    elif callable(value):
        return CallbackOutputHandler(value)
    remedy = "Give an object with a method `handle`, such as QueueOutputHandler(), or a function."
    raise OptionError("set_output_handler", "handler", value, remedy)


class OutputPump:
    """Hands records to a handler on a thread of its own; any thread may call it."""

    def __init__(self, handler: OutputHandler, name: str) -> None:
        self._handler = handler
        self._name = name
        self._changed = threading.Condition(threading.Lock())
        self._records: deque[OutputRecord] = deque()
        self._put = self._handled = self._errors = self._refused = 0
        self._thread: threading.Thread | None = None
        self._is_closed = False

    def put(self, record: OutputRecord) -> None:
        """Hand over `record` soon; returns at once."""
        with self._changed:
            if not self._is_closed:
                if self._thread is None:
                    self._thread = self._started_thread()
                self._records.append(record)
                self._put += 1
                self._changed.notify_all()
                return
            self._refused += 1
        _log_refused(record)

    def flush(self, timeout: float | None = None) -> bool:
        """Wait until all that was put before is handled; False if `timeout` seconds were not enough.

        Raises OutputWaitError when called by the handler itself.
        """
        self._check_caller()
        with self._changed:
            target = self._put
            return self._changed.wait_for(lambda: self._handled >= target, timeout)

    def close(self, timeout: float | None = None) -> bool:
        """Take nothing more, and wait until all is handled; False if `timeout` seconds were not enough.

        Closing again waits again. Raises OutputWaitError when called by the handler itself.
        """
        self._check_caller()
        with self._changed:
            self._is_closed = True
            self._changed.notify_all()
            thread = self._thread
        if thread is None:
            return True
        thread.join(timeout)
        return not thread.is_alive()

    def retire(self) -> None:
        """Take nothing more and return at once; the thread ends when all is handled. Any thread may call it."""
        with self._changed:
            self._is_closed = True
            self._changed.notify_all()

    def statistics(self) -> OutputStatistics:
        """How far the pump has come, at this instant."""
        with self._changed:
            waiting = self._put - self._handled
            return OutputStatistics(self._handled, waiting, self._errors, self._refused)

    def _check_caller(self) -> None:
        if threading.current_thread() is self._thread:
            raise OutputWaitError(self._name)

    def _started_thread(self) -> threading.Thread:
        thread = DaemonThread(self._run, self._name)
        thread.start()
        return thread

    def _run(self) -> None:
        while (record := self._next()) is not None:
            # Whatever a handler raises must not end the thread that later outputs need.
            is_error = not _is_handled(self._handler, record, BaseException)
            with self._changed:
                self._handled += 1
                self._errors += is_error
                self._changed.notify_all()

    def _next(self) -> OutputRecord | None:
        with self._changed:
            self._changed.wait_for(lambda: self._records or self._is_closed)
            return self._records.popleft() if self._records else None


class InlineOutputPump:
    """Hands each record to a handler inside `put`, with no thread; for one thread at a time."""

    def __init__(self, handler: OutputHandler, name: str) -> None:
        self._handler = handler
        self._handled = self._errors = self._refused = 0
        self._is_closed = False

    def put(self, record: OutputRecord) -> None:
        """Handle `record`; an error of the handler is logged and counted, not raised."""
        if self._is_closed:
            self._refused += 1
            _log_refused(record)
            return
        self._errors += not _is_handled(self._handler, record, Exception, SystemExit)
        self._handled += 1

    def retire(self) -> None:
        """Take nothing more."""
        self._is_closed = True

    def flush(self, timeout: float | None = None) -> bool:
        """Nothing ever waits, so True."""
        return True

    def close(self, timeout: float | None = None) -> bool:
        """Take nothing more; nothing waits, so True."""
        self._is_closed = True
        return True

    def statistics(self) -> OutputStatistics:
        """How many records came and went."""
        return OutputStatistics(self._handled, 0, self._errors, self._refused)


def _is_handled(handler: OutputHandler, record: OutputRecord, *errors: type[BaseException]) -> bool:
    try:
        handler.handle(record)
    except errors:
        logger.exception("An output handler raised; the output was %r.", record, extra=_ids(record))
        return False
    return True


def _log_refused(record: OutputRecord) -> None:
    logger.warning("An output came after its pump was closed: %r.", record, extra=_ids(record))


def _ids(record: OutputRecord) -> dict[str, str]:
    return {"job_id": record.job_id, "routine_id": record.routine_id}
