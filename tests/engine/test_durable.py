"""A runtime with a store: what was acknowledged is there after a restart, and goes on as if nothing had happened."""

import os
import threading
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from flowforge.error_handler import ErrorHandler, ErrorStrategy
from flowforge.errors import FlowForgeError
from flowforge.flow import Flow
from flowforge.flow_registry import FlowRegistry
from flowforge.graph_errors import FlowNotRegisteredError
from flowforge.job_errors import DuplicateJobError, JobFinishedError, NoCursorError, RuntimeOptionError
from flowforge.job_state import JobState
from flowforge.options import RuntimeOptions
from flowforge.routine import Routine
from flowforge.runtime import Runtime
from flowforge.stores.codec import Codec
from flowforge.stores.codec_errors import UnencodableValueError
from flowforge.stores.sqlite import SqliteStore
from flowforge.stores.store_errors import StoreInUseError
from tests.engine.jobs import finished, found, numbers
from tests.handlers import count

Chain = Callable[..., Flow]
Boot = Callable[..., Runtime]


# Starting


def test_exec_returns_when_the_job_is_on_disk(chain: Chain, tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "jobs.db", Codec())
    flow = chain(count)
    with Runtime(2, store=store, flows=[flow]) as runtime:
        runtime.exec(flow, job_id="job", keep_alive=True)

        assert [(job.id, job.flow) for job in store.jobs()] == [("job", "flow")]
    store.close()


def test_the_same_id_gives_the_same_job_whatever_became_of_it(boot: Boot, chain: Chain) -> None:
    flow = chain(count)
    runtime = boot(flow)

    job = runtime.exec(flow, job_id="job", keep_alive=True, entry_params={"n": 1})
    assert runtime.exec(flow, job_id="job") is job
    finished(job)
    assert runtime.exec(flow, job_id="job") is job
    again = boot(flow).exec(flow, job_id="job", entry_params={"n": 2})
    assert (again.status, numbers(again)) == ("completed", [1])


def test_an_id_belongs_to_one_flow(boot: Boot, chain: Chain) -> None:
    flow, other = chain(count), Flow("other")
    other.add_routine(chain(count).routines["a"], "a")
    finished(boot(flow, other).exec(flow, job_id="job"))

    with pytest.raises(DuplicateJobError, match="already has a job 'job'"):
        boot(flow, other).exec(other, job_id="job")


def test_a_flow_that_a_later_process_could_not_find_is_refused(boot: Boot, chain: Chain) -> None:
    runtime = boot(chain(count))

    with pytest.raises(FlowNotRegisteredError, match="'flow' is not registered"):
        runtime.exec(chain(count))


def test_a_runtime_without_a_store_registers_no_flow(stepped: Runtime, chain: Chain) -> None:
    with pytest.raises(RuntimeOptionError, match="Only a runtime with a store registers flows"):
        stepped.register(chain(count))


@pytest.mark.parametrize("where", ["payload", "state", "shared", "output"])
def test_a_value_that_cannot_be_kept_fails_its_step(boot: Boot, chain: Chain, where: str) -> None:
    def keep(self: Routine) -> None:
        match where:
            case "payload":
                self.emit("out", n=object())
            case "state":
                self.state["n"] = object()
            case "shared":
                self.job_state.shared_data["n"] = object()
            case _:
                self.send_output("it", n=object())

    flow = chain(keep, count)
    job = boot(flow).exec(flow)

    assert job.wait(30)
    assert (job.status, job.failed_routine) == ("failed", "a")
    assert job.error is not None
    assert "cannot be kept" in job.error.text


def test_emit_itself_refuses_what_cannot_be_kept_with_path_and_remedy(boot: Boot, chain: Chain) -> None:
    refused: list[UnencodableValueError] = []

    def try_to_emit(self: Routine) -> None:
        try:
            self.emit("out", n=[1, {"deep": object()}])
        except UnencodableValueError as error:
            refused.append(error)

    flow = chain(try_to_emit)
    job = boot(flow).exec(flow)

    assert job.wait(30)
    assert (job.status, job.outputs) == ("completed", {})
    assert "payload['n'][1]['deep']" in str(refused[0])
    assert refused[0].__traceback__ is not None
    assert "Register" in str(refused[0])


def test_input_that_cannot_be_kept_is_refused_at_once(boot: Boot, chain: Chain) -> None:
    flow = chain(count)
    runtime = boot(flow)
    job = runtime.exec(flow, keep_alive=True)

    with pytest.raises(UnencodableValueError, match="cannot be kept"):
        runtime.exec(flow, job_id="job", entry_params={"n": object()})
    with pytest.raises(UnencodableValueError, match="cannot be kept"):
        runtime.post(job, "a", "input", {"n": object()})
    assert runtime.get_job("job") is None


def test_a_generator_without_a_cursor_fails_at_its_yield(boot: Boot, chain: Chain) -> None:
    def source(self: Routine) -> Iterator[None]:
        self.emit("out", n=1)
        yield

    flow = chain(source)
    job = boot(flow).exec(flow)

    assert job.wait(30)
    assert job.error is not None
    assert (job.error.type, job.outputs) == (NoCursorError.__name__, {})


# Going on


def test_what_was_shut_down_goes_on_by_itself(boot: Boot, chain: Chain) -> None:
    flow = chain(count)
    runtime = boot(flow)
    runtime.exec(flow, job_id="job", keep_alive=True)
    runtime.post("job", "a", "input", {"n": 1}, key="one")

    runtime = boot(flow)
    runtime.post("job", "a", "input", {"n": 1}, key="one")
    runtime.post("job", "a", "input", {"n": 2}, key="two")
    job = finished(found(runtime))

    assert (job.status, numbers(job), job.get_routine_state("a")) == ("completed", [1, 2], {"seen": 2})


def test_what_a_user_has_paused_stays_paused(boot: Boot, chain: Chain) -> None:
    flow = chain(count)
    boot(flow).exec(flow, job_id="job", keep_alive=True).pause("lunch", {"page": 3})

    job = found(boot(flow))

    assert (job.status, job.pause_reason, job.checkpoint) == ("paused", "lunch", {"page": 3})


def test_what_a_user_has_paused_stays_paused_if_a_shutdown_does_not_wait_for_it(chain: Chain, tmp_path: Path) -> None:
    has_begun, may_end = threading.Event(), threading.Event()

    def hold(self: Routine) -> None:
        has_begun.set()
        may_end.wait(30)

    flow, url = chain(hold), f"sqlite:///{tmp_path / 'jobs.db'}"
    runtime = Runtime(2, store=url, flows=[flow])
    job = runtime.exec(flow, job_id="job")
    assert has_begun.wait(30)
    assert len(job.pause("lunch", timeout=0.01)) == 1
    runtime.shutdown(timeout=0.01)
    may_end.set()

    with Runtime(2, store=url, flows=[flow]) as runtime:
        job = found(runtime)
        assert (job.status, job.pause_reason) == ("paused", "lunch")


def test_a_job_that_was_pruned_while_it_was_held_can_be_started_anew(chain: Chain, tmp_path: Path) -> None:
    flow, options = chain(count), RuntimeOptions(max_finished_jobs=1)
    with Runtime(options=options, store=f"sqlite:///{tmp_path / 'jobs.db'}", flows=[flow]) as runtime:
        jobs = [finished(runtime.exec(flow, job_id=name)) for name in "abc"]
        runtime.store.prune(older_than=0)

        assert runtime.get_job("a") is None
        assert finished(runtime.exec(flow, job_id="a")) is not jobs[0]


def test_jobs_of_unknown_flows_are_left_until_it_is_registered(boot: Boot, chain: Chain) -> None:
    flow = chain(count)
    boot(flow).exec(flow, job_id="job", keep_alive=True)

    runtime = boot()
    assert [(job.id, job.flow) for job in runtime.left_jobs()] == [("job", "flow")]
    runtime.register(flow)

    assert runtime.left_jobs() == []
    assert finished(found(runtime)).status == "completed"


def test_jobs_of_registered_flows_go_on_without_being_given(chain: Chain, tmp_path: Path) -> None:
    flow, registry, url = chain(count), FlowRegistry(), f"sqlite:///{tmp_path / 'jobs.db'}"
    registry.register(flow)
    with Runtime(2, registry, store=url) as runtime:
        runtime.exec("flow", job_id="job", keep_alive=True)

    with Runtime(2, registry, store=url) as runtime:
        assert runtime.left_jobs() == []
        assert finished(found(runtime)).status == "completed"


def test_a_left_job_takes_no_post_and_is_not_resumed(boot: Boot, chain: Chain) -> None:
    flow = chain(count)
    boot(flow).exec(flow, job_id="job", keep_alive=True)
    runtime = boot()

    with pytest.raises(JobFinishedError, match="it cannot take a post"):
        runtime.post("job", "a", "input", {"n": 1})
    with pytest.raises(FlowNotRegisteredError, match="'flow' is not registered"):
        runtime.resume_job("job")


def test_a_failed_job_can_be_resumed_after_a_restart(boot: Boot, chain: Chain) -> None:
    is_well = threading.Event()

    def fail(self: Routine, n: int = 0) -> None:
        if not is_well.is_set():
            raise ValueError(n)
        self.emit("out", n=n)

    flow = chain(count, fail)
    assert boot(flow).exec(flow, job_id="job").wait(30)
    runtime = boot(flow)
    assert found(runtime).status == "failed"
    is_well.set()
    assert runtime.resume_job("job").wait(30)

    job = found(boot(flow))
    assert (job.status, numbers(job, "b.out"), job.get_routine_state("a")) == ("completed", [0], {"seen": 1})


def test_a_cancel_is_for_good(boot: Boot, chain: Chain) -> None:
    flow = chain(count)
    boot(flow).exec(flow, job_id="job", keep_alive=True).pause()
    boot(flow).cancel_job("job", "enough")

    runtime = boot(flow)

    assert found(runtime).status == "cancelled"
    with pytest.raises(JobFinishedError, match="it cannot be resumed"):
        runtime.resume_job("job")


def test_all_that_can_be_seen_of_a_job_is_the_same_after_a_restart(boot: Boot, chain: Chain) -> None:
    def work(self: Routine, n: int) -> None:
        if n == 3:
            raise ValueError(n)
        self.job_state.shared_data.add("sum", n)
        self.job_state.shared_log.append(n)
        count(self, n)

    def seen(job: JobState) -> list[Any]:
        assert job.wait(30)
        facts = [job.status, job.outputs, job.routine_states, dict(job.shared_data), list(job.shared_log)]
        return [*facts, job.dead_letters, job.execution_history, job.routine_status("a"), list(job.subscribe())]

    flow = chain(work, count, error_handler=ErrorHandler(ErrorStrategy.SKIP))
    runtime = boot(flow)
    job = runtime.exec(flow, job_id="job", keep_alive=True)
    for n in range(5):
        runtime.post(job, "a", "input", {"n": n})
    before = seen(finished(job))

    assert seen(found(boot(flow))) == before


def test_purged_letters_stay_purged(boot: Boot, chain: Chain) -> None:
    flow = chain(lambda self: 1 / 0, error_handler=ErrorHandler(ErrorStrategy.SKIP))
    assert boot(flow).exec(flow, job_id="job").wait(30)

    assert boot(flow).purge_dead_letters() == 1

    assert boot(flow).dead_letters() == []


def test_dead_letters_are_listed_and_purged_by_flow_and_by_job(boot: Boot, chain: Chain) -> None:
    skip = ErrorHandler(ErrorStrategy.SKIP)
    flows = [chain(lambda self, n: 1 // n, error_handler=skip) for _ in range(2)]
    flows[1].flow_id = "other"
    runtime = boot(*flows)
    for flow, job_id in (flows[0], "a"), (flows[0], "b"), (flows[1], "c"):
        assert runtime.exec(flow, entry_params={"n": 0}, job_id=job_id).wait(30)
    # Nothing of them is in memory now.
    runtime = boot(*flows)

    def jobs(**chosen: str) -> list[str]:
        return [letter.id.partition("-")[0] for letter in runtime.dead_letters(**chosen)]

    assert (jobs(), jobs(flow_id="flow"), jobs(job_id="c")) == (["a", "b", "c"], ["a", "b"], ["c"])
    assert jobs(flow_id="flow", job_id="c") == []
    assert (runtime.purge_dead_letters(job_id="a"), jobs()) == (1, ["b", "c"])
    assert (runtime.purge_dead_letters(flow_id="other"), jobs()) == (1, ["b"])


# The file


def test_a_second_runtime_on_the_file_is_refused(boot: Boot, chain: Chain, tmp_path: Path) -> None:
    boot(chain(count))

    with pytest.raises(StoreInUseError, match="is in use by another runtime"):
        Runtime(2, store=f"sqlite:///{tmp_path / 'jobs.db'}")


def test_a_shutdown_closes_the_file_and_ends_every_thread(boot: Boot, chain: Chain, tmp_path: Path) -> None:
    before = set(threading.enumerate())
    flow = chain(count)
    finished(boot(flow).exec(flow))

    boot().shutdown()

    assert set(threading.enumerate()) == before
    assert not (tmp_path / "jobs.db-wal").exists()
    SqliteStore(tmp_path / "jobs.db", Codec()).close()


def test_a_forked_child_can_neither_read_nor_write_the_store(boot: Boot, chain: Chain, tmp_path: Path) -> None:
    flow = chain(count)
    runtime = boot(flow)
    job = runtime.exec(flow, job_id="job", keep_alive=True)

    uses: list[Callable[[], object]] = [
        lambda: runtime.post("job", "a", "input", {"n": 1}),
        lambda: runtime.get_job("other"),
        job.cancel,
        lambda: job.shared_data.update(n=1),
    ]

    told = in_a_child(lambda: [error_of(use) for use in uses], tmp_path / "told")

    assert told == [*["RuntimeForkedError"] * 3, "StoreForkedError"]
    runtime.post(job, "a", "input", {"n": 2})
    assert numbers(finished(job)) == [2]
    assert dict(found(boot(flow)).shared_data) == {}


def error_of(use: Callable[[], object]) -> str:
    try:
        return repr(use())
    except FlowForgeError as error:
        return type(error).__name__


def in_a_child(action: Callable[[], list[str]], answer: Path) -> list[str]:
    with warnings.catch_warnings():
        # From 3.12 on a fork beside other threads warns.
        warnings.simplefilter("ignore", DeprecationWarning)
        child = os.fork()
    if not child:
        try:
            answer.write_text(" ".join(action()))
        finally:
            os._exit(0)
    os.waitpid(child, 0)
    return answer.read_text().split()
