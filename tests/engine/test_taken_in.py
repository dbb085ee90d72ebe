"""Jobs from files and from memory go on in a store; no job goes on in two places."""

from collections.abc import Callable
from pathlib import Path

import pytest

from flowforge.flow import Flow
from flowforge.graph_errors import FlowNotRegisteredError
from flowforge.job_errors import FlowChangedError, JobFinishedError, JobForkedError, WaitInStepError
from flowforge.job_state import JobState
from flowforge.routine import Routine
from flowforge.runtime import Runtime
from flowforge.stores.codec import Codec
from flowforge.stores.codec_errors import UnencodableValueError
from flowforge.stores.sqlite import SqliteStore
from flowforge.stores.store import KnownJob
from tests.engine.jobs import finished, found, numbers
from tests.handlers import count

Chain = Callable[..., Flow]
Boot = Callable[..., Runtime]
InMemory = Callable[[Flow], JobState]


@pytest.fixture
def in_memory(stepped: Runtime) -> InMemory:
    """A job in memory that has done one step, and paused with a message that waits."""

    def made(flow: Flow) -> JobState:
        job = stepped.exec(flow, job_id="job", keep_alive=True)
        stepped.post(job, "a", "input", {"n": 1}, key="one")
        assert not job.wait(1.0)
        stepped.post(job, "a", "input", {"n": 2}, key="two")
        job.pause("for a while")
        return job

    return made


# Taken in


def test_a_job_from_a_file_goes_on_in_the_store(boot: Boot, chain: Chain, in_memory: InMemory, tmp_path: Path) -> None:
    flow = chain(count)
    in_memory(flow).save(tmp_path / "job.json")
    job = boot(flow).exec(flow, job_state=JobState.load(tmp_path / "job.json"))

    runtime = boot(flow)
    job = found(runtime)
    runtime.post(job, "a", "input", {"n": 1}, key="one")
    runtime.post(job, "a", "input", {"n": 3}, key="three")

    assert numbers(finished(job)) == [1, 2, 3]
    assert job.get_routine_state("a") == {"seen": 3}
    assert found(boot(flow)).status == "completed"


def test_a_job_from_memory_goes_on_in_the_store(boot: Boot, chain: Chain, in_memory: InMemory) -> None:
    flow = chain(count)
    job = in_memory(flow)

    assert boot(flow).exec(flow, job_state=job) is job
    job.close()

    assert job.wait(30)
    assert numbers(found(boot(flow))) == [1, 2]


def test_a_job_that_was_taken_in_is_on_disk(chain: Chain, in_memory: InMemory, tmp_path: Path) -> None:
    flow, store = chain(count), SqliteStore(tmp_path / "jobs.db", Codec())
    job = in_memory(flow)
    position = job.data.position
    with Runtime(2, store=store, flows=[flow]) as runtime:
        runtime.exec(flow, job_state=job)

        [known] = store.jobs()
        assert isinstance(known, KnownJob)
        assert (known.id, known.flow) == ("job", "flow")
        assert store.records("job")[0].position == position + 1
    store.close()


def test_a_failed_job_that_is_taken_in_tries_again(boot: Boot, chain: Chain, stepped: Runtime) -> None:
    def fail(self: Routine) -> None:
        raise ValueError

    job = stepped.exec(chain(fail), job_id="job")
    job.wait()
    flow = chain(count)

    assert boot(flow).exec(flow, job_state=JobState.deserialize(job.serialize())).wait(30)

    assert found(boot(flow)).status == "completed"


def test_a_job_is_migrated_when_it_is_taken_in(boot: Boot, chain: Chain, in_memory: InMemory) -> None:
    job, flow = in_memory(chain(count)), chain(count, version=2)
    flow.migrate(1, lambda job: job.change_messages("a", "input", lambda payload: {"n": -payload["n"]}))

    finished(boot(flow).exec(flow, job_state=job))

    assert numbers(found(boot(flow))) == [1, -2]


def test_a_file_of_a_durable_job_is_like_any_other(boot: Boot, chain: Chain, stepped: Runtime, tmp_path: Path) -> None:
    flow = chain(count)
    job = boot(flow).exec(flow, job_id="job", keep_alive=True)
    job.pause()
    job.save(tmp_path / "job.json")

    loaded = JobState.load(tmp_path / "job.json")

    assert loaded.to_dict() == job.to_dict()
    loaded.close()
    stepped.exec(flow, job_state=loaded).wait()
    assert (loaded.status, job.status) == ("completed", "paused")


# Refused


def test_a_job_that_the_store_has_is_not_taken_in(boot: Boot, chain: Chain, in_memory: InMemory) -> None:
    flow = chain(count)
    tree = in_memory(flow).serialize()
    runtime = boot(flow)
    job = runtime.exec(flow, job_state=JobState.deserialize(tree))

    text = (
        r"The job 'job' is kept in the store already, so it cannot go on here as well\. "
        r"Go on with that one by resume_job, or delete it from the store first\."
    )
    for _ in range(2):
        with pytest.raises(JobForkedError, match=text):
            runtime.exec(flow, job_state=JobState.deserialize(tree))
        runtime = boot(flow)
    assert found(runtime).data.position > job.data.position


def test_a_job_of_a_store_does_not_go_on_outside_of_it(
    boot: Boot, chain: Chain, stepped: Runtime, tmp_path: Path
) -> None:
    flow = chain(count)
    job = boot(flow).exec(flow, job_id="job", keep_alive=True)
    job.pause()

    text = r"'job' is kept in a store, so it .* as well\. Go on with it by resume_job of the runtime with that store\."
    with Runtime(2, store=f"sqlite:///{tmp_path / 'other.db'}", flows=[flow]) as other:
        with pytest.raises(JobForkedError, match=text):
            flow.resume(job)
        with pytest.raises(JobForkedError, match=text):
            stepped.exec(flow, job_state=job)
        with pytest.raises(JobForkedError, match=text) as caught:
            other.exec(flow, job_state=job)

    assert caught.value.job_id == "job"
    assert job.status == "paused"
    assert found(boot(flow)).status == "paused"


def test_a_job_that_was_taken_in_does_not_go_on_where_it_was(
    boot: Boot, chain: Chain, stepped: Runtime, in_memory: InMemory
) -> None:
    flow = chain(count)
    job = in_memory(flow)
    boot(flow).exec(flow, job_state=job).pause()

    with pytest.raises(JobForkedError, match="is kept in a store"):
        stepped.resume_job(job)


def test_values_that_cannot_be_kept_are_refused_before_anything_is_written(
    boot: Boot, chain: Chain, stepped: Runtime
) -> None:
    flow = chain(count)
    job = stepped.exec(flow, job_id="job", keep_alive=True)
    stepped.post(job, "a", "input", {"n": object()})
    job.pause()
    runtime = boot(flow)

    with pytest.raises(UnencodableValueError, match=r"the payload waiting in 'input'"):
        runtime.exec(flow, job_state=job)

    assert runtime.get_job("job") is None
    assert runtime.left_jobs() == []
    assert job.status == "paused"


def test_a_finished_job_is_not_taken_in(boot: Boot, chain: Chain, in_memory: InMemory) -> None:
    flow = chain(count)
    job = in_memory(flow)
    job.cancel()
    runtime = boot(flow)

    with pytest.raises(JobFinishedError, match="it cannot be resumed"):
        runtime.exec(flow, job_state=job)
    assert runtime.get_job("job") is None


def test_a_job_that_does_not_fit_is_not_taken_in(boot: Boot, chain: Chain, in_memory: InMemory) -> None:
    job, flow = in_memory(chain(count)), Flow("flow")
    flow.add_routine(chain(count).remove_routine("a"), "other")
    runtime = boot(flow)

    with pytest.raises(FlowChangedError, match="the routine 'a' is gone"):
        runtime.exec(flow, job_state=job)
    assert runtime.get_job("job") is None


def test_only_a_job_of_a_known_flow_is_taken_in(boot: Boot, chain: Chain, in_memory: InMemory) -> None:
    flow = chain(count)
    job = in_memory(flow)

    with pytest.raises(FlowNotRegisteredError, match="'flow' is not registered"):
        boot().exec(flow, job_state=job)


def test_a_handler_takes_no_job_into_a_store(boot: Boot, chain: Chain, in_memory: InMemory) -> None:
    job, taking = in_memory(chain(count)), Flow("taking")
    seen: list[str] = []

    def take(self: Routine) -> None:
        try:
            runtime.exec(flow, job_state=job)
        except WaitInStepError as error:
            seen.append(str(error))

    flow = chain(count)
    taking.add_routine(chain(take).remove_routine("a"), "a")
    runtime = boot(flow, taking)
    assert runtime.exec(taking).wait(30)

    assert seen[0].startswith("A handler cannot wait for the job 'job' to be in the store.")
    assert runtime.get_job("job") is None
