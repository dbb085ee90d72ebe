"""Kills at any frame, and in the middle of one: the real store and the simulated one recover the same job."""

from collections import Counter
from typing import Any, NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.testing.manual_clock import ManualClock
from actors.testing.stepped_dispatcher import SteppedDispatcher
from flowforge._engine.recovery import recover
from flowforge.flow import Flow
from flowforge.job_state import JobState
from flowforge.stores.codec import Codec
from flowforge.stores.store import KnownJob, Store
from flowforge.stores.store_errors import StoreDamagedError
from flowforge.testing.flow_shapes import FlowShape
from flowforge.testing.flow_strategies import MAX_N, flows
from property_tests.paced_store import (
    Files,
    Moment,
    PacedMemory,
    PacedSqlite,
    PacedStore,
    come_to_rest,
    copied,
    store_path,
)
from tests.engine.machine import InlineRuntime

JOB = "job"
CODEC = Codec()
ORDERS = ["first", "last", "flush", "group", "tidy"]
TURNS_IN_GROUP = 10
MANY = 10_000

some = settings(max_examples=max(10, settings().max_examples // 2))
shares = st.lists(st.floats(0, 1, exclude_max=True), min_size=1, max_size=3)
"""Where in a run it is killed, and how much the disk has got of what is written then."""


class Case(NamedTuple):
    """A job, and in which order its steps are taken; pure routines run ahead of the disk."""

    shape: FlowShape
    n: int
    is_pure: bool
    orders: list[str]

    def build(self) -> Flow:
        flow = self.shape.build()
        for routine in flow.routines.values() if self.is_pure else ():
            routine.set_pure()
        return flow


def cases(shapes: st.SearchStrategy[FlowShape]) -> st.SearchStrategy[Case]:
    orders = st.lists(st.sampled_from(ORDERS), max_size=60)
    return st.builds(Case, shapes, st.integers(0, MAX_N), st.booleans(), orders)


class Process:
    """A runtime on a store, whose choices are made by the test."""

    def __init__(self, case: Case, store: PacedStore, clock: ManualClock) -> None:
        self.store = store
        self.flow = case.build()
        self.dispatcher = SteppedDispatcher(clock)
        self.runtime = InlineRuntime(dispatcher=self.dispatcher, store=store, flows=[self.flow], drains_at_exit=False)

    def obey(self, order: str) -> None:
        ready = len(self.dispatcher.choices())
        if order == "group":
            self.store.begin_group()
            self.dispatcher.run_until_idle(TURNS_IN_GROUP)
            self.store.end_group()
        elif order == "tidy":
            self.store.tidy()
        elif order == "flush" or not ready:
            self.store.flush()
        else:
            self.dispatcher.step(0 if order == "first" else ready - 1)


def run(case: Case, store: PacedStore, instant: float = 0.0) -> JobState:
    """The job at its end: the one that is in the store, or, as nobody was told of one, the same once more."""
    clock = ManualClock()
    clock.advance_to(instant)
    process = Process(case, store, clock)
    store.monotonic = clock.monotonic
    job = process.runtime.exec(process.flow, "r0", {"n": case.n}, job_id=JOB)
    for order in case.orders:
        process.obey(order)
    come_to_rest(process.dispatcher, store)
    process.runtime.shutdown(wait=False)
    return job


def moments_of(case: Case, shares: list[float], records: int) -> list[Moment]:
    """What would be left of a run by kills at some of its records."""
    wanted = {1 + int(share * records) for share in shares}
    with store_path() as path, PacedSqlite(path, lambda numbers: not wanted.isdisjoint(numbers)) as store:
        run(case, store)
    return store.moments


def recovered(store: Store) -> Any:
    """All that a boot would know of the job."""
    if not (records := store.records(JOB)):
        return None
    data, view, goes_on = recover(records, JOB, MANY, MANY)
    return data, view.trees, view.outputs, view.status, view.reason, goes_on


def known(store: Store) -> list[KnownJob]:
    """A file has the times of jobs in microseconds."""
    return [job._replace(changed=round(job.changed, 6)) for job in store.jobs()]


def read(files: Files) -> Any:
    with copied(files) as path, PacedSqlite(path) as store:
        return recovered(store)


def outcome(job: JobState) -> dict[str, Any]:
    """What does not depend on the order of steps."""
    letters = [(letter.routine, letter.slots, letter.payload) for letter in job.dead_letters]
    return {
        "status": str(job.status),
        "states": {routine: state for routine, state in job.routine_states.items() if state},
        "shared data": dict(job.shared_data),
        "dead letters": bag(letters),
        **{name: bag(payloads) for name, payloads in job.outputs.items()},
    }


def bag(values: list[Any]) -> Counter[bytes]:
    return Counter(CODEC.canonical(value) for value in values)


@some
@given(cases(flows()), shares)
def test_a_kill_at_any_frame_leaves_both_stores_with_the_same_job(case: Case, shares: list[float]) -> None:
    undisturbed = PacedMemory()
    run(case, undisturbed)

    for moment in moments_of(case, shares, undisturbed.safe):
        simulated = PacedMemory(undisturbed.disk[: moment.safe])
        with copied(moment.files) as path, PacedSqlite(path) as real:
            assert recovered(real) == recovered(simulated)
            for store in simulated, real:
                run(case, store, moment.instant)
            assert real.records(JOB) == simulated.records(JOB)
            assert known(real) == known(simulated)


@some
@given(cases(flows(confluent=True)), shares)
def test_a_job_comes_to_the_same_end_from_any_frame(case: Case, shares: list[float]) -> None:
    undisturbed = PacedMemory()
    expected = outcome(run(case, undisturbed))

    for moment in moments_of(case, shares, undisturbed.safe):
        with copied(moment.files) as path, PacedSqlite(path) as store:
            assert outcome(run(case, store, moment.instant)) == expected


@some
@given(cases(flows()), shares)
def test_a_torn_frame_is_as_if_it_had_not_been_written(case: Case, shares: list[float]) -> None:
    undisturbed = PacedMemory()
    run(case, undisturbed)

    for moment in moments_of(case, shares, undisturbed.safe):
        expected = recovered(PacedMemory(undisturbed.disk[: moment.safe_before]))
        for files in (torn for share in shares for torn in moment.torn(share)):
            assert read(files) == expected
            if moment.safe > moment.safe_before:
                with pytest.raises(StoreDamagedError, match="which were safe, are not in it"):
                    read({**files, ".lock": moment.files[".lock"]})
        assert read({**moment.files, ".lock": moment.before[".lock"]}) == read(moment.files)
