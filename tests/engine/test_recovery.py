"""Recovery: a job is the fold of its records, of all of them or of any prefix, and no user code is called for it."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from actors.testing.stepped_dispatcher import SteppedDispatcher
from benchmarks.stepped import flushing_store
from flowforge._engine.job_data import JobData, Retry
from flowforge._engine.recovery import recover
from flowforge._engine.view import JobView
from flowforge.flow import Flow
from flowforge.job_state import JobState
from flowforge.job_status import JobStatus
from flowforge.records import JobClosed, JobMoved, JobStarted, Record, RetryScheduled, StepFailed
from flowforge.routine import Routine
from flowforge.runtime import Runtime
from flowforge.stores.codec import Codec
from flowforge.stores.memory import MemoryStore
from tests.handlers import count, refuse, source

Graph = Callable[..., Flow]
MakeNode = Callable[..., Routine]
JOB = "job"


class Durable:
    """A runtime whose log can be read, on a dispatcher that is stepped."""

    def __init__(self, *flows: Flow, before: MemoryStore | None = None) -> None:
        self.dispatcher = SteppedDispatcher()
        self.store = flushing_store(self.dispatcher)
        for record in () if before is None else before.records(JOB):
            self.store.append(JOB, record)
            self.store.flush()
        self.runtime = Runtime(dispatcher=self.dispatcher, store=self.store, flows=flows, drains_at_exit=False)

    def exec(
        self, flow: Flow, entry: str | None = None, payload: dict[str, Any] | None = None, **options: Any
    ) -> JobState:
        self.runtime.register(flow)
        return self.runtime.exec(flow, entry, payload, job_id=JOB, **options)

    def records(self) -> list[Record]:
        self.store.flush()
        return self.store.records(JOB)

    def recovered(self) -> JobState:
        data, view, _ = recover(self.records(), JOB, 1000, 1000)
        return JobState(data, view, Codec())

    def run(self, steps: int | None = None) -> None:
        """Take so many steps, or all there are."""
        self.dispatcher.run_until_idle(steps)


@pytest.fixture
def durable() -> Iterator[Durable]:
    made = Durable()
    yield made
    made.runtime.shutdown(timeout=0)


def fold(records: list[Record]) -> tuple[JobData, JobView, bool]:
    return recover(records, JOB, 1000, 1000)


def attributes(data: JobData) -> dict[str, Any]:
    return {name: getattr(data, name) for name in JobData.__slots__ if name not in {"epoch", "retries"}}


def states(job: JobState) -> dict[tuple[str, int], Any]:
    """What the routines and replicas have in their states, those without any left out."""
    trees = job.view.trees
    return {owner: tree for owner, tree in trees.items() if any(tree.values())}


def mixed(graph: Graph, node: MakeNode) -> Flow:
    """A flow with a generator, replicas, dead letters, retries, merging and shared data."""

    def share(self: Routine, n: int) -> None:
        self.job_state.shared_data.add("sum", n)
        self.job_state.shared_log.append(n)
        self.emit("out", n=n)

    def fussy(self: Routine, n: int) -> None:
        if int(self.now()) % 3 < n % 3:
            raise ValueError(n)
        self.emit("out", n=n)

    retried, given_up, replicated = node(fussy), node(refuse), node(count)
    retried.set_as_critical(max_retries=20, retry_delay=1)
    given_up.set_as_optional("skip")
    replicated.set_concurrency(2)
    routines = {"s": source, "a": share, "b": retried, "c": replicated, "d": given_up}
    return graph(routines, "s.out -> a.input", "a.out -> b.input", "b.out -> c.input", "c.out -> d.input")


def test_every_prefix_of_a_log_is_a_job(durable: Durable, graph: Graph, node: MakeNode) -> None:
    durable.exec(mixed(graph, node), "s", {"n": 4})
    durable.run()
    records = durable.records()
    assert len(records) > 20

    for length in range(1, len(records) + 1):
        data, view, was_running = fold(records[:length])
        assert data.position == length
        assert was_running == (length < len(records))
        assert view.status is (JobStatus.PAUSED if was_running else JobStatus.COMPLETED)


def test_the_fold_of_a_paused_job_is_its_data(durable: Durable, graph: Graph, node: MakeNode) -> None:
    job = durable.exec(mixed(graph, node), "s", {"n": 4})
    for steps in range(1, 30):
        durable.run(steps)
        if job.status is JobStatus.COMPLETED:
            break
        job.pause("now", {"step": steps})
        assert attributes(durable.recovered().data) == attributes(job.data)
        assert states(durable.recovered()) == states(job)
        durable.runtime.resume_job(job)
    else:
        pytest.fail("the job does not come to its end")

    assert attributes(durable.recovered().data) == attributes(job.data)
    assert durable.recovered().outputs == job.outputs


def test_the_fold_calls_no_user_code(durable: Durable, graph: Graph) -> None:
    calls: list[int] = []

    def note(self: Routine, n: int) -> None:
        def update(old: object) -> int:
            calls.append(-1)
            return n

        calls.append(n)
        self.job_state.shared_data.update_with("calls", update)

    durable.exec(graph({"a": note}), "a", {"n": 1})
    durable.run()
    made = list(calls)

    assert durable.recovered().shared_data["calls"] == 1
    assert calls == made


def test_an_attempt_that_was_not_answered_does_not_count(durable: Durable, graph: Graph, node: MakeNode) -> None:
    routine = node(refuse)
    routine.set_as_critical(max_retries=3, retry_delay=1)
    durable.exec(graph({"a": routine}), "a", {"n": 1})
    durable.run()
    records = durable.records()
    failed = next(index for index, record in enumerate(records) if isinstance(record, StepFailed))

    unanswered, answered = fold(records[: failed + 1])[0], fold(records[: failed + 2])[0]

    assert isinstance(records[failed + 1], RetryScheduled)
    assert [message.attempt for message in unanswered.pending["a", "input"]] == [0]
    assert unanswered.retries == {}
    assert [message.attempt for message in answered.pending["a", "input"]] == [1]
    assert list(answered.retries.values()) == [Retry("a", 0, records[failed + 1].at + 1, 1)]


def test_the_progress_of_a_generator_is_not_taken_back(durable: Durable, graph: Graph, node: MakeNode) -> None:
    tries: list[int] = []

    def fail_once(self: Routine, n: int) -> Iterator[None]:
        tries.append(n)
        if len(tries) == 1:
            raise ValueError
        yield from source(self, n)

    routine = node(fail_once)
    routine.set_as_critical(max_retries=3, retry_delay=1)
    flow = graph({"a": routine})
    durable.exec(flow, "a", {"n": 9})
    while not any(isinstance(record, StepFailed) for record in durable.records()):
        durable.dispatcher.step()

    second = Durable(flow, before=durable.store)
    job = second.runtime.get_job(JOB)
    assert job is not None
    second.run(12)
    job.pause()

    assert attributes(second.recovered().data) == attributes(job.data)
    assert job.data.pending["a", "input"][0].progress > 0


def test_epoch_and_time_go_on_from_the_log(durable: Durable, graph: Graph, node: MakeNode) -> None:
    routine = node(refuse)
    routine.set_as_critical(max_retries=3, retry_delay=10)
    job = durable.exec(graph({"a": routine}), "a", {"n": 1}, timeout=1000)
    durable.run()

    data = durable.recovered().data
    assert (data.epoch, data.timeout) == (job.data.epoch, 1000)
    assert data.elapsed == job.data.elapsed == durable.dispatcher.clock.monotonic() > 10


def test_time_of_every_run_counts_though_none_came_to_rest() -> None:
    def moved(position: int, at: float) -> Record:
        return JobMoved(position=position, at=at, epoch=position, status="running")

    def closed(position: int, at: float) -> Record:
        return JobClosed(position=position, at=at, epoch=position)

    started = JobStarted(position=1, at=100.0, epoch=1, flow="flow", deliveries=(), is_kept_alive=True)

    data, _, was_running = fold([started, closed(2, 107.0), moved(3, 200.0), closed(4, 203.0), moved(5, 300.0)])

    assert was_running
    assert data.elapsed == pytest.approx(10)


def test_keys_and_entries_of_posts_are_kept(durable: Durable, graph: Graph) -> None:
    job = durable.exec(graph({"a": count}), keep_alive=True)
    for key in ("k1", "k2", "k1", None):
        durable.runtime.post(job, "a", "input", {"n": 1}, key=key)

    data = durable.recovered().data

    assert (data.entries, data.keys) == (3, {"k1", "k2"})
    assert data.is_kept_alive
    assert len(data.pending["a", "input"]) == 3
    job.close()
    assert not durable.recovered().data.is_kept_alive


def test_letters_are_kept_until_they_are_requeued_or_purged(durable: Durable, graph: Graph, node: MakeNode) -> None:
    routine = node(refuse)
    routine.set_as_optional("skip")
    job = durable.exec(graph({"a": routine}), keep_alive=True)
    for n in range(3):
        durable.runtime.post(job, "a", "input", {"n": n})
    durable.run()
    first, second, third = (letter.id for letter in durable.recovered().dead_letters)

    job.purge_dead_letter(second)
    job.requeue_dead_letter(first)

    data = durable.recovered().data
    assert list(data.dead_letters) == [third]
    assert data.letters == 3
    assert [message.payload for message in data.pending["a", "input"]] == [{"n": 0}]


def test_the_checkpoint_of_a_pause_is_kept(durable: Durable, graph: Graph) -> None:
    job = durable.exec(graph({"a": count}), "a", {"n": 1})
    job.pause("lunch", {"page": 3})

    again = durable.recovered()

    assert (again.status, again.pause_reason, again.checkpoint) == ("paused", "lunch", {"page": 3})


def test_initial_states_of_replicas_are_kept(durable: Durable, graph: Graph, node: MakeNode) -> None:
    routine = node(count, seen=10)
    routine.set_concurrency(3)
    job = durable.exec(graph({"a": routine}), "a", {"n": 1})
    durable.run()

    assert job.status is JobStatus.COMPLETED
    assert states(durable.recovered()) == states(job)
    assert durable.recovered().get_routine_state("a") == job.get_routine_state("a")
