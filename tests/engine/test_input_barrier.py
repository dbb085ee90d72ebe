"""A step starts when the message that it consumes is on disk, whichever way that came, and the log has room."""

from collections.abc import Callable

import pytest

from flowforge.error_handler import ErrorHandler, ErrorStrategy
from flowforge.flow import Flow
from flowforge.routine import Routine
from tests.engine.jobs import found
from tests.engine.machine import Machine

Chain = Callable[..., Flow]


class Process:
    """A machine with one job, whose routine `a` feeds `b` as it is told, and `b` tells when it is called."""

    def __init__(self, chain: Chain, window: int = 1024) -> None:
        self.machine = Machine(window)
        self.calls: list[int] = []
        self.is_failing = False
        self.flow = chain(self.feed, self.note, error_handler=ErrorHandler(ErrorStrategy.SKIP))

    def feed(self, routine: Routine, way: str) -> None:
        match way:
            case "emit":
                routine.emit("out", n=1)
            case "later":
                routine.emit_after(10.0, "out", n=1)
            case "post":
                routine.job_state.runtime.post(routine.job_state, "b", "input", {"n": 1})

    def note(self, routine: Routine, n: int) -> None:
        self.calls.append(n)
        if self.is_failing:
            raise ValueError(n)

    def start(self, way: str = "", n: int = 0) -> None:
        """Begin the job with a message to `a` or, if a number is given, to `b`; nothing is on disk yet."""
        entry, params = ("b", {"n": n}) if n else ("a", {"way": way})
        self.machine.boot(self.flow).exec(self.flow, entry, params, job_id="job", keep_alive=True)

    def settle(self) -> None:
        """Go on until nothing is left to do, but for timers."""
        self.machine.run(lets_time_pass=False)

    def calls_before_and_after_a_flush(self) -> tuple[int, int]:
        self.calls.clear()
        self.machine.dispatcher.run_until_idle()
        before = len(self.calls)
        self.settle()
        return before, len(self.calls)


@pytest.fixture
def process(chain: Chain) -> Process:
    return Process(chain)


def test_an_entry_waits_for_the_disk(process: Process) -> None:
    process.start(n=1)

    assert process.calls_before_and_after_a_flush() == (0, 1)


def test_a_post_waits_for_the_disk(process: Process) -> None:
    process.start()
    process.settle()
    process.machine.runtime.post("job", "b", "input", {"n": 1})

    assert process.calls_before_and_after_a_flush() == (0, 1)


@pytest.mark.parametrize("way", ["emit", "post"])
def test_what_a_step_sends_waits_for_the_disk(process: Process, way: str) -> None:
    process.start(way)
    process.machine.store.flush()

    assert process.calls_before_and_after_a_flush() == (0, 1)


def test_what_a_timer_sends_waits_for_the_disk(process: Process) -> None:
    process.start("later")
    process.settle()
    process.machine.dispatcher.advance_to_next()

    assert process.calls_before_and_after_a_flush() == (0, 1)


def test_a_letter_that_was_requeued_waits_for_the_disk(process: Process) -> None:
    process.is_failing = True
    process.start(n=1)
    process.settle()
    job = found(process.machine.runtime)
    job.requeue_dead_letter(job.dead_letters[0].id)

    assert process.calls_before_and_after_a_flush() == (0, 1)


def test_what_waited_at_a_restart_waits_for_the_record_of_the_start(process: Process) -> None:
    process.start(n=1)
    process.machine.store.flush()
    process.machine.boot(process.flow)

    assert process.calls_before_and_after_a_flush() == (0, 1)


def test_a_pure_routine_does_not_wait_for_the_disk(process: Process) -> None:
    process.flow.routines["b"].set_pure()
    process.start("emit")
    process.machine.store.flush()

    assert process.calls_before_and_after_a_flush() == (1, 1)


def test_no_step_starts_while_as_much_waits_for_the_disk_as_may(chain: Chain) -> None:
    process = Process(chain, window=3)
    process.flow.routines["b"].set_pure()
    process.start()
    process.settle()
    for n in range(3):
        process.machine.runtime.post("job", "b", "input", {"n": n})

    assert process.calls_before_and_after_a_flush() == (0, 3)
