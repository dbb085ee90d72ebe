"""Who answers an error, and what the answer does to the message and to the job."""

import logging
from collections.abc import Callable
from typing import Any

import pytest

from flowforge.error_handler import ErrorHandler, ErrorStrategy
from flowforge.flow import Flow
from flowforge.job_state import JobState
from flowforge.routine import Routine
from flowforge.runtime import Runtime
from tests.engine.jobs import numbers
from tests.handlers import pass_on

Chain = Callable[..., Flow]
Graph = Callable[..., Flow]
Run = Callable[..., JobState]

SKIP = ErrorHandler(ErrorStrategy.SKIP)
CONTINUE = ErrorHandler(ErrorStrategy.CONTINUE)


def send(self: Routine, n: int = 4) -> None:
    for number in range(n):
        self.emit("out", n=number)


def refuse_two(self: Routine, n: int) -> None:
    if n == 2:
        raise ValueError("two")
    self.emit("out", n=n)


def refuse(self: Routine, **payload: Any) -> None:
    raise ValueError("refused")


def test_without_any_handler_an_error_stops_the_job(run: Run, chain: Chain) -> None:
    job = run(chain(send, refuse_two))

    assert (job.status, job.failed_routine) == ("failed", "b")
    assert job.error is not None
    assert (job.error.type, job.error.text) == ("ValueError", "two")
    assert "refuse_two" in job.error.traceback


def test_the_routines_handler_goes_before_the_flows(run: Run, chain: Chain) -> None:
    flow = chain(send, refuse_two, error_handler=ErrorHandler(ErrorStrategy.STOP))
    flow.routines["b"].set_error_handler(SKIP)

    assert run(flow).status == "completed"


def test_the_flows_handler_answers_for_routines_without_one(run: Run, chain: Chain) -> None:
    job = run(chain(send, refuse_two, error_handler=SKIP))

    assert job.status == "completed"
    assert [letter.strategy for letter in job.dead_letters] == ["skip"]


@pytest.mark.parametrize("position", [0, 1, 2], ids=["at the entry", "one hop down", "two hops down"])
@pytest.mark.parametrize("strategy", ["skip", "continue"])
def test_the_strategy_is_the_same_however_far_down(run: Run, chain: Chain, position: int, strategy: str) -> None:
    handlers: list[Any] = [lambda self, n=0: self.emit("out", n=n)] * 3
    handlers[position] = refuse
    job = run(chain(*handlers, error_handler=ErrorHandler(strategy)))

    (letter,) = job.dead_letters
    assert (job.status, letter.routine, letter.strategy) == ("completed", "abc"[position], strategy)


@pytest.mark.parametrize("position", [0, 1, 2], ids=["at the entry", "one hop down", "two hops down"])
def test_stop_fails_the_job_however_far_down(run: Run, chain: Chain, position: int) -> None:
    handlers: list[Any] = [lambda self, n=0: self.emit("out", n=n)] * 3
    handlers[position] = refuse

    job = run(chain(*handlers))

    assert (job.status, job.failed_routine) == ("failed", "abc"[position])


def test_skip_makes_a_dead_letter_and_the_rest_goes_on(run: Run, chain: Chain) -> None:
    flow = chain(send, refuse_two)
    flow.routines["b"].set_error_handler(SKIP)

    job = run(flow)

    assert numbers(job, "b.out") == [0, 1, 3]
    assert [letter.payload for letter in job.dead_letters] == [{"n": 2}]


def test_skip_leaves_the_status_skipped(run: Run, chain: Chain) -> None:
    job = run(chain(refuse, error_handler=SKIP))

    assert job.routine_status("a")["status"] == "skipped"


def test_continue_leaves_the_status_error_continued_and_the_error(run: Run, chain: Chain) -> None:
    job = run(chain(refuse, error_handler=CONTINUE))

    facts = job.routine_status("a")
    assert (facts["status"], facts["errors"], facts["dead_letters"]) == ("error_continued", 1, 1)
    assert facts["last_error"].text == "refused"
    assert job.status == "completed"


def test_after_a_stop_the_failed_message_stays_first(run: Run, chain: Chain) -> None:
    job = run(chain(send, refuse_two))

    assert [message.payload["n"] for message in job.data.pending["b", "input"]] == [2, 3]


def test_resume_after_a_stop_tries_the_message_again(runtime: Runtime, chain: Chain) -> None:
    failures: list[int] = []

    def once(self: Routine, n: int) -> None:
        if n == 2 and not failures:
            failures.append(n)
            raise ValueError
        self.emit("out", n=n)

    job = runtime.exec(chain(send, once))
    job.wait()
    runtime.resume_job(job).wait()

    assert job.status == "completed"
    assert numbers(job, "b.out") == [0, 1, 2, 3]


def test_a_resumed_job_that_fails_again_stops_again(runtime: Runtime, chain: Chain) -> None:
    job = runtime.exec(chain(send, refuse_two))
    job.wait()
    runtime.resume_job(job).wait()

    assert job.status == "failed"
    assert [e.attempt for e in job.execution_history if e.outcome == "failed"] == [1, 1]
    assert numbers(job, "b.out") == [0, 1]


def test_flow_resume_waits_for_the_job_to_rest(chain: Chain) -> None:
    failures: list[int] = []

    def once(self: Routine) -> None:
        failures.append(1)
        if len(failures) == 1:
            raise ValueError

    flow = chain(once)
    job = flow.execute()

    assert job.status == "failed"
    assert flow.resume(job) is job
    assert job.status == "completed"


def test_after_a_stop_other_work_ends_after_its_current_step(
    stepped: Runtime, graph: Graph, turn: Callable[..., None]
) -> None:
    flow = graph({"a": refuse, "b": lambda self: self.emit("out", n=1), "c": pass_on}, "b.out -> c.input")
    job = stepped.exec(flow)

    turn("b", "a", "a", "supervisor", "a", "b")
    job.wait()

    assert job.status == "failed"
    assert [message.payload for message in job.data.pending["c", "input"]] == [{"n": 1}]
    assert job.outputs == {}


def test_everything_else_goes_on_while_the_supervisor_decides(
    stepped: Runtime, graph: Graph, turn: Callable[..., None]
) -> None:
    flow = graph({"a": refuse, "b": lambda self: self.emit("out", n=1)}, error_handler=SKIP)
    job = stepped.exec(flow)

    turn("a", "a", "b", "b")

    assert numbers(job, "b.out") == [1]
    assert job.dead_letters == []


def test_a_failed_actor_takes_nothing_until_it_is_answered(
    stepped: Runtime, chain: Chain, turn: Callable[..., None], ready: Callable[[], list[str]]
) -> None:
    job = stepped.exec(chain(send, refuse, error_handler=SKIP))
    turn("a", "a", "b", "b")

    while "b" in ready():
        turn("b")
    seen = job.routine_status("b")["errors"]

    assert seen == 1


@pytest.mark.parametrize("error", [SystemExit(3), KeyboardInterrupt(), GeneratorExit(), MemoryError("small")])
def test_whatever_a_handler_raises_hits_one_step_only(run: Run, chain: Chain, error: BaseException) -> None:
    def raise_two(self: Routine, n: int) -> None:
        if n == 2:
            raise error
        self.emit("out", n=n)

    flow = chain(send, raise_two, pass_on)
    flow.routines["b"].set_error_handler(SKIP)
    job = run(flow)

    assert (job.status, numbers(job, "c.out")) == ("completed", [0, 1, 3])
    (letter,) = job.dead_letters
    assert letter.error is not None
    assert letter.error.type == type(error).__name__


@pytest.mark.parametrize("error", [SystemExit(3), KeyboardInterrupt(), GeneratorExit(), MemoryError("small")])
def test_a_base_exception_with_stop_fails_the_job_alone(runtime: Runtime, chain: Chain, error: BaseException) -> None:
    def raise_it(self: Routine) -> None:
        raise error

    failing, other = runtime.exec(chain(raise_it)), runtime.exec(chain(send, pass_on))

    assert failing.wait(30)
    assert other.wait(30)
    assert (failing.status, other.status) == ("failed", "completed")


@pytest.mark.parametrize("error", [SystemExit(3), KeyboardInterrupt(), GeneratorExit()])
def test_an_async_handler_may_raise_base_exceptions_too(run: Run, chain: Chain, error: BaseException) -> None:
    async def raise_it(self: Routine) -> None:
        raise error

    job = run(chain(raise_it, error_handler=SKIP))

    (letter,) = job.dead_letters
    assert letter.error is not None
    assert (job.status, letter.error.type) == ("completed", type(error).__name__)


def test_an_exception_that_cannot_be_shown_is_recorded(run: Run, chain: Chain) -> None:
    class SilentError(Exception):
        def __str__(self) -> str:
            raise ValueError

    def fail(self: Routine) -> None:
        raise SilentError

    job = run(chain(fail))

    assert job.error is not None
    assert job.error.text == "<SilentError that cannot be shown: ValueError>"


def test_a_very_deep_recursion_fails_one_step(run: Run, chain: Chain) -> None:
    def deep(self: Routine) -> None:
        deep(self)

    job = run(chain(deep, error_handler=SKIP))

    (letter,) = job.dead_letters
    assert letter.error is not None
    assert (job.status, letter.error.type) == ("completed", "RecursionError")


def test_an_optional_routine_never_fails_its_job(run: Run, chain: Chain) -> None:
    flow = chain(refuse)
    flow.routines["a"].set_as_optional()

    assert run(flow).status == "completed"


def test_a_critical_routine_is_retried_then_fails_its_job(run: Run, chain: Chain) -> None:
    flow = chain(refuse)
    flow.routines["a"].set_as_critical(max_retries=2, retry_delay=0.0)

    job = run(flow)

    assert (job.status, job.routine_status("a")["errors"]) == ("failed", 3)


def test_the_decision_is_logged_with_job_and_routine_ids(
    run: Run, chain: Chain, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, logger="flowforge"):
        job = run(chain(refuse, error_handler=SKIP))

    (record,) = [record for record in caplog.records if "failed (refused); skip." in record.getMessage()]
    assert (record.__dict__["job_id"], record.__dict__["routine_id"]) == (job.job_id, "a")


def test_two_routines_that_fail_at_once_are_both_answered(run: Run, graph: Graph) -> None:
    job = run(graph(dict.fromkeys("abc", refuse), error_handler=SKIP))

    assert job.status == "completed"
    assert sorted(letter.routine for letter in job.dead_letters) == ["a", "b", "c"]


def test_two_routines_that_stop_at_once_fail_the_job_once(run: Run, graph: Graph) -> None:
    job = run(graph(dict.fromkeys("abc", refuse)))

    ends = [record for record in job.view.history if getattr(record, "status", None) == "failed"]
    assert len(ends) == 1
    assert job.status == "failed"
