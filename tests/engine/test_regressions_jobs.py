"""Faults that were found where a job starts, ends, is resumed, reopened or cancelled at the same moment."""

import contextlib
import threading
from collections.abc import Callable
from types import MethodType
from typing import Any

import pytest

from actors.testing.stepped_dispatcher import SteppedDispatcher
from flowforge._engine.job import Job
from flowforge.error_handler import Decision, ErrorHandler
from flowforge.errors import FlowForgeError
from flowforge.flow import Flow
from flowforge.job_errors import DeadLetterNotFoundError, JobFinishedError, RuntimeClosedError
from flowforge.job_state import JobState
from flowforge.options import RuntimeOptions
from flowforge.routine import Routine
from flowforge.runtime import Runtime

Chain = Callable[..., Flow]
Graph = Callable[..., Flow]
Turn = Callable[..., None]


class Interfered(Runtime):
    """Does a deed, when there is one, between reserving a job's place and letting the job begin."""

    def __init__(self, options: RuntimeOptions | None = None) -> None:
        super().__init__(options=options, dispatcher=SteppedDispatcher())
        self.deeds: list[Callable[[], Any]] = []

    def _build(self, *args: Any) -> Job:
        if self.deeds:
            self.deeds.pop()()
        return super()._build(*args)


class Stopping(Routine):
    """Ends after the record of the completion."""

    def __init__(self, handler: Callable[..., Any]) -> None:
        super().__init__()
        self.define_slot("input", handler=MethodType(handler, self))

    def on_stop(self) -> None:
        """Is awaited."""


class Flaky:
    """A handler that raises until it is mended."""

    def __init__(self) -> None:
        self.is_broken = True
        self.seen: list[int] = []

    def __call__(self, routine: Routine, n: int) -> None:
        if self.is_broken:
            raise ValueError(n)
        self.seen.append(n)


def with_letters(runtime: Runtime, graph: Graph, flaky: Flaky) -> JobState:
    """A job that completed with the numbers 1 and 2 as dead letters, of a routine that is mended now."""

    def send(self: Routine) -> None:
        self.emit("out", n=1)
        self.emit("out", n=2)

    routine = Stopping(flaky.__call__)
    routine.set_as_optional("skip")
    job = runtime.exec(graph({"s": send, "a": routine}, "s.out -> a.input"), "s", {})
    job.wait()
    flaky.is_broken = False
    assert (job.status, len(job.dead_letters)) == ("completed", 2)
    return job


def test_a_job_is_resumed_by_one_of_those_who_try_at_once(graph: Graph) -> None:
    def resume_too() -> None:
        with pytest.raises(JobFinishedError, match=r"is running, so it cannot be resumed"):
            runtime.resume_job(job)
        refused.append(1)

    refused: list[int] = []
    runtime = Interfered()
    job = runtime.exec(graph({"a": lambda self: None}), keep_alive=True)
    job.pause()
    runtime.deeds.append(resume_too)
    runtime.resume_job(job)
    job.close()

    assert job.wait(100.0)
    assert (job.status, refused) == ("completed", [1])


def test_letters_requeued_by_threads_at_once_are_all_worked_on(graph: Graph) -> None:
    with Runtime(4) as runtime:
        for _ in range(20):
            flaky = Flaky()
            job = with_letters(runtime, graph, flaky)
            letters = [letter.id for letter in job.dead_letters]
            threads = [threading.Thread(target=job.requeue_dead_letter, args=(letter,)) for letter in letters]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join(30)
            assert runtime.wait_until_all_jobs_finished(30)

            assert (job.status, sorted(flaky.seen), job.data.pending) == ("completed", [1, 2], {})


def test_the_runtime_knows_of_a_jobs_rest_before_a_waiter_does(graph: Graph) -> None:
    class Watched(Runtime):
        def note_rest(self, state: JobState, run: Job) -> None:
            had_been_told.append(run.rested.is_set())
            super().note_rest(state, run)

    had_been_told: list[bool] = []
    with Watched(dispatcher=SteppedDispatcher()) as runtime:
        job = runtime.exec(graph({"a": lambda self: None}))
        job.wait()

    assert had_been_told == [False]


def test_a_job_is_resumed_at_the_very_moment_at_which_it_rests(graph: Graph) -> None:
    with Runtime(2) as runtime:
        job = runtime.exec(graph({"a": lambda self, n: self.send_output("x", n=n)}), keep_alive=True)
        handled: list[int] = []
        job.set_output_handler(lambda _job, _routine, _kind, data: handled.append(data["n"]))
        for n in range(50):
            job.pause()
            runtime.resume_job(job)
            assert not job.is_resting
            runtime.post(job, "a", "input", {"n": n})
        job.close()
        assert job.wait(30)

    assert sorted(handled) == list(range(50))


def test_the_lock_of_a_job_is_that_of_the_run_it_has_when_it_is_taken(stepped: Runtime, graph: Graph) -> None:
    def is_free(job: JobState) -> bool:
        assert job.live is not None
        if not job.live.lock.acquire(blocking=False):
            return False
        job.live.lock.release()
        return True

    job = stepped.exec(graph({"a": lambda self: None}), keep_alive=True)
    job.pause()
    lock = job.control_lock
    stepped.resume_job(job)
    seen: list[bool] = []
    with lock:
        other = threading.Thread(target=lambda: seen.append(is_free(job)))
        other.start()
        other.join(30)

    assert seen == [False]


def test_a_job_begun_beside_a_shutdown_is_refused(graph: Graph) -> None:
    runtime = Interfered()
    flow = graph({"a": lambda self: None})
    runtime.deeds.append(runtime.shutdown)

    with pytest.raises(RuntimeClosedError, match=r"cannot start the job 'late'"):
        runtime.exec(flow, job_id="late")

    assert runtime.wait_until_all_jobs_finished(0.0)


@pytest.mark.parametrize("is_shut_down", [True, False])
def test_an_exec_that_raises_leaves_no_job_behind(graph: Graph, *, is_shut_down: bool) -> None:
    runtime = Interfered()
    flow = graph({"a": lambda self, n, m: None})
    if is_shut_down:
        runtime.deeds.append(runtime.shutdown)

    with pytest.raises(FlowForgeError, match=r"cannot start the job 'late'" if is_shut_down else r"'n'"):
        runtime.exec(flow, job_id="late", entry_params={"n": 1, "m": 2} if is_shut_down else {"m": 2, "o": 3})

    assert runtime.list_jobs() == []
    runtime.shutdown()


def test_jobs_begun_while_a_runtime_is_shut_down_run_or_are_refused(graph: Graph) -> None:
    def start_until_refused() -> None:
        while True:
            try:
                started.append(runtime.exec(flow))
            except RuntimeClosedError:
                return

    flow = graph({"a": lambda self: None})
    for _ in range(20):
        runtime, started = Runtime(2), list[JobState]()
        thread = threading.Thread(target=start_until_refused)
        thread.start()
        runtime.shutdown(timeout=30)
        thread.join(30)

        assert not thread.is_alive()
        assert all(job.is_resting and job.status in {"completed", "paused"} for job in started)


def test_an_error_handler_that_raises_fails_the_job(stepped: Runtime, graph: Graph) -> None:
    class Confused(ErrorHandler):
        def decide(self, error: BaseException, failures: int, draw: float = 0.0) -> Decision:
            raise RuntimeError("which way now?")

    def fail(self: Routine) -> None:
        raise ValueError(self)

    job = stepped.exec(graph({"a": fail}, error_handler=Confused("skip")))

    assert job.wait(100.0)
    assert job.error is not None
    assert (job.status, job.error.type, job.failed_routine) == ("failed", "RuntimeError", "a")


def nested(runtime: Runtime, graph: Graph, turn: Turn) -> tuple[JobState, list[int]]:
    """A job that a step has started which has not committed yet, and what it is going to fill."""
    kids: list[JobState] = []
    ran: list[int] = []
    child = graph({"c": lambda self: ran.append(1)})
    runtime.exec(graph({"a": lambda self: kids.append(runtime.exec(child))}))
    turn("a")
    assert kids[0].status == "pending"
    return kids[0], ran


def test_a_job_cancelled_before_its_step_commits_never_runs(
    stepped: Runtime, dispatcher: SteppedDispatcher, graph: Graph, turn: Turn
) -> None:
    kid, ran = nested(stepped, graph, turn)

    kid.cancel("not wanted")
    dispatcher.run_until_idle()

    assert (kid.status, ran) == ("cancelled", [])


def test_waiting_for_a_job_that_a_step_has_yet_to_start_waits(stepped: Runtime, graph: Graph, turn: Turn) -> None:
    kid, ran = nested(stepped, graph, turn)

    assert kid.wait(100.0)
    assert (kid.status, ran) == ("completed", [1])


@pytest.mark.parametrize("end", ["pause", "cancel"])
def test_a_job_that_a_stashed_step_had_started_gives_back_its_id(
    stepped: Runtime, dispatcher: SteppedDispatcher, graph: Graph, end: str
) -> None:
    child = graph({"c": lambda self: None})

    def work(self: Routine, n: int) -> None:
        if n == 0:
            raise ValueError(n)
        stepped.exec(child, job_id="kid")

    def send(self: Routine) -> None:
        self.emit("out", n=0)
        self.emit("out", n=1)

    flow = graph({"s": send, "a": work}, "s.out -> a.input")
    flow.routines["a"].set_concurrency(2)
    flow.routines["a"].set_error_handler(ErrorHandler("retry", retry_delay=5.0, max_retries=1))
    job = stepped.exec(flow, "s", {})
    job.wait(1.0)
    getattr(job, end)()
    dispatcher.run_until_idle()

    assert stepped.get_job("kid") is None
    assert stepped.exec(child, job_id="kid").wait(100.0)


def test_a_requeue_in_a_step_that_fails_keeps_the_letter(stepped: Runtime, graph: Graph) -> None:
    flaky = Flaky()
    old = with_letters(stepped, graph, flaky)

    def requeue_and_fail(self: Routine) -> None:
        old.requeue_dead_letter(old.dead_letters[0].id)
        raise ValueError(self)

    doctor = stepped.exec(graph({"d": requeue_and_fail}))
    doctor.wait()

    assert (doctor.status, old.status, len(old.dead_letters), flaky.seen) == ("failed", "completed", 2, [])


def test_a_requeue_whose_run_cannot_be_built_keeps_the_letter(graph: Graph) -> None:
    flaky, runtime = Flaky(), Interfered()
    job = with_letters(runtime, graph, flaky)
    letters = job.dead_letters

    def fail() -> None:
        raise ConnectionError("no connection")

    runtime.deeds.append(fail)
    with pytest.raises(ConnectionError, match="no connection"):
        job.requeue_dead_letter(letters[0].id)
    between = job.status, job.dead_letters
    job.requeue_dead_letter(letters[0].id)
    job.wait()

    assert between == ("completed", letters)
    assert (job.status, job.dead_letters, flaky.seen) == ("completed", letters[1:], [1])


def test_a_requeue_beside_a_shutdown_leaves_a_job_to_be_resumed(graph: Graph) -> None:
    flaky, runtime = Flaky(), Interfered()
    job = with_letters(runtime, graph, flaky)
    letters = job.dead_letters
    runtime.deeds.append(runtime.shutdown)

    job.requeue_dead_letter(letters[0].id)

    assert (job.status, job.dead_letters) == ("paused", letters[1:])
    with Runtime(dispatcher=SteppedDispatcher()) as other:
        assert other.exec(graph({"s": lambda self: None, "a": flaky.__call__}), job_state=job).wait()
    assert flaky.seen == [1]


def requeued_until_the_rest(job: JobState, dispatcher: SteppedDispatcher) -> str:
    """Give back the first of two letters, until its run is over and nobody was told; the id of the other."""
    one, two = (letter.id for letter in job.dead_letters)
    job.requeue_dead_letter(one)
    assert job.live is not None
    while not job.live.is_over:
        dispatcher.step()
    return two


def test_a_letter_requeued_just_before_the_rest_reopens_the_job(
    stepped: Runtime, dispatcher: SteppedDispatcher, graph: Graph
) -> None:
    flaky = Flaky()
    job = with_letters(stepped, graph, flaky)
    two = requeued_until_the_rest(job, dispatcher)

    job.requeue_dead_letter(two)
    dispatcher.run_until_idle()

    assert (job.status, flaky.seen, job.dead_letters, job.data.pending) == ("completed", [1, 2], [], {})


def test_a_pause_just_before_the_rest_waits_for_what_a_requeue_reopens(
    stepped: Runtime, dispatcher: SteppedDispatcher, graph: Graph
) -> None:
    flaky = Flaky()
    job = with_letters(stepped, graph, flaky)
    job.requeue_dead_letter(requeued_until_the_rest(job, dispatcher))

    job.pause("hold on")
    paused = job.is_resting, job.status, job.data.pending
    stepped.resume_job(job)
    dispatcher.run_until_idle()

    assert paused[:2] == (True, "paused")
    assert paused[2]
    assert (job.status, flaky.seen) == ("completed", [1, 2])


def test_a_letter_is_requeued_once_just_before_the_rest_too(graph: Graph) -> None:
    flaky, dispatcher = Flaky(), SteppedDispatcher()
    with Runtime(dispatcher=dispatcher) as runtime:
        job = with_letters(runtime, graph, flaky)
        two = requeued_until_the_rest(job, dispatcher)

        job.requeue_dead_letter(two)
        with contextlib.suppress(DeadLetterNotFoundError):
            job.requeue_dead_letter(two)
        dispatcher.run_until_idle()

        assert (job.status, flaky.seen) == ("completed", [1, 2])


def test_a_wait_after_a_requeue_just_before_the_rest_waits_for_the_letter(
    stepped: Runtime, dispatcher: SteppedDispatcher, graph: Graph
) -> None:
    flaky = Flaky()
    job = with_letters(stepped, graph, flaky)
    two = requeued_until_the_rest(job, dispatcher)

    job.requeue_dead_letter(two)
    assert job.wait(100.0)

    assert (job.status, flaky.seen) == ("completed", [1, 2])


def test_a_job_that_is_being_reopened_is_not_let_go(graph: Graph) -> None:
    def let_another_job_finish() -> None:
        assert runtime.exec(graph({"k": lambda self: None})).wait(100.0)

    flaky = Flaky()
    with Interfered(RuntimeOptions(max_finished_jobs=1)) as runtime:
        job = with_letters(runtime, graph, flaky)
        runtime.deeds.append(let_another_job_finish)
        job.requeue_dead_letter(job.dead_letters[0].id)

        assert runtime.get_job(job.job_id) is job


def test_a_job_cancelled_at_rest_counts_as_finished(graph: Graph) -> None:
    with Runtime(options=RuntimeOptions(max_finished_jobs=1), dispatcher=SteppedDispatcher()) as runtime:
        paused = runtime.exec(graph({"a": lambda self: None}), keep_alive=True)
        paused.pause()
        paused.cancel()
        last = runtime.exec(graph({"a": lambda self: None}))
        last.wait()

        assert runtime.list_jobs() == [last]
