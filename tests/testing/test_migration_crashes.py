"""A crash at each point of a run that begins with a migrated job, or with one taken in, makes no difference."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from flowforge.activation_policies import batch_size_policy
from flowforge.flow import Flow
from flowforge.job_migration import JobMigration
from flowforge.job_state import JobState
from flowforge.records import JobReplaced
from flowforge.routine import Routine
from tests.engine.jobs import found
from tests.engine.machine import Machine
from tests.handlers import source

Graph = Callable[..., Flow]
MakeNode = Callable[..., Routine]
Disk = list[tuple[str, bytes]]
JOB = "job"


def fussy(self: Routine, n: int) -> None:
    self.job_state.shared_data.add("tries", 0 if n else 1)
    if int(self.now()) % 3 < n % 3:
        raise ValueError(n)
    self.emit("out", n=n)


def remind(self: Routine, n: int) -> None:
    self.increment_stat("reminded")
    self.emit_after(n + 1.0, "out", n=n)


def refuse_odd(self: Routine, n: int) -> None:
    if n % 2:
        raise ValueError(n)
    self.increment_stat("seen")
    self.emit("out", n=n)


def refuse_odd_m(self: Routine, m: int) -> None:
    refuse_odd(self, m)


class Pairs(Routine):
    """Emits what comes in twos."""

    def __init__(self) -> None:
        super().__init__()
        self.define_slot("input")
        self.define_event("out")
        self.set_activation_policy(batch_size_policy(2))
        self.set_logic(self.pair)

    def pair(self, slots: dict[str, list[dict[str, Any]]], message: object, job: object) -> None:
        self.emit("out", n=[payload["n"] for payload in slots["input"]])


def routines(node: MakeNode, last: Callable[..., None]) -> list[Routine]:
    """A generator, retries, timers, replicas with dead letters, and half-filled pairs."""
    retried, replicated = node(fussy), node(last)
    retried.set_as_critical(max_retries=20, retry_delay=1)
    replicated.set_concurrency(2)
    replicated.set_as_optional("skip")
    return [node(source), retried, node(remind), replicated, Pairs()]


@pytest.fixture
def first(graph: Graph, node: MakeNode) -> Flow:
    """The flow in version 1."""
    made = dict(zip("sabcd", routines(node, refuse_odd), strict=True))
    return graph(made, "s.out -> a.input", "a.out -> b.input", "b.out -> c.input", "c.out -> d.input")


@pytest.fixture
def second(graph: Graph, node: MakeNode) -> Flow:
    """The flow in version 2: `b` is `beta`, and `c` is given `m`."""
    made = dict(zip(("s", "a", "beta", "c", "d"), routines(node, refuse_odd_m), strict=True))
    flow = graph(made, "s.out -> a.input", "a.out -> beta.input", "c.out -> d.input", version=2)
    flow.connect("beta", "out", "c", "input", {"n": "m"})
    return flow


class MortalMachine(Machine):
    """A machine that dies when so many records are on disk."""

    def __init__(self, disk: Disk, now: float, *, is_lazy: bool = False) -> None:
        super().__init__()
        self.clock.advance(now)
        self.disk = list(disk)
        self.is_lazy = is_lazy

    def live(self, point: int | None = None) -> bool:
        """Go on to the end; True if it died before, with so many records on disk."""
        while True:
            if point is not None and self.store.safe + self.store.waiting >= point:
                self.store.flush(max(0, point - self.store.safe))
                return True
            if not self.is_lazy:
                self.store.flush()
            if self.dispatcher.step():
                continue
            if self.store.waiting:
                self.store.flush()
            elif not self.dispatcher.advance_to_next():
                return False


def outcome(job: JobState) -> dict[str, Any]:
    """What a crash must not change, in an order of its own."""
    return {
        "status": str(job.status),
        "outputs": {name: sorted(map(repr, payloads)) for name, payloads in job.outputs.items()},
        "states": {name: state for name, state in job.routine_states.items() if state},
        "letters": sorted(repr((letter.routine, letter.payload)) for letter in job.dead_letters),
        "shared": sorted(job.shared_data),
        "version": job.data.version,
    }


def cuts_of(flow: Flow) -> Iterator[tuple[Disk, float]]:
    """What is on disk at each point of an undisturbed run, and the time then."""
    machine = MortalMachine([], 0.0)
    machine.boot(flow)
    machine.runtime.exec(flow, "s", {"n": 5}, job_id=JOB)
    began = machine.clock.now()
    machine.store.flush()
    while True:
        yield list(machine.disk), machine.clock.now() - began
        if not machine.dispatcher.step() and not machine.store.waiting and not machine.dispatcher.advance_to_next():
            return
        machine.store.flush()


@pytest.mark.parametrize("is_lazy", [False, True])
def test_a_migrated_job_outlives_any_crash(first: Flow, second: Flow, is_lazy: bool) -> None:
    calls: list[str] = []

    def hook(job: JobMigration) -> None:
        calls.append(job.job_id)
        job.rename_routine("b", "beta")
        job.change_messages("c", "input", lambda payload: {"m": payload["n"]})

    second.migrate(1, hook)
    crashes = 0
    for disk, now in list(cuts_of(first))[2:-4:7]:
        undisturbed = MortalMachine(disk, now, is_lazy=is_lazy)
        undisturbed.boot(second)
        undisturbed.live()
        assert found(undisturbed.runtime).status == "completed"
        assert sorted(n for pair in found(undisturbed.runtime).outputs["d.out"] for n in pair["n"]) == [0, 2, 4]
        for point in range(len(disk), len(undisturbed.disk) + 1):
            machine = MortalMachine(disk, now, is_lazy=is_lazy)
            calls.clear()
            machine.boot(second)
            crashes += machine.live(point)
            is_replaced = len(machine.disk) > len(disk)
            machine.boot(second)
            machine.live()
            assert outcome(found(machine.runtime)) == outcome(found(undisturbed.runtime)), (len(disk), point)
            assert len(calls) == (1 if is_replaced else 2)
            assert len([r for r in machine.store.records(JOB) if isinstance(r, JobReplaced)]) == 1
    assert crashes > 100


@pytest.mark.parametrize("is_lazy", [False, True])
def test_a_job_that_is_taken_in_outlives_any_crash(first: Flow, is_lazy: bool) -> None:
    def start(machine: MortalMachine) -> None:
        machine.boot(first)
        if machine.runtime.get_job(JOB) is None:
            machine.runtime.exec(first, job_state=JobState.deserialize(saved))

    crashes = 0
    for disk, now in list(cuts_of(first))[2:-4:9]:
        before = MortalMachine(disk, now)
        before.boot(first)
        found(before.runtime).request_pause()
        before.live()
        saved = found(before.runtime).serialize()
        undisturbed = MortalMachine([], now, is_lazy=is_lazy)
        start(undisturbed)
        undisturbed.live()
        assert found(undisturbed.runtime).status == "completed"
        for point in range(len(undisturbed.disk) + 1):
            machine = MortalMachine([], now, is_lazy=is_lazy)
            start(machine)
            crashes += machine.live(point)
            start(machine)
            machine.live()
            assert outcome(found(machine.runtime)) == outcome(found(undisturbed.runtime)), (len(disk), point)
    assert crashes > 100
