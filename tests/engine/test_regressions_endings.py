"""Faults that were found where a runtime is shut down while jobs are under way, and in ids and logs."""

import logging
import threading
import time
from collections.abc import Callable, Iterator
from types import MethodType
from typing import Any

import pytest

from actors.testing.stepped_dispatcher import SteppedDispatcher
from flowforge.errors import FlowForgeError
from flowforge.flow import Flow
from flowforge.job_errors import DuplicateJobError, UnknownJobError
from flowforge.job_state import JobState
from flowforge.options import RuntimeOptions
from flowforge.routine import Routine
from flowforge.runtime import Runtime

Chain = Callable[..., Flow]
Graph = Callable[..., Flow]
Run = Callable[..., JobState]

PATIENCE = 30.0


class Gate:
    """A handler that tells when it is entered, and ends when it may."""

    def __init__(self) -> None:
        self.was_entered = threading.Event()
        self.may_end = threading.Event()

    def __call__(self, routine: Routine) -> None:
        self.was_entered.set()
        self.may_end.wait(PATIENCE)
        routine.emit("out", n=1)


class Closing(Routine):
    """Tells of its end."""

    def __init__(self, handler: Callable[..., Any], stopped: list[str | None]) -> None:
        super().__init__()
        self.stopped = stopped
        self.define_slot("input", handler=MethodType(handler, self))
        self.define_event("out")

    def on_stop(self) -> None:
        self.stopped.append(self.routine_id)


@pytest.fixture
def gate() -> Iterator[Gate]:
    """Open at the end of the test, whatever became of it."""
    gate = Gate()
    yield gate
    gate.may_end.set()


@pytest.fixture
def runtime_with_errors_logged(caplog: pytest.LogCaptureFixture) -> Iterator[Runtime]:
    """A runtime of which nothing unexpected must be logged."""
    runtime = Runtime(2)
    yield runtime
    runtime.shutdown(timeout=PATIENCE)
    assert [record for record in caplog.records if record.levelno >= logging.ERROR] == []


def test_a_job_halted_at_a_shutdown_rests_and_can_be_kept(
    runtime_with_errors_logged: Runtime, chain: Chain, gate: Gate
) -> None:
    runtime = runtime_with_errors_logged
    flow = chain(gate.__call__)
    job = runtime.exec(flow)
    assert gate.was_entered.wait(PATIENCE)
    waiter = threading.Thread(target=job.wait)
    waiter.start()

    was_clean = runtime.shutdown(timeout=0.0)
    waiter.join(PATIENCE)
    gate.may_end.set()
    kept = JobState.deserialize(job.serialize())

    assert (was_clean, waiter.is_alive(), job.is_resting, job.status) == (False, False, True, "paused")
    assert (flow.resume(kept).status, kept.outputs) == ("completed", {"a.out": [{"n": 1}]})


def test_a_step_that_still_runs_at_the_end_of_a_shutdown_is_logged(
    chain: Chain, gate: Gate, caplog: pytest.LogCaptureFixture
) -> None:
    runtime = Runtime(2)
    job = runtime.exec(chain(gate.__call__))
    assert gate.was_entered.wait(PATIENCE)

    runtime.shutdown(timeout=0.0)

    (record,) = [record for record in caplog.records if "still runs after" in record.message]
    assert (getattr(record, "job_id", None), getattr(record, "routine_id", None)) == (job.job_id, "a")


def test_on_stop_runs_for_the_idle_actors_of_a_halted_job(graph: Graph, gate: Gate) -> None:
    stopped: list[str | None] = []
    runtime = Runtime(2)
    routines = {"slow": Closing(gate.__call__, stopped), "quick": Closing(lambda self: None, stopped)}
    runtime.exec(graph(routines))
    assert gate.was_entered.wait(PATIENCE)

    runtime.shutdown(timeout=0.0)

    assert stopped == ["quick"]


def test_a_shutdown_that_need_not_wait_is_clean_when_all_is_idle(chain: Chain) -> None:
    for _ in range(20):
        runtime = Runtime(4)
        assert runtime.exec(chain(lambda self: None)).wait(PATIENCE)

        assert runtime.shutdown(wait=False)


def test_the_deadline_of_a_shutdown_is_one_for_all_outputs(chain: Chain, gate: Gate) -> None:
    def wait_for_the_gate(*_output: object) -> None:
        gate.may_end.wait(PATIENCE)

    runtime = Runtime(4)
    for _ in range(8):
        job = runtime.exec(chain(lambda self: self.send_output("x", n=1)), entry_params={}, keep_alive=True)
        job.set_output_handler(wait_for_the_gate)
        runtime.post(job, "a", "input", {})
    began = time.monotonic()
    was_clean = runtime.shutdown(timeout=0.5)

    # Eight deadlines, one after the other, would be four seconds.
    assert not was_clean
    assert time.monotonic() - began < 3.5


def test_two_jobs_of_one_id_are_refused_in_one_step(run: Run, runtime: Runtime, chain: Chain) -> None:
    child = chain(lambda self: None)

    def start_two(self: Routine) -> None:
        runtime.exec(child, job_id="kid")
        with pytest.raises(DuplicateJobError, match=r"already has a job 'kid'"):
            runtime.exec(child, job_id="kid")

    job = run(chain(start_two))

    assert runtime.wait_until_all_jobs_finished(PATIENCE)
    kid = runtime.get_job("kid")
    assert kid is not None
    assert (job.status, kid.status) == ("completed", "completed")


def test_a_job_that_a_failed_step_would_have_started_leaves_nothing(run: Run, runtime: Runtime, chain: Chain) -> None:
    child = chain(lambda self: None)

    def start_and_fail(self: Routine) -> None:
        runtime.exec(child, job_id="kid")
        raise ValueError(self)

    job = run(chain(start_and_fail))

    assert (job.status, runtime.get_job("kid"), len(runtime.list_jobs())) == ("failed", None, 1)
    assert runtime.exec(child, job_id="kid").wait(PATIENCE)


def test_a_letter_of_a_job_that_was_let_go_is_requeued(chain: Chain) -> None:
    failures = [ValueError("once")]

    def fail_once(self: Routine) -> None:
        if failures:
            raise failures.pop()

    flow = chain(fail_once)
    flow.routines["a"].set_as_optional()
    with Runtime(options=RuntimeOptions(max_finished_jobs=1), dispatcher=SteppedDispatcher()) as runtime:
        job = runtime.exec(flow)
        job.wait()
        runtime.exec(chain(lambda self: None)).wait()
        assert runtime.get_job(job.job_id) is None

        job.requeue_dead_letter(job.dead_letters[0].id)
        job.wait()

        assert (job.status, job.dead_letters, runtime.get_job(job.job_id)) == ("completed", [], job)


def test_a_pause_of_a_whole_flow_asks_all_jobs_before_it_waits_for_one(stepped: Runtime, chain: Chain) -> None:
    def count(self: Routine) -> Iterator[None]:
        for n in range(self.state.get("next", 0), 20):
            self.state["next"] = n + 1
            yield

    flow = chain(count)
    jobs = [stepped.exec(flow) for _ in range(5)]

    flow.pause()

    assert [job.status for job in jobs] == ["paused"] * 5


MISTAKES: dict[str, tuple[Callable[[Runtime], object], str]] = {
    "status": (lambda runtime: runtime.list_jobs(status="nonsense"), r"'nonsense'.*'paused'"),
    "job id": (lambda runtime: runtime.cancel_job("zz"), r"'zz'"),
    "flow name": (lambda runtime: runtime.exec("unknown"), r"'unknown'"),
    "flow": (lambda runtime: runtime.exec(42), r"42"),  # type: ignore[arg-type]  # the mistake under test
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_in_a_call_of_the_runtime_is_named(stepped: Runtime, mistake: str) -> None:
    call, text = MISTAKES[mistake]

    with pytest.raises(FlowForgeError, match=text):
        call(stepped)


@pytest.mark.parametrize(
    ("options", "text"),
    [({"job_id": 3}, r"3"), ({"job_id": "a.b"}, r"'a\.b'"), ({"timeout": -1}, r"-1"), ({"timeout": "x"}, r"'x'")],
)
def test_a_mistake_in_the_options_of_exec_is_named(
    stepped: Runtime, chain: Chain, options: dict[str, Any], text: str
) -> None:
    with pytest.raises(FlowForgeError, match=text):
        stepped.exec(chain(lambda self: None), **options)

    assert stepped.list_jobs() == []


def test_an_unknown_jobs_remedy_does_not_list_nothing(stepped: Runtime) -> None:
    with pytest.raises(UnknownJobError) as raised:
        stepped.cancel_job("zz")

    assert "[]" not in str(raised.value)


def test_what_is_logged_of_a_job_names_the_job_and_the_routine(
    stepped: Runtime, graph: Graph, caplog: pytest.LogCaptureFixture
) -> None:
    class Bad(Closing):
        def on_stop(self) -> None:
            raise OSError("cannot close")

    job = stepped.exec(graph({"a": Bad(lambda self: None, [])}))
    job.wait()

    (record,) = [record for record in caplog.records if "on_stop" in record.message]
    assert (getattr(record, "job_id", None), getattr(record, "routine_id", None)) == (job.job_id, "a")
