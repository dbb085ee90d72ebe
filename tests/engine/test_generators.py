"""A source that produces for long is a generator: each yield is a commit point."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from actors.testing.stepped_dispatcher import SteppedDispatcher
from flowforge.flow import Flow
from flowforge.job_errors import NoCursorError
from flowforge.job_state import JobState
from flowforge.routine import Routine
from flowforge.runtime import Runtime
from tests.engine.jobs import numbers
from tests.handlers import pass_on

Chain = Callable[..., Flow]
Run = Callable[..., JobState]
Turn = Callable[..., None]


def source(self: Routine, n: int = 5) -> Iterator[None]:
    while self.state.setdefault("next", 0) < n:
        self.emit("out", n=self.state["next"])
        self.state["next"] += 1
        yield


def careless(self: Routine, n: int = 5) -> Iterator[None]:
    for number in range(n):
        self.emit("out", n=number)
        yield


def failing_once_at(number: int, generator: Callable[..., Iterator[None]]) -> Callable[..., Iterator[None]]:
    """`generator`, but the segment that comes to `number` first raises, after its effects."""
    failed: list[int] = []

    def flaky(self: Routine, n: int = 5) -> Iterator[None]:
        for count, _ in enumerate(generator(self, n), start=self.state.get("next", 0)):
            if count == number and not failed:
                failed.append(1)
                raise LookupError
            yield

    return flaky


def test_a_generator_emits_all_it_yields(run: Run, chain: Chain) -> None:
    assert numbers(run(chain(source, pass_on), n=5), "b.out") == [0, 1, 2, 3, 4]


def test_what_a_generator_emits_after_its_last_yield_counts(run: Run, chain: Chain) -> None:
    def with_end(self: Routine) -> Iterator[None]:
        self.emit("out", n=1)
        self.state["has_begun"] = True
        yield
        self.emit("out", n=2)

    assert numbers(run(chain(with_end)), "a.out") == [1, 2]


def test_each_yield_releases_what_was_emitted_so_far(stepped: Runtime, chain: Chain, turn: Turn) -> None:
    job = stepped.exec(chain(source))

    turn("a", "a", "a", "a")

    assert numbers(job, "a.out") == [0, 1]
    assert job.get_routine_state("a") == {"next": 2}
    assert job.routine_status("a")["status"] == "running"


def test_other_actors_take_turns_between_yields(stepped: Runtime, chain: Chain, turn: Turn) -> None:
    job = stepped.exec(chain(source, pass_on))

    turn("a", "a", "b", "b", "a", "a", "b", "b")

    assert numbers(job, "b.out") == [0, 1]


def test_the_message_is_consumed_only_at_the_end(stepped: Runtime, chain: Chain, turn: Turn) -> None:
    job = stepped.exec(chain(source), entry_params={"n": 3})

    turn("a", "a")
    job.cancel()
    job.wait()

    (message,) = job.data.pending["a", "input"]
    assert message.payload == {"n": 3}


def test_a_retry_goes_on_at_the_committed_cursor(run: Run, chain: Chain) -> None:
    flow = chain(failing_once_at(2, source))
    flow.routines["a"].set_as_critical(retry_delay=0.0)

    job = run(flow)

    assert numbers(job, "a.out") == [0, 1, 2, 3, 4]
    assert job.status == "completed"


def test_a_retried_generator_continues_the_numbering_of_its_messages(run: Run, chain: Chain) -> None:
    ids = []
    for handler in (source, failing_once_at(2, source)):
        flow = chain(handler, pass_on)
        flow.routines["a"].set_as_critical(retry_delay=0.0)
        job = run(flow)
        records = [record for record in job.view.history if getattr(record, "slot", "") == "input"]
        ids.append([job.job_id, *(r.messages[0].id for r in records if r.routine == "b")])  # type: ignore[attr-defined]

    assert all(len(set(found)) == 6 for found in ids)


def test_a_resume_goes_on_at_the_committed_cursor(runtime: Runtime, chain: Chain) -> None:
    job = runtime.exec(chain(failing_once_at(2, source)))
    job.wait()
    failed_with = numbers(job, "a.out")
    runtime.resume_job(job).wait()

    assert failed_with == [0, 1]
    assert numbers(job, "a.out") == [0, 1, 2, 3, 4]


def test_a_pause_stops_a_generator_at_its_next_yield(stepped: Runtime, chain: Chain, turn: Turn) -> None:
    job = stepped.exec(chain(source))
    turn("a", "a", "a")

    stepped.pause_job(job)
    paused_with = numbers(job, "a.out")
    stepped.resume_job(job).wait()

    assert paused_with == [0, 1]
    assert numbers(job, "a.out") == [0, 1, 2, 3, 4]


def test_a_yield_resets_the_attempt_count(run: Run, chain: Chain) -> None:
    failures: list[int] = []

    def flaky(self: Routine) -> Iterator[None]:
        while self.state.setdefault("next", 0) < 4:
            if failures.count(self.state["next"]) < 2:
                failures.append(self.state["next"])
                raise LookupError
            self.state["next"] += 1
            yield

    flow = chain(flaky)
    flow.routines["a"].set_as_critical(max_retries=2, retry_delay=0.0)
    job = run(flow)

    assert job.status == "completed"
    assert [entry.attempt for entry in job.execution_history if entry.outcome == "failed"] == [1, 2] * 4


def test_a_generator_without_a_cursor_may_run_in_memory(run: Run, chain: Chain) -> None:
    assert numbers(run(chain(careless)), "a.out") == [0, 1, 2, 3, 4]


def test_a_retry_of_a_generator_without_a_cursor_is_refused(run: Run, chain: Chain) -> None:
    flow = chain(failing_once_at(2, careless))
    flow.routines["a"].set_as_critical(retry_delay=0.0)

    job = run(flow)

    assert job.status == "failed"
    assert job.error is not None
    assert job.error.type == NoCursorError.__name__
    assert "The generator of the routine 'a' cannot be retried: it yielded after emitting" in job.error.text
    assert job.error.cause == "LookupError: "


def test_a_generator_without_a_cursor_may_be_skipped(run: Run, chain: Chain) -> None:
    flow = chain(failing_once_at(2, careless))
    flow.routines["a"].set_as_optional("skip")

    job = run(flow)

    assert job.status == "completed"
    assert [letter.strategy for letter in job.dead_letters] == ["skip"]


def test_pausing_a_generator_without_a_cursor_is_refused(stepped: Runtime, chain: Chain, turn: Turn) -> None:
    job = stepped.exec(chain(careless))
    turn("a", "a")

    with pytest.raises(NoCursorError, match=r"Keep a cursor in self.state and change it before each yield"):
        stepped.pause_job(job)


def test_a_yield_that_emitted_nothing_needs_no_cursor(run: Run, chain: Chain) -> None:
    attempts: list[int] = []

    def waiting(self: Routine) -> Iterator[None]:
        yield
        attempts.append(1)
        if len(attempts) < 2:
            raise LookupError
        self.emit("out", n=1)

    flow = chain(waiting)
    flow.routines["a"].set_as_critical(retry_delay=0.0)

    assert numbers(run(flow), "a.out") == [1]


def test_a_segment_that_raises_leaves_only_the_earlier_ones(run: Run, chain: Chain) -> None:
    job = run(chain(failing_once_at(3, source)))

    assert job.status == "failed"
    assert numbers(job, "a.out") == [0, 1, 2]
    assert job.get_routine_state("a") == {"next": 3}


def test_a_generator_given_up_is_closed(run: Run, chain: Chain) -> None:
    closed: list[str] = []

    def tidy(self: Routine) -> Iterator[None]:
        try:
            yield
            self.state["bad"] = object()
            yield
        finally:
            closed.append("closed")

    run(chain(tidy))

    assert closed == ["closed"]


def test_a_cancelled_jobs_generator_is_closed(
    stepped: Runtime, dispatcher: SteppedDispatcher, chain: Chain, turn: Turn
) -> None:
    closed: list[str] = []

    def endless(self: Routine) -> Iterator[None]:
        try:
            while True:
                yield
        finally:
            closed.append("closed")

    job = stepped.exec(chain(endless))
    turn("a", "a")
    job.cancel()
    dispatcher.run_until_idle(100)

    assert (job.status, closed) == ("cancelled", ["closed"])


def test_emitting_while_a_given_up_generator_is_closed_changes_nothing(run: Run, chain: Chain) -> None:
    def noisy(self: Routine) -> Iterator[None]:
        try:
            yield
            raise_lookup_error()
        finally:
            self.emit("out", n=1)

    job = run(chain(noisy))

    assert (job.status, job.outputs) == ("failed", {})


def raise_lookup_error() -> None:
    raise LookupError


def test_the_yielded_value_is_ignored(run: Run, chain: Chain) -> None:
    def yielding(self: Routine) -> Iterator[Any]:
        yield object()
        self.emit("out", n=1)

    assert numbers(run(chain(yielding)), "a.out") == [1]


def test_a_logic_may_be_a_generator(run: Run, chain: Chain) -> None:
    flow = chain(lambda self: None)
    routine = flow.routines["a"]

    def logic(slot_data: Any, _message: Any, _job: Any) -> Iterator[None]:
        for number in range(len(slot_data["input"]) + 1):
            routine.emit("out", n=number)
            routine.state["next"] = number
            yield

    routine.set_logic(logic)

    assert numbers(run(flow), "a.out") == [0, 1]


def test_an_endless_source_ends_with_a_cancel(runtime: Runtime, chain: Chain) -> None:
    def endless(self: Routine) -> Iterator[None]:
        while True:
            self.state["n"] = self.state.get("n", 0) + 1
            if self.state["n"] == 100:
                self.job_state.cancel("enough")
            yield

    job = runtime.exec(chain(endless))

    assert job.wait(30)
    assert (job.status, job.get_routine_state("a")) == ("cancelled", {"n": 99})
