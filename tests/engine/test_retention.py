"""Jobs that a store lets go: the runtime knows them no more, uses none of them, and may start their ids anew."""

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from flowforge import SqliteStore
from flowforge.error_handler import ErrorHandler, ErrorStrategy
from flowforge.errors import FlowForgeError
from flowforge.flow import Flow
from flowforge.job_errors import RuntimeOptionError, UnknownJobError
from flowforge.job_state import JobState
from flowforge.routine import Routine
from flowforge.runtime import Runtime
from flowforge.stores.codec import Codec

Chain = Callable[..., Flow]
Boot = Callable[..., Runtime]
SKIP = ErrorHandler(ErrorStrategy.SKIP)


def work(self: Routine, n: int = 0) -> None:
    if n < 0:
        raise ValueError(n)
    self.emit("out", n=n)


@pytest.fixture
def flow(chain: Chain) -> Flow:
    return chain(work, error_handler=SKIP)


def finished(runtime: Runtime, flow: Flow, job_id: str, n: int = 1) -> JobState:
    job = runtime.exec(flow, entry_params={"n": n}, job_id=job_id)
    assert job.wait(30)
    return job


def test_a_pruned_job_is_known_no_more(boot: Boot, flow: Flow) -> None:
    runtime = boot(flow)
    finished(runtime, flow, "one")
    kept = runtime.exec(flow, job_id="two", keep_alive=True)

    assert runtime.store.prune() == 1

    assert (runtime.get_job("one"), runtime.get_job("two")) == (None, kept)
    assert [job.job_id for job in runtime.list_jobs()] == ["two"]


def test_the_dead_letters_of_a_pruned_job_go_with_it(boot: Boot, flow: Flow) -> None:
    runtime = boot(flow)
    finished(runtime, flow, "one", -1)
    [letter] = runtime.dead_letters()

    runtime.store.prune()
    runtime.store.vacuum()

    assert runtime.dead_letters() == []
    with pytest.raises(FlowForgeError, match="one-dl"):
        runtime.requeue_dead_letter(letter.id)


def test_the_id_of_a_pruned_job_can_be_started_anew(boot: Boot, flow: Flow) -> None:
    runtime = boot(flow)
    old = finished(runtime, flow, "one", 1)
    runtime.store.prune()

    new = finished(runtime, flow, "one", 2)

    assert (old.outputs, new.outputs) == ({"a.out": [{"n": 1}]}, {"a.out": [{"n": 2}]})
    again = boot(flow).get_job("one")
    assert again is not None
    assert again.outputs == new.outputs


COMMANDS: dict[str, Callable[[JobState], object]] = {
    "requeue": lambda job: job.requeue_dead_letter(job.dead_letters[0].id),
    "purge": lambda job: job.purge_dead_letter(job.dead_letters[0].id),
    "cancel": lambda job: job.cancel(),
    "close": lambda job: job.close(),
    "shared data": lambda job: job.shared_data.update(n=1),
    "flush": lambda job: job.flush(),
}


@pytest.mark.parametrize("command", COMMANDS)
def test_a_pruned_job_that_somebody_holds_can_be_read_but_not_steered(boot: Boot, flow: Flow, command: str) -> None:
    runtime = boot(flow)
    job = finished(runtime, flow, "one", -1)
    runtime.store.prune()

    with pytest.raises(UnknownJobError, match=r"has no job 'one'\. .* let go .* by the prune of a store"):
        COMMANDS[command](job)

    assert (job.status, len(job.dead_letters), job.is_on_disk) == ("completed", 1, False)
    assert runtime.store.jobs() == []


def test_a_pruned_job_that_failed_is_not_resumed(boot: Boot, chain: Chain) -> None:
    flow = chain(work)
    runtime = boot(flow)
    job = finished(runtime, flow, "one", -1)
    assert runtime.store.prune() == 0
    assert runtime.store.prune(status="failed") == 1

    resumes: list[Callable[[], object]] = [lambda: runtime.resume_job(job), lambda: runtime.exec(flow, job_state=job)]
    for resume in resumes:
        with pytest.raises(UnknownJobError, match="has no job"):
            resume()


def test_a_job_that_runs_is_not_deleted(boot: Boot, flow: Flow) -> None:
    runtime = boot(flow)
    job = runtime.exec(flow, job_id="one", keep_alive=True)

    assert runtime.store.delete(["one", "nobody"]) == 0

    runtime.post(job, "a", "input", {"n": 1})
    job.close()
    assert job.wait(30)
    assert runtime.store.delete(["one"]) == 1


def test_a_left_job_that_is_deleted_is_left_no_more(boot: Boot, flow: Flow) -> None:
    boot(flow).exec(flow, job_id="one", keep_alive=True)
    runtime = boot()

    assert runtime.store.delete(["one"]) == 1

    assert runtime.left_jobs() == []
    runtime.register(flow)
    assert runtime.get_job("one") is None


def test_a_job_that_could_not_be_deleted_is_known_on(flow: Flow, tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "jobs.db", Codec())
    with Runtime(2, store=store, flows=[flow]) as runtime:
        job = finished(runtime, flow, "one", -1)

        def fail(jobs: Any) -> Any:
            raise ConnectionError(jobs)

        with pytest.raises(ConnectionError):
            runtime.let_go(["one"], fail)

        assert runtime.get_job("one") is job
        job.purge_dead_letter(job.dead_letters[0].id)
    store.close()


def test_pruning_beside_letters_that_are_requeued_loses_no_job(boot: Boot, flow: Flow) -> None:
    runtime = boot(flow)
    jobs = [finished(runtime, flow, f"job{number}", -1) for number in range(40)]
    requeued: list[str] = []

    def requeue() -> None:
        for job in reversed(jobs):
            try:
                job.requeue_dead_letter(job.dead_letters[0].id)
                requeued.append(job.job_id)
            except UnknownJobError:
                return

    thread = threading.Thread(target=requeue)
    thread.start()
    for number in range(40):
        runtime.store.delete([f"job{number}"])
    thread.join()
    runtime.wait_until_all_jobs_finished(30)

    kept = {job.id for job in runtime.store.jobs()}
    assert kept == {job.job_id for job in runtime.list_jobs()}
    for job in runtime.list_jobs():
        assert len(runtime.store.records(job.job_id)) == job.view.position


def test_a_runtime_without_a_store_says_so(stepped: Runtime) -> None:
    with pytest.raises(RuntimeOptionError, match=r"The option store cannot be None\. Make the runtime with one, as in"):
        stepped.store  # noqa: B018 - it raises


def test_a_store_that_outlives_its_runtime_is_pruned_as_before(flow: Flow, tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "jobs.db", Codec())
    with Runtime(2, store=store, flows=[flow]) as runtime:
        finished(runtime, flow, "one")
    del runtime

    assert store.prune() == 1
    assert store.jobs() == []
    store.close()
