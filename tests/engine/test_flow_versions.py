"""A job at rest and a flow that has changed: it goes on if it fits, is migrated by hooks, or is refused and left."""

import logging
from collections.abc import Callable
from typing import Any

import pytest

from flowforge.durable_jobs import bases_for
from flowforge.error_handler import ErrorHandler, ErrorStrategy
from flowforge.flow import Flow
from flowforge.job_errors import FlowChangedError, MigrationFailedError, NoCursorError
from flowforge.job_migration import JobMigration
from flowforge.job_state import JobState
from flowforge.options import RuntimeOptions
from flowforge.records import JobMoved, JobReplaced
from flowforge.routine import Routine
from flowforge.runtime import Runtime
from flowforge.stores.codec import Codec
from flowforge.stores.codec_errors import UnencodableValueError
from flowforge.stores.store import History
from tests.engine.jobs import numbers
from tests.engine.machine import Machine as Process
from tests.handlers import count, refuse

Chain = Callable[..., Flow]
Graph = Callable[..., Flow]
MakeNode = Callable[..., Routine]


def count_m(self: Routine, m: int) -> None:
    count(self, m)


def nothing(job: JobMigration) -> None:
    pass


class Machine(Process):
    """A process with one job, whose messages may wait."""

    def run(self, *, lets_time_pass: bool = False, until: Callable[[], bool] = lambda: False) -> None:
        super().run(lets_time_pass=lets_time_pass, until=until)

    def left_waiting(self, flow: Flow, slot: str = "b", number: int = 3) -> None:
        """A process that was killed while messages waited in the slot `input` of a routine."""
        self.boot(flow).exec(flow, job_id="job", keep_alive=True)
        for n in range(number):
            self.runtime.post("job", slot, "input", {"n": n})
        self.store.flush()

    def job(self) -> JobState:
        job = self.runtime.get_job("job")
        assert job is not None
        return job

    def finished(self) -> JobState:
        self.job().close()
        self.run()
        return self.job()


@pytest.fixture
def machine() -> Machine:
    return Machine()


# What fits goes on


def test_a_job_goes_on_with_new_routines_and_handlers(machine: Machine, chain: Chain) -> None:
    machine.left_waiting(chain(count, count))

    machine.boot(chain(count, lambda self, n: self.emit("out", n=-n), count))

    assert numbers(machine.finished(), "c.out") == [0, -1, -2]


def test_a_change_is_noted_once_for_each_flow(machine: Machine, chain: Chain, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "flowforge")
    flow = chain(count)
    machine.boot(flow)
    for job_id in "one", "two":
        machine.runtime.exec(flow, job_id=job_id, keep_alive=True)
    machine.store.flush()

    machine.boot(chain(count, count))

    notes = [record.message for record in caplog.records if "has changed since" in record.message]
    assert len(notes) == 1
    assert notes[0].startswith(
        "The flow 'flow' has changed since the job 'one' ran with it, which goes on: the routine"
    )


def test_an_unchanged_flow_is_written_down_once(machine: Machine, chain: Chain) -> None:
    flow = chain(count)
    machine.left_waiting(flow, "a")
    machine.boot(flow)
    machine.finished()

    moves = [record for record in machine.store.records("job") if isinstance(record, JobMoved)]
    assert [record.fingerprint for record in moves] == [None, None]


def test_what_has_changed_is_written_down_with_the_resume(machine: Machine, chain: Chain) -> None:
    machine.left_waiting(chain(count), "a")
    machine.boot(chain(count, version=3))
    machine.store.flush()

    machine.boot(chain(count, version=3))

    assert machine.job().data.version == 3
    assert len([r for r in machine.store.records("job") if isinstance(r, JobMoved) and r.fingerprint]) == 1


def test_a_routine_that_is_gone_leaves_its_state_in_the_job(machine: Machine, chain: Chain) -> None:
    flow = chain(count, count)
    machine.boot(flow).exec(flow, entry_params={"n": 1}, job_id="job", keep_alive=True)
    machine.run()

    machine.boot(chain(count))
    job = machine.finished()

    assert (job.status, job.get_routine_state("b")) == ("completed", {"seen": 1})


# What does not fit is refused


def test_a_job_that_does_not_fit_is_left_with_the_difference(
    machine: Machine, chain: Chain, caplog: pytest.LogCaptureFixture
) -> None:
    machine.left_waiting(chain(count, count))

    runtime = machine.boot(chain(count))

    assert [job.id for job in runtime.left_jobs()] == ["job"]
    assert "the routine 'b' is gone with its slot 'input', and 3 messages wait there" in caplog.text
    with pytest.raises(FlowChangedError) as caught:
        runtime.resume_job("job")
    assert caught.value.difference == ("the routine 'b' is gone with its slot 'input', and 3 messages wait there",)
    assert (caught.value.job_id, caught.value.flow_id) == ("job", "flow")
    assert (caught.value.from_version, caught.value.to_version) == (1, 1)


def test_a_refusal_names_versions_and_remedy(machine: Machine, chain: Chain) -> None:
    machine.left_waiting(chain(count, count), number=1)

    difference = "the routine 'b' is gone with its slot 'input', and 1 message waits there"
    remedies = {
        1: "version=2 and a hook: flow.migrate(1, hook).",
        2: "let flow.migrate(1, hook) change the job.",
    }
    for version, remedy in remedies.items():
        with pytest.raises(FlowChangedError) as caught:
            machine.boot(chain(count, version=version)).resume_job("job")
        assert str(caught.value) == (
            f"The job 'job' of version 1 does not fit the flow 'flow' as it is now, in version {version}: "
            f"{difference}. Give the flow back what is gone, or {remedy}"
        )


def test_an_older_flow_is_no_flow_for_a_newer_job(machine: Machine, chain: Chain) -> None:
    machine.left_waiting(chain(count, version=3), "a")

    text = (
        r"in version 2: it has run with a later version\. Go on with the flow of version 3, or give this one a higher"
    )
    with pytest.raises(FlowChangedError, match=text):
        machine.boot(chain(count, version=2)).resume_job("job")


def test_a_left_job_goes_on_once_its_flow_has_a_hook(machine: Machine, chain: Chain) -> None:
    machine.left_waiting(chain(count, count))
    flow = chain(count, version=2)
    runtime = machine.boot(flow)

    flow.migrate(1, lambda job: job.move_messages("b", "input", "a", "input"))
    runtime.resume_job("job")

    assert runtime.left_jobs() == []
    assert numbers(machine.finished(), "a.out") == [0, 1, 2]


def test_a_retry_of_a_routine_that_is_gone_is_told(machine: Machine, chain: Chain) -> None:
    handler = ErrorHandler(ErrorStrategy.RETRY, max_retries=3, retry_delay=10.0)
    machine.left_waiting(chain(count, refuse, error_handler=handler), number=1)
    machine.run()

    with pytest.raises(FlowChangedError, match="the routine 'b' is gone, and a retry waits for it"):
        machine.boot(chain(count)).resume_job("job")


# Dead letters


def with_a_letter(machine: Machine, chain: Chain, *, is_kept_alive: bool) -> str:
    flow = chain(count, refuse, error_handler=ErrorHandler(ErrorStrategy.SKIP))
    machine.boot(flow).exec(flow, entry_params={"n": 1}, job_id="job", keep_alive=is_kept_alive)
    machine.run()
    [letter] = machine.job().dead_letters
    return letter.id


@pytest.mark.parametrize("is_kept_alive", [True, False])
def test_a_letter_to_a_slot_that_is_gone_is_not_requeued(machine: Machine, chain: Chain, is_kept_alive: bool) -> None:
    letter = with_a_letter(machine, chain, is_kept_alive=is_kept_alive)
    runtime = machine.boot(chain(count))
    status = machine.job().status

    text = rf"the routine 'b' is gone with its slot 'input', and the dead letter '{letter}' comes from there\."
    with pytest.raises(FlowChangedError, match=text):
        runtime.requeue_dead_letter(letter)

    assert [kept.id for kept in machine.job().dead_letters] == [letter]
    assert machine.job().status == status


def test_a_letter_of_an_older_version_is_migrated_when_it_is_requeued(machine: Machine, chain: Chain) -> None:
    letter = with_a_letter(machine, chain, is_kept_alive=False)
    flow = chain(count, version=2)
    flow.migrate(1, lambda job: job.move_messages("b", "input", "a", "input"))

    machine.boot(flow).requeue_dead_letter(letter)
    machine.run()

    assert (machine.job().status, numbers(machine.job(), "a.out")) == ("completed", [1])


def test_a_letter_whose_requeue_could_not_migrate_its_job_stays(machine: Machine, chain: Chain) -> None:
    letter = with_a_letter(machine, chain, is_kept_alive=False)
    flow = chain(count, version=2)
    failures = [ValueError("not yet")]

    def hook(job: JobMigration) -> None:
        if failures:
            raise failures.pop()
        job.move_messages("b", "input", "a", "input")

    flow.migrate(1, hook)
    runtime = machine.boot(flow)
    with pytest.raises(MigrationFailedError, match="not yet"):
        runtime.requeue_dead_letter(letter)
    between = machine.job().status, [kept.id for kept in machine.job().dead_letters], machine.store.waiting
    runtime.requeue_dead_letter(letter)
    machine.run()

    assert between == ("completed", [letter], 0)
    assert (machine.job().status, numbers(machine.job(), "a.out")) == ("completed", [1])


def test_a_letter_that_would_wait_in_vain_stays(machine: Machine, chain: Chain) -> None:
    letter = with_a_letter(machine, chain, is_kept_alive=False)
    flow = chain(count, version=2)
    flow.migrate(1, nothing)
    runtime = machine.boot(flow)

    with pytest.raises(FlowChangedError, match=r"and 1 message waits there\."):
        runtime.requeue_dead_letter(letter)

    assert (machine.job().status, len(machine.job().dead_letters)) == ("completed", 1)
    assert machine.store.waiting == 0


def test_a_crash_takes_a_reopening_and_the_return_of_its_letter_together(machine: Machine, chain: Chain) -> None:
    letter = with_a_letter(machine, chain, is_kept_alive=False)
    flow = chain(count, count)
    machine.boot(flow).requeue_dead_letter(letter)

    machine.store.flush(1)
    machine.boot(flow)
    machine.run()

    assert (machine.job().status, numbers(machine.job(), "b.out")) == ("completed", [1])


# Replicas


def replicated(graph: Graph, node: MakeNode, concurrency: int, **options: Any) -> Flow:
    routine = node(count)
    routine.set_concurrency(concurrency)
    return graph({"a": routine}, **options)


def test_the_state_of_a_replica_that_is_gone_is_not_lost_silently(
    machine: Machine, graph: Graph, node: MakeNode
) -> None:
    machine.left_waiting(replicated(graph, node, 3), "a")
    machine.run()

    with pytest.raises(FlowChangedError) as caught:
        machine.boot(replicated(graph, node, 1)).resume_job("job")

    assert caught.value.difference == (
        "the replica 1 of 'a' is gone, and its state is kept",
        "the replica 2 of 'a' is gone, and its state is kept",
    )


def test_a_replica_that_has_only_its_initial_state_may_go(machine: Machine, graph: Graph, node: MakeNode) -> None:
    def flow(concurrency: int) -> Flow:
        routine = node(count, seen=0)
        routine.set_concurrency(concurrency)
        return graph({"a": routine})

    machine.left_waiting(flow(3), "a", 1)
    machine.run()

    machine.boot(flow(1))

    assert machine.finished().get_routine_state("a") == {"seen": 1}


def test_the_states_of_replicas_are_brought_together_by_a_hook(machine: Machine, graph: Graph, node: MakeNode) -> None:
    def gather(job: JobMigration) -> None:
        states = job.replica_states("a")
        states[0]["seen"] = sum(state["seen"] for state in states.values())
        for replica in 1, 2:
            job.drop_replica("a", replica)

    machine.left_waiting(replicated(graph, node, 3), "a")
    machine.run()
    flow = replicated(graph, node, 1, version=2)
    flow.migrate(1, gather)

    machine.boot(flow)
    machine.runtime.post("job", "a", "input", {"n": 3})

    assert machine.finished().get_routine_state("a") == {"seen": 4}


@pytest.mark.parametrize(("before", "after"), [(1, 2), (2, 1)])
def test_what_a_slot_has_merged_outlives_a_change_of_replicas(machine: Machine, before: int, after: int) -> None:
    def flow(concurrency: int) -> Flow:
        made, routine = Flow("flow"), Routine()
        routine.define_slot("input", handler=lambda n: routine.emit("out", n=n), merge_strategy="append")
        routine.define_event("out")
        routine.set_concurrency(concurrency)
        made.add_routine(routine, "a")
        return made

    machine.left_waiting(flow(before), "a", 2)
    machine.run()
    for concurrency in after, before:
        machine.boot(flow(concurrency))
        machine.runtime.post("job", "a", "input", {"n": 10 * concurrency})
        machine.run()

    assert numbers(machine.finished(), "a.out")[-1] == [0, 1, 10 * after, 10 * before]


# Hooks


def test_hooks_lead_from_version_to_version(machine: Machine, chain: Chain) -> None:
    called: list[Any] = []

    def hook(job: JobMigration) -> None:
        called.append((job.job_id, job.flow_id, job.from_version, job.to_version))

    machine.left_waiting(chain(count), "a")
    flow = chain(count, version=5)
    for version in 4, 1, 2:
        flow.migrate(version, hook)

    machine.boot(flow)

    assert called == [("job", "flow", 1, 2), ("job", "flow", 2, 3), ("job", "flow", 4, 5)]
    assert machine.job().data.version == 5


def test_what_a_hook_made_of_a_job_is_not_made_again(machine: Machine, chain: Chain) -> None:
    calls: list[JobMigration] = []
    machine.left_waiting(chain(count), "a")
    flow = chain(count, version=2)
    flow.migrate(1, calls.append)

    for _ in range(3):
        machine.boot(flow)
        machine.store.flush()

    assert len(calls) == 1
    assert len([r for r in machine.store.records("job") if isinstance(r, JobReplaced)]) == 1


def test_a_job_that_was_interrupted_after_its_migration_goes_on(machine: Machine, chain: Chain) -> None:
    calls: list[JobMigration] = []
    machine.left_waiting(chain(count), "a")
    flow = chain(count, version=2)
    flow.migrate(1, calls.append)
    machine.boot(flow)
    machine.store.flush(1)

    machine.boot(flow)

    assert (len(calls), machine.job().status) == (1, "running")
    assert numbers(machine.finished(), "a.out") == [0, 1, 2]


def test_a_job_that_its_user_has_paused_is_migrated_when_it_is_resumed(machine: Machine, chain: Chain) -> None:
    machine.left_waiting(chain(count), "a")
    machine.job().pause("lunch", checkpoint=7)
    machine.store.flush()
    flow = chain(count, version=2)
    flow.migrate(1, lambda job: job.change_messages("a", "input", lambda payload: {"n": -payload["n"]}))

    machine.boot(flow)
    assert (machine.job().status, machine.job().checkpoint, machine.job().data.version) == ("paused", 7, 1)
    machine.runtime.resume_job("job")

    assert numbers(machine.finished(), "a.out") == [0, -1, -2]


def test_a_hook_that_raises_leaves_the_job_as_it_was(
    machine: Machine, chain: Chain, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(job: JobMigration) -> None:
        job.rename_routine("a", "x")
        job.shared_data["n"] = 1
        raise LookupError("no such thing")

    machine.left_waiting(chain(count), "a")
    flow, before = chain(count, version=2), len(machine.disk)
    flow.migrate(1, fail)

    runtime = machine.boot(flow)
    machine.store.flush()

    assert [job.id for job in runtime.left_jobs()] == ["job"]
    assert "The hook of the flow 'flow' for jobs of version 1 raised LookupError('no such thing')" in caplog.text
    with pytest.raises(
        MigrationFailedError, match=r"for the job 'job'\. Correct it: the job is left as it was"
    ) as caught:
        runtime.resume_job("job")
    assert isinstance(caught.value.__cause__, LookupError)
    assert (caught.value.job_id, caught.value.flow_id, caught.value.from_version) == ("job", "flow", 1)
    assert (len(machine.disk), dict(machine.job().shared_data), machine.job().data.version) == (before, {}, 1)


def test_what_a_hook_leaves_must_be_data(machine: Machine, chain: Chain) -> None:
    machine.left_waiting(chain(count), "a")
    flow, before = chain(count, version=2), len(machine.disk)
    flow.migrate(1, lambda job: job.shared_data.update(key=object()))

    with pytest.raises(UnencodableValueError, match="shared_data"):
        machine.boot(flow).resume_job("job")

    assert len(machine.disk) == before
    assert dict(machine.job().shared_data) == {}


def test_a_hook_that_does_not_make_it_fit_has_changed_nothing(machine: Machine, chain: Chain) -> None:
    machine.left_waiting(chain(count, count))
    flow = chain(count, version=2)
    flow.migrate(1, nothing)

    with pytest.raises(FlowChangedError, match=r"or let flow\.migrate\(1, hook\) change the job\."):
        machine.boot(flow).resume_job("job")

    assert machine.job().data.version == 1


def test_deaths_of_the_process_are_counted_through_a_migration(machine: Machine, chain: Chain) -> None:
    machine.left_waiting(chain(count), "a", 2)
    flow = chain(count, version=2)
    flow.migrate(1, nothing)

    for version in chain(count), flow, flow:
        machine.boot(version)
        machine.store.flush()

    assert [(letter.payload, letter.strategy) for letter in machine.job().dead_letters] == [({"n": 0}, "poison")]
    assert numbers(machine.finished(), "a.out") == [1]


def test_a_failed_job_is_migrated_and_tries_again(machine: Machine, chain: Chain) -> None:
    machine.left_waiting(chain(refuse), "a", 1)
    machine.run()
    flow = chain(count, version=2)
    flow.migrate(1, lambda job: job.shared_data.update(is_migrated=True))
    runtime = machine.boot(flow)
    assert machine.job().status == "failed"

    runtime.resume_job("job")
    machine.store.flush(1)
    machine.boot(flow)
    assert (machine.job().status, dict(machine.job().shared_data)) == ("failed", {"is_migrated": True})
    machine.runtime.resume_job("job")

    assert numbers(machine.finished(), "a.out") == [0]


# Shortened


def test_a_migrated_job_can_be_shortened_at_any_point(machine: Machine, chain: Chain) -> None:
    machine.left_waiting(chain(count), "a")
    flow = chain(count, version=2)
    flow.migrate(1, lambda job: job.state("a").update(seen=10))
    machine.boot(flow)
    machine.finished()
    records, bases = machine.store.records("job"), bases_for(Codec(), RuntimeOptions())

    for end in range(1, len(records) + 1):
        expected, view, goes_on = bases.recover("job", History(None, records[:end]))
        for cut in range(1, end + 1):
            base = bases.fold("job", History(None, records[:cut]))
            data, again, does_go_on = bases.recover("job", History(base, records[cut:end]))
            assert (data.version, data.position, data.pending) == (expected.version, end, expected.pending)
            assert (again.status, again.trees, does_go_on) == (view.status, view.trees, goes_on)


# In memory


def test_a_job_in_memory_is_migrated_too(stepped: Runtime, chain: Chain) -> None:
    job = stepped.exec(chain(count), keep_alive=True)
    stepped.post(job, "a", "input", {"n": 1})
    job.pause()
    flow = chain(count_m, version=2)
    flow.migrate(1, lambda job: job.change_messages("a", "input", lambda payload: {"m": payload["n"] + 1}))

    stepped.exec(flow, job_state=job)
    job.close()
    job.wait()

    assert (job.status, numbers(job, "a.out"), job.data.version) == ("completed", [2], 2)


def test_a_job_from_a_file_is_migrated_too(stepped: Runtime, chain: Chain) -> None:
    job = stepped.exec(chain(count), keep_alive=True)
    stepped.post(job, "a", "input", {"n": 1})
    job.pause()
    loaded = JobState.deserialize(job.serialize())
    flow = chain(count, version=2)
    flow.migrate(1, lambda job: job.state("a").update(seen=10))

    loaded.close()
    stepped.exec(flow, job_state=loaded).wait()

    assert loaded.get_routine_state("a") == {"seen": 11}


def test_a_file_that_names_no_fingerprint_holds_a_job_of_version_one(stepped: Runtime, chain: Chain) -> None:
    job = stepped.exec(chain(count), keep_alive=True)
    job.pause()
    tree = job.serialize()
    del tree["fingerprint"]

    assert JobState.deserialize(tree).data.version == 1
    assert JobState.deserialize(job.serialize()).data.fingerprint == job.data.fingerprint


def test_a_generator_without_a_cursor_is_refused_before_its_hooks(stepped: Runtime, chain: Chain) -> None:
    called: list[JobMigration] = []
    job = stepped.exec(chain(count), keep_alive=True)
    job.pause()
    job.data.lacks_cursor.append("a")
    flow = chain(count, version=2)
    flow.migrate(1, called.append)

    with pytest.raises(NoCursorError, match="cannot be resumed"):
        stepped.exec(flow, job_state=job)
    assert called == []
