"""Crashes anywhere in random flows, what may start before the disk has its message, and two stores that agree."""

import shutil
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import given, settings
from hypothesis import strategies as st

from actors.testing.stepped_dispatcher import SteppedDispatcher
from flowforge._engine.job_data import JobData
from flowforge._engine.recovery import recover
from flowforge.flow import Flow
from flowforge.job_state import JobState
from flowforge.records import Delivery, Record, StepCommitted, StepFailed
from flowforge.runtime import Runtime
from flowforge.stores.codec import Codec
from flowforge.stores.memory import MemoryStore
from flowforge.stores.sqlite import SqliteStore
from flowforge.stores.store import Store
from flowforge.testing.flow_shapes import FlowShape
from flowforge.testing.flow_strategies import MAX_N, flows
from flowforge.testing.outcomes import difference_of, outcome_of
from flowforge.testing.schedule import Schedule
from flowforge.testing.schedule_strategies import schedules
from flowforge.testing.simulated_run import SimulatedRun
from flowforge.testing.simulation import simulate

numbers = st.integers(0, MAX_N)
choices = st.lists(st.integers(0, 9), max_size=200)
CODEC = Codec()
JOB = "job"


def run_of(flow: Flow, n: int, schedule: Schedule) -> SimulatedRun:
    return simulate(flow, [{"n": n}], entry_routine_id="r0", schedule=schedule, is_durable=True, codec=CODEC)


def records_of(run: SimulatedRun) -> list[Record]:
    return [record for _, record in run.records]


@given(flows(confluent=True), numbers, schedules(crashes=2))
def test_crashes_change_nothing_that_a_confluent_flow_does(shape: FlowShape, n: int, schedule: Schedule) -> None:
    undisturbed = run_of(shape.build(), n, Schedule())

    crashed = run_of(shape.build(), n, schedule)

    assert difference_of(outcome_of(undisturbed, (), CODEC), outcome_of(crashed, (), CODEC)) is None


@given(flows(confluent=True), numbers)
def test_a_confluent_flow_does_in_a_store_what_it_does_in_memory(shape: FlowShape, n: int) -> None:
    """Payloads are passed by reference in memory, and as copies in a store."""
    in_memory = simulate(shape.build(), [{"n": n}], entry_routine_id="r0", codec=CODEC)

    durable = run_of(shape.build(), n, Schedule())

    assert difference_of(outcome_of(in_memory, (), CODEC), outcome_of(durable, (), CODEC)) is None


@given(flows(), numbers, schedules(crashes=2, errors=2))
def test_any_flow_rests_after_crashes_with_nothing_lost_or_doubled(
    shape: FlowShape, n: int, schedule: Schedule
) -> None:
    run = run_of(shape.build(), n, schedule)

    assert run.job_state.status in {"completed", "failed"}
    assert balance_of(records_of(run), run.job_state) == Counter()


def balance_of(records: list[Record], job: JobState) -> Counter[int]:
    """Each message's deliveries, without those that were consumed, given up on or are still there."""
    balance: Counter[int] = Counter()
    for record in records:
        balance.update(delivery.message.id for delivery in delivered_by(record))
        if getattr(record, "is_final", type(record).__name__ == "MessageGivenUp"):
            balance.subtract(message.id for message in getattr(record, "messages", ()))
    balance.subtract(message.id for messages in job.data.pending.values() for message in messages)
    return Counter({number: count for number, count in balance.items() if count})


def delivered_by(record: Record) -> tuple[Delivery, ...]:
    alone = getattr(record, "delivery", None)
    return getattr(record, "deliveries", ()) if alone is None else (alone,)


class NumberedStore(MemoryStore):
    """Knows the record that brought each message, and lists what steps consumed."""

    def __init__(self) -> None:
        super().__init__(CODEC, lambda: None)
        self.brought_by: dict[int, int] = {}
        self.consumed: list[tuple[str, int]] = []

    def append(self, job: str, record: Record) -> int:
        number = super().append(job, record)
        for delivery in delivered_by(record):
            self.brought_by.setdefault(delivery.message.id, number)
        if isinstance(record, StepCommitted | StepFailed):
            self.consumed += [(record.routine, message.id) for message in record.messages]
        return number


def steps_of(job: JobState) -> Iterator[tuple[str, int]]:
    """The routine and the message of each step that has begun."""
    for worker in () if job.live is None else job.live.everyone():
        for message in () if worker.step is None else worker.step.work.messages:
            yield worker.plan.id, message.id


@given(flows(), numbers, choices, st.sets(st.integers(0, 4)))
def test_no_step_starts_before_its_message_is_safe_unless_it_is_pure(
    shape: FlowShape, n: int, choices: list[int], pure: set[int]
) -> None:
    flow, store, dispatcher = shape.build(), NumberedStore(), SteppedDispatcher()
    names = {f"r{index}" for index in pure if index < len(shape.routines)}
    for name in names:
        flow.routines[name].set_pure()
    runtime = Runtime(dispatcher=dispatcher, store=store, flows=[flow], drains_at_exit=False)
    job = runtime.exec(flow, "r0", {"n": n}, job_id=JOB)

    try:
        for choice in choices:
            ready, safe = len(dispatcher.choices()), store.safe
            if choice == 9 or not ready:
                store.flush(min(choice, store.waiting))
                continue
            before = len(store.consumed)
            dispatcher.step(choice % ready)
            for name, message in [*steps_of(job), *store.consumed[before:]]:
                assert name in names or store.brought_by[message] <= safe
    finally:
        runtime.shutdown(wait=False)


@given(flows(), numbers, st.integers(0, 60), schedules())
def test_the_real_store_and_the_simulated_one_recover_the_same_job(
    shape: FlowShape, n: int, count: int, schedule: Schedule
) -> None:
    records = records_of(run_of(shape.build(), n, schedule))[:count]
    with TemporaryDirectory() as folder:
        path = Path(folder) / "jobs.db"
        real = SqliteStore(path, CODEC)
        simulated = MemoryStore(CODEC, lambda: None)
        for record in records:
            real.append(JOB, record)
            simulated.append(JOB, record)
        real.close()
        simulated.flush()
        reopened = SqliteStore(path, CODEC)
        try:
            assert recovered(reopened) == recovered(simulated)
            assert reopened.jobs() == simulated.jobs()
        finally:
            reopened.close()


def recovered(store: Store) -> JobData | None:
    records = store.records(JOB)
    return recover(records, JOB, 1000, 1000)[0] if records else None


@settings(max_examples=5)
@given(flows(confluent=True), numbers)
def test_a_file_copied_at_any_record_holds_what_was_acknowledged(shape: FlowShape, n: int) -> None:
    records = records_of(run_of(shape.build(), n, Schedule()))[:25]
    simulated = MemoryStore(CODEC, lambda: None)
    with TemporaryDirectory() as folder:
        real = SqliteStore(Path(folder) / "jobs.db", CODEC)
        try:
            for record in records:
                real.wait_until_safe(real.append(JOB, record))
                simulated.append(JOB, record)
                simulated.flush()
                assert of_a_copy(Path(folder)) == recovered(simulated)
        finally:
            real.close()


def of_a_copy(folder: Path) -> JobData | None:
    """What is recovered from the files as a killed process would have left them."""
    with TemporaryDirectory() as other:
        for path in folder.iterdir():
            if not path.name.endswith("-shm"):
                shutil.copy(path, other)
        store = SqliteStore(Path(other) / "jobs.db", CODEC)
        try:
            return recovered(store)
        finally:
            store.close()


@settings(max_examples=15)
@given(flows(confluent=True, policies=False, errors=False), numbers, st.lists(st.integers(0, 10), max_size=4))
def test_restarts_on_threads_change_nothing_that_a_confluent_flow_does(
    shape: FlowShape, n: int, milliseconds: list[int]
) -> None:
    undisturbed = run_of(shape.build(), n, Schedule())

    with TemporaryDirectory() as folder:
        job = restarted(shape.build(), n, f"sqlite:///{folder}/jobs.db", milliseconds)

    assert job.status == "completed"
    assert job.routine_states == undisturbed.job_state.routine_states
    assert dict(job.shared_data) == dict(undisturbed.job_state.shared_data)


def restarted(flow: Flow, n: int, url: str, milliseconds: list[int]) -> JobState:
    """The job at its end, after its runtime was shut down, its steps refused, that long after each start."""
    for wait in milliseconds:
        runtime = Runtime(3, store=url, flows=[flow])
        runtime.exec(flow, "r0", {"n": n}, job_id=JOB).wait(wait / 1000)
        runtime.shutdown(wait=False)
    with Runtime(3, store=url, flows=[flow]) as runtime:
        job = runtime.exec(flow, "r0", {"n": n}, job_id=JOB)
        assert job.wait(30)
    return job
