"""RETRY: again after a delay, in order, with counts that belong to the message."""

from collections.abc import Callable, Iterator

import pytest

from actors.testing.stepped_dispatcher import SteppedDispatcher
from flowforge.error_handler import ErrorHandler, ErrorStrategy
from flowforge.flow import Flow
from flowforge.job_state import JobState
from flowforge.records import RetryScheduled
from flowforge.routine import Routine
from flowforge.runtime import Runtime
from tests.engine.jobs import numbers
from tests.handlers import send

Chain = Callable[..., Flow]
Run = Callable[..., JobState]

RETRY = ErrorStrategy.RETRY


class Flaky:
    """A handler that fails some times before it succeeds, and remembers when it was called."""

    def __init__(self, failures: int, error: type[BaseException] = LookupError) -> None:
        self.failures = failures
        self.error = error
        self.times: list[float] = []

    def __call__(self, routine: Routine, n: int = 0) -> None:
        self.times.append(routine.now() - 1_700_000_000)
        if len(self.times) <= self.failures:
            raise self.error(n)
        routine.emit("out", n=n)


def test_a_retried_message_is_tried_again_until_it_succeeds(run: Run, chain: Chain) -> None:
    job = run(chain(_handler(Flaky(2)), error_handler=ErrorHandler(RETRY, retry_delay=0.0)))

    assert job.status == "completed"
    assert [(e.outcome, e.attempt) for e in job.execution_history if e.slot] == [
        ("failed", 1),
        ("failed", 2),
        ("completed", 3),
    ]


def _handler(flaky: Flaky) -> Callable[..., None]:
    def handle(self: Routine, n: int = 0) -> None:
        flaky(self, n)

    return handle


def delays(runtime: Runtime, flow: Flow, flaky: Flaky) -> list[float]:
    runtime.exec(flow).wait()
    return [round(after - before, 6) for before, after in zip(flaky.times, flaky.times[1:], strict=False)]


def test_delays_grow_by_the_backoff(stepped: Runtime, chain: Chain) -> None:
    flaky = Flaky(3)
    flow = chain(_handler(flaky), error_handler=ErrorHandler(RETRY, retry_delay=1.0, retry_backoff=2.0))

    assert delays(stepped, flow, flaky) == [1.0, 2.0, 4.0]


def test_no_delay_exceeds_the_largest(stepped: Runtime, chain: Chain) -> None:
    flaky = Flaky(5)
    handler = ErrorHandler(RETRY, retry_delay=1.0, retry_backoff=3.0, max_delay=5.0, max_retries=5)

    assert delays(stepped, chain(_handler(flaky), error_handler=handler), flaky) == [1.0, 3.0, 5.0, 5.0, 5.0]


def test_jitter_adds_at_most_its_share(stepped: Runtime, chain: Chain) -> None:
    flaky = Flaky(3)
    handler = ErrorHandler(RETRY, retry_delay=1.0, retry_backoff=1.0, jitter=0.5)

    assert all(1.0 <= delay <= 1.5 for delay in delays(stepped, chain(_handler(flaky), error_handler=handler), flaky))


def test_exhausted_retries_stop_the_job(run: Run, chain: Chain) -> None:
    job = run(chain(_handler(Flaky(99)), error_handler=ErrorHandler(RETRY, max_retries=2, retry_delay=0.0)))

    assert (job.status, job.routine_status("a")["errors"]) == ("failed", 3)


def test_no_retries_means_one_attempt(run: Run, chain: Chain) -> None:
    job = run(chain(_handler(Flaky(99)), error_handler=ErrorHandler(RETRY, max_retries=0)))

    assert (job.status, job.routine_status("a")["errors"]) == ("failed", 1)


@pytest.mark.parametrize(("on_exhausted", "status"), [("skip", "skipped"), ("continue", "error_continued")])
def test_on_exhausted_gives_up_the_message_instead(run: Run, chain: Chain, on_exhausted: str, status: str) -> None:
    handler = ErrorHandler(RETRY, max_retries=1, retry_delay=0.0, on_exhausted=on_exhausted)

    job = run(chain(_handler(Flaky(99)), error_handler=handler))

    (letter,) = job.dead_letters
    assert (job.status, job.routine_status("a")["status"]) == ("completed", status)
    assert (letter.strategy, letter.attempts) == (on_exhausted, 2)


def test_an_exception_that_is_not_retryable_stops_at_once(run: Run, chain: Chain) -> None:
    handler = ErrorHandler(RETRY, retryable_exceptions=(OSError,), on_exhausted="skip")

    job = run(chain(_handler(Flaky(99)), error_handler=handler))

    assert (job.status, job.routine_status("a")["errors"]) == ("failed", 1)


def test_subclasses_of_a_retryable_exception_are_retried(run: Run, chain: Chain) -> None:
    handler = ErrorHandler(RETRY, retryable_exceptions=(LookupError,), retry_delay=0.0)

    assert run(chain(_handler(Flaky(1, KeyError)), error_handler=handler)).status == "completed"


def test_by_default_base_exceptions_are_not_retried(run: Run, chain: Chain) -> None:
    job = run(chain(_handler(Flaky(1, SystemExit)), error_handler=ErrorHandler(RETRY)))

    assert (job.status, job.routine_status("a")["errors"]) == ("failed", 1)


def test_order_holds_through_a_retrys_delay(stepped: Runtime, chain: Chain) -> None:
    flow = chain(send, _handler(Flaky(2)))
    flow.routines["b"].set_as_critical()

    job = stepped.exec(flow)
    job.wait()

    assert numbers(job, "b.out") == [0, 1, 2]


def test_the_rest_of_the_job_goes_on_during_the_delay(
    stepped: Runtime, dispatcher: SteppedDispatcher, graph: Callable[..., Flow]
) -> None:
    flow = graph({"a": _handler(Flaky(1)), "b": lambda self, n=7: self.emit("out", n=n)})
    flow.routines["a"].set_as_critical(retry_delay=100.0)
    job = stepped.exec(flow)

    while dispatcher.step():
        pass

    assert dispatcher.clock.monotonic() == 0.0
    assert (job.status, numbers(job, "b.out"), numbers(job, "a.out")) == ("running", [7], [])


def test_counts_start_anew_for_the_next_message(run: Run, chain: Chain) -> None:
    failed: list[int] = []

    def twice(self: Routine, n: int) -> None:
        if failed.count(n) < 2:
            failed.append(n)
            raise LookupError
        self.emit("out", n=n)

    flow = chain(send, twice)
    flow.routines["b"].set_as_critical(max_retries=2, retry_delay=0.0)

    assert numbers(run(flow), "b.out") == [0, 1, 2]


def test_counts_survive_a_pause(stepped: Runtime, dispatcher: SteppedDispatcher, chain: Chain) -> None:
    flow = chain(_handler(Flaky(99)))
    flow.routines["a"].set_as_critical(max_retries=3, retry_delay=10.0, retry_backoff=1.0)
    job = stepped.exec(flow)
    while dispatcher.step():
        pass

    stepped.pause_job(job)
    stepped.resume_job(job).wait()

    assert [e.attempt for e in job.execution_history if e.outcome == "failed"] == [1, 2, 3, 4]


def delayed(stepped: Runtime, dispatcher: SteppedDispatcher, chain: Chain) -> tuple[JobState, Flaky]:
    """A job whose only message has failed, and is tried again in ten seconds."""
    flaky = Flaky(1)
    flow = chain(_handler(flaky))
    flow.routines["a"].set_as_critical(retry_delay=10.0)
    job = stepped.exec(flow)
    while dispatcher.step():
        pass
    return job, flaky


def test_a_resume_waits_for_the_rest_of_a_retrys_delay(
    stepped: Runtime, dispatcher: SteppedDispatcher, chain: Chain
) -> None:
    job, flaky = delayed(stepped, dispatcher, chain)

    dispatcher.clock.advance(4)
    stepped.pause_job(job)
    stepped.resume_job(job).wait()

    assert flaky.times == [0.0, 10.0]


def test_a_retry_that_became_due_during_a_pause_runs_at_once(
    stepped: Runtime, dispatcher: SteppedDispatcher, chain: Chain
) -> None:
    job, flaky = delayed(stepped, dispatcher, chain)

    stepped.pause_job(job)
    dispatcher.clock.advance(40)
    stepped.resume_job(job).wait()

    assert flaky.times == [0.0, 40.0]


def test_a_failed_job_resumes_with_its_attempts_reset(runtime: Runtime, chain: Chain) -> None:
    flow = chain(_handler(Flaky(99)))
    flow.routines["a"].set_as_critical(max_retries=1, retry_delay=0.0)
    job = runtime.exec(flow)
    job.wait()
    runtime.resume_job(job).wait()

    assert [e.attempt for e in job.execution_history if e.outcome == "failed"] == [1, 2, 1, 2]


def test_a_cancel_during_the_delay_ends_the_job(stepped: Runtime, dispatcher: SteppedDispatcher, chain: Chain) -> None:
    job, flaky = delayed(stepped, dispatcher, chain)

    job.cancel()
    dispatcher.run_until_idle()

    assert (job.status, flaky.times) == ("cancelled", [0.0])


def test_each_retry_is_a_record_with_delay_and_due_time(stepped: Runtime, chain: Chain) -> None:
    flow = chain(_handler(Flaky(1)))
    flow.routines["a"].set_as_critical(retry_delay=10.0)
    job = stepped.exec(flow)
    job.wait()

    (record,) = [record for record in job.view.history if isinstance(record, RetryScheduled)]
    assert (record.routine, record.delay, record.due) == ("a", 10.0, 1_700_000_010.0)


def test_a_retried_generator_keeps_what_its_yields_committed(stepped: Runtime, chain: Chain) -> None:
    failed: list[int] = []

    def source(self: Routine) -> Iterator[None]:
        while self.state.setdefault("next", 0) < 4:
            self.emit("out", n=self.state["next"])
            self.state["next"] += 1
            if self.state["next"] == 3 and len(failed) < 2:
                failed.append(1)
                raise LookupError
            yield

    flow = chain(source)
    flow.routines["a"].set_as_critical()
    job = stepped.exec(flow)
    job.wait()

    assert numbers(job, "a.out") == [0, 1, 2, 3]
