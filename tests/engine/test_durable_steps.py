"""Jobs that a step of a durable job starts, feeds or pauses: with the step or not at all, whatever else happens."""

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from flowforge.error_handler import ErrorHandler
from flowforge.flow import Flow
from flowforge.job_errors import JobFinishedError
from flowforge.job_state import JobState
from flowforge.routine import Routine
from flowforge.routine_errors import AbandonedStepError
from flowforge.runtime import Runtime
from tests.engine.jobs import found, numbers
from tests.engine.machine import Machine
from tests.handlers import count

Chain = Callable[..., Flow]


@pytest.fixture
def child(chain: Chain) -> Flow:
    """The flow of the job that steps start."""
    flow = chain(count)
    flow.flow_id = "child"
    return flow


def test_a_job_that_a_step_starts_is_there_if_the_step_is(machine: Machine, chain: Chain) -> None:
    child = Flow("child")
    child.add_routine(chain(count).routines["a"], "a")

    def start(self: Routine) -> None:
        machine.runtime.exec(child, job_id="started")

    flow = chain(start)
    machine.boot(flow, child).exec(flow, job_id="job")
    machine.store.flush()
    machine.dispatcher.run_until_idle()

    machine.store.flush(1)
    machine.boot(flow, child)
    machine.run()

    assert found(machine.runtime).status == "completed"
    assert found(machine.runtime, "started").status == "completed"


def test_a_post_of_a_step_to_another_job_is_there_if_the_step_is(machine: Machine, chain: Chain) -> None:
    other = Flow("other")
    other.add_routine(chain(count).routines["a"], "a")
    flow = chain(lambda self: machine.runtime.post("fed", "a", "input", {"n": 7}))
    machine.boot(flow, other).exec(other, job_id="fed", keep_alive=True)
    machine.runtime.exec(flow, job_id="job")
    machine.store.flush()
    machine.dispatcher.run_until_idle()

    machine.store.flush(1)
    machine.boot(flow, other)
    machine.run()

    assert numbers(found(machine.runtime, "fed")) == [7]


def test_a_pause_that_a_step_asks_for_is_there_if_the_step_is(machine: Machine, chain: Chain) -> None:
    flow = chain(lambda self: (self.job_state.pause("look", checkpoint=7), self.emit("out", n=1)), count)
    machine.boot(flow).exec(flow, job_id="job")
    machine.store.flush()
    machine.dispatcher.run_until_idle()

    machine.store.flush(1)
    job = found(machine.boot(flow))
    machine.run()

    assert [type(record).__name__ for record in machine.store.records("job")][1:] == ["StepCommitted", "PauseRequested"]
    assert (job.status, job.pause_reason, job.checkpoint) == ("paused", "look", 7)
    machine.runtime.resume_job(job)
    machine.run()
    assert numbers(job, "b.out") == [1]


def test_what_one_step_asks_of_a_job_it_starts_takes_effect_in_order(machine: Machine, chain: Chain) -> None:
    child = chain(count)
    child.flow_id = "child"

    def start(self: Routine) -> None:
        job = machine.runtime.exec(child, job_id="started", keep_alive=True)
        for n in 1, 2:
            machine.runtime.post(job, "a", "input", {"n": n})

    flow = chain(start)
    machine.boot(flow, child).exec(flow, job_id="job")
    machine.store.flush()
    machine.dispatcher.run_until_idle()
    machine.store.flush(1)
    machine.boot(flow, child)
    machine.run()

    assert numbers(found(machine.runtime, "started")) == [1, 2]


def test_a_post_to_a_job_that_a_step_starts_is_checked_at_once(machine: Machine, chain: Chain) -> None:
    child = chain(count)
    child.flow_id = "child"

    def start(self: Routine) -> None:
        job = machine.runtime.exec(child, job_id="started", keep_alive=True)
        machine.runtime.post(job, "nobody", "input", {})

    flow = chain(start)
    job = machine.boot(flow, child).exec(flow, job_id="job")
    machine.run()

    assert (job.status, machine.runtime.get_job("started")) == ("failed", None)
    assert job.error is not None
    assert "'nobody'" in job.error.text


def run_to_the_commit(machine: Machine, job: JobState) -> None:
    """Take steps until a handler of the job has run whose step is not committed."""
    assert job.live is not None
    machine.store.flush()
    worker = job.live.workers[0]
    while worker is None or worker.unfinished is None:
        assert machine.dispatcher.step()


def test_a_step_may_close_and_cancel_jobs_and_does_so_with_its_commit(
    machine: Machine, graph: Callable[..., Flow], child: Flow
) -> None:
    def steer(self: Routine, n: int) -> None:
        assert self.job_state.runtime is machine.runtime
        started = machine.runtime.exec(child, job_id=f"started-{n}", keep_alive=True)
        machine.runtime.post(started, "a", "input", {"n": n})
        started.close()
        found(machine.runtime, "open").close()
        assert found(machine.runtime, "doomed").cancel("enough") == []
        if n == 0:
            raise ValueError

    flow = graph({"a": steer}, error_handler=ErrorHandler("skip"))
    machine.boot(flow, child)
    for job_id in "open", "doomed":
        machine.runtime.exec(child, job_id=job_id, keep_alive=True)
    job = machine.runtime.exec(flow, job_id="job", keep_alive=True)
    machine.runtime.post(job, "a", "input", {"n": 0})
    machine.run()
    before = [str(found(machine.runtime, job_id).status) for job_id in ("open", "doomed")]
    machine.runtime.post(job, "a", "input", {"n": 1})
    machine.run()
    machine.boot(flow, child)
    names = "started-1", "open", "doomed"

    assert before == ["running", "running"]
    assert [str(found(machine.runtime, name).status) for name in names] == ["completed", "completed", "cancelled"]
    assert machine.runtime.get_job("started-0") is None
    assert numbers(found(machine.runtime, "started-1")) == [1]


def test_what_a_step_asks_is_done_when_a_skipped_head_lets_it_commit(tmp_path: Path, child: Flow) -> None:
    second = threading.Event()

    class Workers(Routine):
        def __init__(self) -> None:
            super().__init__()
            self.define_slot("input", handler=self.work)
            self.set_concurrency(2)
            self.set_error_handler(ErrorHandler("skip"))

        def work(self, n: int) -> None:
            if n == 0:
                second.wait(10)
                raise ValueError("to be skipped")
            self.job_state.runtime.exec(child, job_id="started", entry_params={"n": n})
            second.set()

    flow = Flow("parent")
    flow.add_routine(Workers(), "a")
    with Runtime(4, store=f"sqlite:///{tmp_path / 'jobs.db'}", flows=[flow, child]) as runtime:
        job = runtime.exec(flow, job_id="job", keep_alive=True)
        for n in 0, 1:
            runtime.post(job, "a", "input", {"n": n})
        job.close()
        assert job.wait(30)
        assert found(runtime, "started").wait(30)
        runtime.exec(child, job_id="another")

    assert len(job.dead_letters) == 1


def test_what_a_failed_step_wrote_to_a_job_that_it_starts_is_gone(
    machine: Machine, graph: Callable[..., Flow], child: Flow
) -> None:
    tries: list[int] = []

    def start(self: Routine) -> None:
        tries.append(1)
        started = machine.runtime.exec(child, job_id="started", keep_alive=True)
        started.shared_data[f"try {len(tries)}"] = 1
        started.shared_data.add("tries")
        started.shared_log.append(len(tries))
        if len(tries) < 3:
            raise ValueError

    flow = graph({"a": start}, error_handler=ErrorHandler("retry", max_retries=3, retry_delay=0))
    machine.boot(flow, child).exec(flow, job_id="job")
    machine.run()
    machine.boot(flow, child)
    started = found(machine.runtime, "started")

    assert (dict(started.shared_data), list(started.shared_log)) == ({"try 3": 1, "tries": 1}, [3])


def test_what_another_job_cannot_do_any_more_is_logged_and_breaks_nobody(
    machine: Machine, graph: Callable[..., Flow], caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(self: Routine) -> None:
        raise ValueError

    def tidy(self: Routine, n: int) -> None:
        for letter in self.job_state.runtime.dead_letters(job_id="failing"):
            for _ in range(2):
                self.job_state.runtime.requeue_dead_letter(letter.id)
        self.emit("out", n=n)

    failing, janitor = graph({"a": refuse}, error_handler=ErrorHandler("skip")), graph({"a": tidy})
    failing.flow_id = "failing"
    machine.boot(failing, janitor).exec(failing, job_id="failing")
    machine.run()
    job = machine.runtime.exec(janitor, job_id="job", keep_alive=True)
    for n in range(5):
        machine.runtime.post(job, "a", "input", {"n": n})
        machine.run()

    assert (job.status, numbers(job)) == ("running", [0, 1, 2, 3, 4])
    assert "could not be done when it took effect" in caplog.text
    assert "broke" not in caplog.text


@pytest.mark.parametrize("fails", [False, True])
def test_who_is_not_the_step_waits_for_what_becomes_of_the_job_that_it_starts(
    machine: Machine, chain: Chain, child: Flow, *, fails: bool
) -> None:
    def start(self: Routine) -> None:
        machine.runtime.exec(child, job_id="started", entry_params={"n": 1}, keep_alive=True)
        if fails:
            raise ValueError

    flow = chain(start)
    job = machine.boot(flow, child).exec(flow, job_id="job")
    run_to_the_commit(machine, job)
    started = found(machine.runtime, "started")

    if fails:
        with pytest.raises(JobFinishedError, match="cannot take a post"):
            machine.runtime.post(started, "a", "input", {"n": 2})
        return
    machine.runtime.post(started, "a", "input", {"n": 2})
    started.close()
    machine.run()
    machine.boot(flow, child)
    machine.run()

    assert numbers(found(machine.runtime, "started")) == [1, 2]
    assert found(machine.runtime, "started").status == "completed"


def test_a_step_that_did_not_start_a_job_cannot_feed_it_before_it_is_begun(
    machine: Machine, graph: Callable[..., Flow], child: Flow
) -> None:
    def start(self: Routine) -> None:
        machine.runtime.exec(child, job_id="started")

    def feed(self: Routine) -> None:
        machine.runtime.post("started", "a", "input", {"n": 2})

    flow = graph({"a": start, "b": feed})
    flow.routines["b"].set_as_optional("skip")
    job = machine.boot(flow, child).exec(flow, "a", job_id="job", keep_alive=True)
    run_to_the_commit(machine, job)
    machine.runtime.post(job, "b", "input", {})
    machine.store.flush()
    while not job.dead_letters:
        assert machine.dispatcher.step(len(machine.dispatcher.choices()) - 1)

    assert "The step that starts it has not committed" in job.dead_letters[0].reason


def test_a_job_that_a_step_starts_during_a_shutdown_begins_at_the_next_start(
    machine: Machine, chain: Chain, child: Flow
) -> None:
    def start(self: Routine) -> None:
        machine.runtime.exec(child, job_id="started", entry_params={"n": 3})

    flow = chain(start)
    job = machine.boot(flow, child).exec(flow, job_id="job")
    run_to_the_commit(machine, job)
    job.request_pause()
    machine.runtime._table.close()  # noqa: SLF001 - the instant in a shutdown after which nothing can begin
    machine.run()
    machine.boot(flow, child)
    machine.run()

    assert numbers(found(machine.runtime, "started")) == [3]


@pytest.mark.parametrize("is_resumed", [False, True])
def test_a_post_to_a_job_that_is_paused_before_the_commit_is_kept(
    machine: Machine, chain: Chain, child: Flow, is_resumed: bool
) -> None:
    flow = chain(lambda self: machine.runtime.post("fed", "a", "input", {"n": 7}, key="once"))
    fed = machine.boot(flow, child).exec(child, job_id="fed", keep_alive=True)
    job = machine.runtime.exec(flow, job_id="job")
    run_to_the_commit(machine, job)
    assert fed.live is not None
    fed.request_pause()
    if is_resumed:
        live = fed.live
        while not live.rested.is_set():
            machine.store.flush()
            machine.dispatcher.step(len(machine.dispatcher.choices()) - 1)
        machine.runtime.resume_job(fed)
    machine.run()

    machine.boot(flow, child)
    if not is_resumed:
        assert found(machine.runtime, "fed").status == "paused"
        machine.runtime.resume_job("fed")
    machine.run()
    assert numbers(found(machine.runtime, "fed")) == [7]


def test_a_step_can_feed_a_job_that_a_shutdown_has_paused(machine: Machine, chain: Chain, child: Flow) -> None:
    flow = chain(lambda self: machine.runtime.post("fed", "a", "input", {"n": 7}))
    fed = machine.boot(flow, child).exec(child, job_id="fed", keep_alive=True)
    machine.run()
    fed.request_pause()
    machine.run()
    job = machine.runtime.exec(flow, job_id="job")
    machine.run()

    assert (job.status, fed.status) == ("completed", "paused")
    machine.boot(flow, child).resume_job("fed")
    machine.run()
    assert numbers(found(machine.runtime, "fed")) == [7]


def test_a_job_that_two_steps_start_begins_with_the_one_that_commits(
    machine: Machine, graph: Callable[..., Flow], child: Flow
) -> None:
    def start(self: Routine, n: int) -> None:
        machine.runtime.exec(child, job_id="started", entry_params={"n": n})
        if n == 0:
            raise ValueError

    flow = graph({"a": start, "b": start}, error_handler=ErrorHandler("skip"))
    job = machine.boot(flow, child).exec(flow, job_id="job", keep_alive=True)
    for n, routine in enumerate("ab"):
        machine.runtime.post(job, routine, "input", {"n": n})
    machine.run()

    assert numbers(found(machine.runtime, "started")) == [1]


def test_exec_waits_for_what_becomes_of_a_step_that_starts_the_same_job(
    machine: Machine, chain: Chain, child: Flow
) -> None:
    def start(self: Routine) -> None:
        machine.runtime.exec(child, job_id="started", entry_params={"n": 0})
        raise ValueError

    flow = chain(start)
    job = machine.boot(flow, child).exec(flow, job_id="job")
    run_to_the_commit(machine, job)

    machine.runtime.exec(child, job_id="started", entry_params={"n": 1})
    machine.run()

    assert numbers(found(machine.runtime, "started")) == [1]


def test_jobs_of_a_store_are_all_known_before_a_step_of_one_runs(tmp_path: Path, chain: Chain, child: Flow) -> None:
    url = f"sqlite:///{tmp_path / 'jobs.db'}"
    runtimes: list[Runtime] = []
    may_feed = threading.Event()

    class Known(Runtime):
        """Can be found by handlers before its constructor has returned."""

        def __init__(self, **options: Any) -> None:
            runtimes.append(self)
            super().__init__(4, store=url, flows=[flow, child], **options)

    def feed(self: Routine) -> None:
        may_feed.wait(10)
        runtimes[-1].post("fed", "a", "input", {"n": 1})

    flow = chain(feed)
    with Known() as runtime:
        jobs = [runtime.exec(flow, job_id=f"feeder-{n}") for n in range(20)]
        runtime.exec(child, job_id="fed", keep_alive=True)
        runtime.shutdown(timeout=0.01)
        may_feed.set()
    with Known() as runtime:
        jobs = [found(runtime, job.job_id) for job in jobs]
        assert all(job.wait(30) for job in jobs)
        fed = found(runtime, "fed")
        fed.close()
        fed.wait(30)

    assert {str(job.status) for job in jobs} == {"completed"}
    assert numbers(fed) == [1] * 20


def test_a_step_that_was_given_up_starts_nothing(tmp_path: Path, chain: Chain, child: Flow) -> None:
    errors: list[str] = []
    tries: list[int] = []
    is_second, has_ended = threading.Event(), threading.Event()

    def start(self: Routine) -> None:
        tries.append(1)
        if len(tries) == 1:
            is_second.wait(10)
            try:
                runtime.exec(child, job_id="started")
            except AbandonedStepError as error:
                errors.append(str(error))
            has_ended.set()
            return
        is_second.set()
        has_ended.wait(10)
        runtime.exec(child, job_id="started")

    flow = chain(start, error_handler=ErrorHandler("retry", max_retries=1, retry_delay=0))
    flow.routines["a"].set_timeout(1.0)
    with Runtime(4, store=f"sqlite:///{tmp_path / 'jobs.db'}", flows=[flow, child]) as runtime:
        job = runtime.exec(flow)
        assert job.wait(30)
        started = found(runtime, "started")
        assert started.wait(30)

    assert (job.status, started.status, len(tries)) == ("completed", "completed", 2)
    (error,) = errors
    assert error == (
        "The step of the routine 'a' was given up, for its time was over, and commits nothing any more. "
        "Look at self.cancelled in a long handler, or give it more time by set_timeout."
    )
