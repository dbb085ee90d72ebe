import logging
import queue
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from flowforge.option_errors import OptionError, OutputWaitError
from flowforge.output_handler import (
    CallbackOutputHandler,
    InlineOutputPump,
    LoggingOutputHandler,
    OutputHandler,
    OutputPump,
    OutputRecord,
    OutputStatistics,
    QueueOutputHandler,
    output_handler_from,
)

# Long enough for any machine; nothing here waits that long unless it fails.
PATIENCE = 30.0


def output(number: int = 1) -> OutputRecord:
    return OutputRecord("job-1", "scan", "scan.found", {"n": number}, 100.0)


class Collecting:
    """Keeps what it got, and on which thread."""

    def __init__(self) -> None:
        self.got: list[OutputRecord] = []
        self.threads: list[threading.Thread] = []

    def handle(self, record: OutputRecord) -> None:
        self.got.append(record)
        self.threads.append(threading.current_thread())


class Gated:
    """Handles nothing until its gate is opened."""

    def __init__(self) -> None:
        self.gate = threading.Event()
        self.entered = threading.Event()
        self.got: list[OutputRecord] = []

    def handle(self, record: OutputRecord) -> None:
        self.entered.set()
        assert self.gate.wait(PATIENCE)
        self.got.append(record)


class Raising:
    """Raises at odd numbers, keeps even ones."""

    def __init__(self, error: BaseException) -> None:
        self.error = error
        self.got: list[int] = []

    def handle(self, record: OutputRecord) -> None:
        if record.data["n"] % 2:
            raise self.error
        self.got.append(record.data["n"])


@pytest.fixture(params=[OutputPump, InlineOutputPump])
def pump_class(request: pytest.FixtureRequest) -> type[OutputPump | InlineOutputPump]:
    kind: type[OutputPump | InlineOutputPump] = request.param
    return kind


@pytest.fixture
def gated() -> Iterator[tuple[Gated, OutputPump]]:
    handler = Gated()
    pump = OutputPump(handler, "gated outputs")
    yield handler, pump
    handler.gate.set()
    assert pump.close(PATIENCE)


# The guarantees, for a pump with a thread and for one without


def test_a_handler_gets_every_record_once_in_the_order_of_the_puts(
    pump_class: type[OutputPump | InlineOutputPump],
) -> None:
    handler = Collecting()
    pump = pump_class(handler, "outputs")

    for number in range(500):
        pump.put(output(number))

    assert pump.close(PATIENCE)
    assert handler.got == [output(number) for number in range(500)]


@pytest.mark.parametrize("error", [ValueError("no"), SystemExit(2)])
def test_a_handler_that_raises_is_logged_and_counted_and_goes_on(
    pump_class: type[OutputPump | InlineOutputPump], error: BaseException, caplog: pytest.LogCaptureFixture
) -> None:
    handler = Raising(error)
    pump = pump_class(handler, "outputs")

    for number in (1, 2, 3, 4):
        pump.put(output(number))

    assert pump.flush(PATIENCE)
    assert pump.close(PATIENCE)
    assert handler.got == [2, 4]
    assert pump.statistics() == OutputStatistics(handled=4, waiting=0, errors=2, refused=0)
    facts = [(entry.job_id, entry.routine_id) for entry in caplog.records]  # type: ignore[attr-defined]  # Given as `extra`.
    assert facts == [("job-1", "scan")] * 2
    assert caplog.messages[0].startswith("An output handler raised; the output was OutputRecord(job_id='job-1'")


def test_what_is_put_after_close_is_logged_counted_and_let_go(
    pump_class: type[OutputPump | InlineOutputPump], caplog: pytest.LogCaptureFixture
) -> None:
    handler = Collecting()
    pump = pump_class(handler, "outputs")

    assert pump.close(PATIENCE)
    pump.put(output())

    assert handler.got == []
    assert pump.statistics().refused == 1
    assert caplog.messages[0].startswith("An output came after its pump was closed: OutputRecord(")


def test_closing_again_is_harmless(pump_class: type[OutputPump | InlineOutputPump]) -> None:
    pump = pump_class(Collecting(), "outputs")
    pump.put(output())

    assert pump.close(PATIENCE)
    assert pump.close(PATIENCE)
    assert pump.flush(PATIENCE)


# The guarantees that need a thread


def test_one_thread_of_its_own_starts_with_the_first_record() -> None:
    handler = Collecting()
    pump = OutputPump(handler, "outputs of job-1")
    before = threading.active_count()

    pump.put(output(1))
    pump.put(output(2))

    assert before == threading.active_count() - 1
    assert pump.flush(PATIENCE)
    [thread] = set(handler.threads)
    assert (thread.name, thread is threading.current_thread()) == ("outputs of job-1", False)
    assert pump.close(PATIENCE)


def test_a_pump_without_records_needs_no_thread() -> None:
    pump = OutputPump(Collecting(), "outputs")
    before = threading.active_count()

    assert pump.flush(PATIENCE)
    assert pump.close(PATIENCE)
    assert threading.active_count() == before


def test_the_thread_survives_whatever_a_handler_raises() -> None:
    handler = Raising(KeyboardInterrupt())
    pump = OutputPump(handler, "outputs")

    pump.put(output(1))
    pump.put(output(2))

    assert pump.close(PATIENCE)
    assert handler.got == [2]


def test_put_never_waits_for_the_handler(gated: tuple[Gated, OutputPump]) -> None:
    handler, pump = gated

    for number in range(100):
        pump.put(output(number))

    assert handler.entered.wait(PATIENCE)
    assert handler.got == []
    assert pump.statistics() == OutputStatistics(handled=0, waiting=100, errors=0, refused=0)


def test_flush_waits_for_what_was_put_before_it(gated: tuple[Gated, OutputPump]) -> None:
    handler, pump = gated
    pump.put(output())

    assert not pump.flush(0.0)
    handler.gate.set()
    assert pump.flush(PATIENCE)
    assert handler.got == [output()]


def test_close_hands_over_what_was_put_within_its_timeout(gated: tuple[Gated, OutputPump]) -> None:
    handler, pump = gated
    pump.put(output(1))
    pump.put(output(2))

    assert not pump.close(0.0)
    handler.gate.set()
    assert pump.close(PATIENCE)
    assert handler.got == [output(1), output(2)]


def test_close_ends_the_thread() -> None:
    handler = Collecting()
    pump = OutputPump(handler, "outputs")
    pump.put(output())

    assert pump.close(PATIENCE)
    assert not handler.threads[0].is_alive()


def test_the_thread_never_keeps_the_interpreter_alive() -> None:
    handler = Collecting()
    pump = OutputPump(handler, "outputs")
    pump.put(output())

    assert pump.close(PATIENCE)
    assert handler.threads[0].daemon


@pytest.mark.parametrize("wait", ["flush", "close"])
def test_a_handler_that_waits_for_its_own_thread_is_told(wait: str) -> None:
    told: list[BaseException] = []

    def wait_for_itself(*_output: object) -> None:
        with pytest.raises(
            OutputWaitError, match=r"^An output handler of 'outputs' waits for its own thread"
        ) as caught:
            getattr(pump, wait)()
        told.append(caught.value)

    pump = OutputPump(CallbackOutputHandler(wait_for_itself), "outputs")
    pump.put(output())

    assert pump.close(PATIENCE)
    assert str(told[0]) == (
        "An output handler of 'outputs' waits for its own thread to finish. Flush or close outputs from another thread."
    )


def test_an_inline_pump_handles_in_put_on_the_same_thread() -> None:
    handler = Collecting()
    pump = InlineOutputPump(handler, "outputs")

    pump.put(output())

    assert handler.threads == [threading.current_thread()]


def test_an_inline_pump_lets_an_interrupt_through() -> None:
    pump = InlineOutputPump(Raising(KeyboardInterrupt()), "outputs")

    with pytest.raises(KeyboardInterrupt):
        pump.put(output(1))


# The handlers


def test_a_callback_gets_the_parts_of_an_output() -> None:
    got: list[tuple[object, ...]] = []

    CallbackOutputHandler(lambda *parts: got.append(parts)).handle(output())

    assert got == [("job-1", "scan", "scan.found", {"n": 1})]


def test_a_queue_gets_whole_records() -> None:
    target: queue.Queue[OutputRecord] = queue.Queue()

    QueueOutputHandler(target).handle(output())

    assert target.get_nowait() == output()


def test_a_queue_is_made_if_none_is_given() -> None:
    handler = QueueOutputHandler()

    handler.handle(output())

    assert handler.queue.get_nowait() == output()


def test_a_log_line_carries_job_and_routine(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)

    LoggingOutputHandler().handle(output())

    [entry] = caplog.records
    assert (entry.name, entry.levelno) == ("flowforge.output", logging.INFO)
    assert entry.getMessage() == "Job 'job-1', routine 'scan', output 'scan.found': {'n': 1}"
    assert vars(entry)["job_id"] == "job-1"
    assert vars(entry)["routine_id"] == "scan"


def test_a_log_and_its_level_can_be_chosen(caplog: pytest.LogCaptureFixture) -> None:
    LoggingOutputHandler(logging.getLogger("mine"), level=logging.ERROR).handle(output())

    assert [(entry.name, entry.levelno) for entry in caplog.records] == [("mine", logging.ERROR)]


def test_an_object_that_handles_is_a_handler() -> None:
    handler: OutputHandler = Collecting()

    assert output_handler_from(handler) is handler


def test_a_function_becomes_a_callback() -> None:
    handler = output_handler_from(print)

    assert isinstance(handler, CallbackOutputHandler)
    assert handler.fn is print


@pytest.mark.parametrize("value", [None, 3, "print", Collecting])
def test_what_is_no_handler_is_refused(value: object) -> None:
    with pytest.raises(OptionError, match=r"^set_output_handler cannot take handler=.* method `handle`, such as"):
        output_handler_from(value)


def test_a_callback_is_a_function() -> None:
    not_callable: Any = 3

    with pytest.raises(OptionError, match=r"^CallbackOutputHandler cannot take fn=3\. Give a function of job_id,"):
        CallbackOutputHandler(not_callable)


def test_a_queue_handler_wants_a_queue() -> None:
    a_list: Any = []

    with pytest.raises(OptionError, match=r"^QueueOutputHandler cannot take target=\[\]\. Give a queue\.Queue, or"):
        QueueOutputHandler(a_list)


def test_a_logging_handler_wants_a_logger() -> None:
    name: Any = "mine"

    with pytest.raises(OptionError, match=r"cannot take logger='mine'\. Give a logging\.Logger, or None for 'fl"):
        LoggingOutputHandler(name)


@pytest.mark.parametrize("level", ["INFO", -1, True])
def test_a_logging_level_is_a_number(level: Any) -> None:
    with pytest.raises(OptionError, match=r"^LoggingOutputHandler cannot take level=.* whole number, 0 or more\."):
        LoggingOutputHandler(level=level)
