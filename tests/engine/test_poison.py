"""Messages that the process dies of: handled alone after two deaths, set aside after the third."""

from collections.abc import Callable

import pytest

from actors.testing.stepped_dispatcher import SteppedDispatcher
from flowforge._engine.recovery import recover
from flowforge.activation_policies import all_slots_ready_policy
from flowforge.flow import Flow
from flowforge.job_state import JobState
from flowforge.records import MessageGivenUp, MessageSuspected
from flowforge.routine import Routine
from flowforge.runtime import Runtime
from flowforge.stores.codec import Codec
from flowforge.stores.memory import MemoryStore

Chain = Callable[..., Flow]


class Machine:
    """A store, and processes that live on it until they are killed."""

    def __init__(self, flow: Flow) -> None:
        self.flow = flow
        self.store = MemoryStore(Codec(), lambda: None)

    def boot(self) -> tuple[Runtime, SteppedDispatcher]:
        self.store.crash()
        dispatcher = SteppedDispatcher()
        return Runtime(dispatcher=dispatcher, store=self.store, flows=[self.flow], drains_at_exit=False), dispatcher

    def run(self, dispatcher: SteppedDispatcher, deadly: int, handled: list[int]) -> bool:
        """Go on, flushing whenever nothing else can run, until the job rests or `deadly` is being handled."""
        while deadly not in handled:
            if not dispatcher.step():
                if not self.store.waiting:
                    return True
                self.store.flush()
        return False


@pytest.fixture
def handled() -> list[int]:
    """The numbers that have been handled in the process that lives."""
    return []


@pytest.fixture
def machine(chain: Chain, handled: list[int]) -> Machine:
    def handle(self: Routine, n: int) -> None:
        handled.append(n)
        self.emit("out", n=n)

    return Machine(chain(handle))


def started(machine: Machine, *numbers: int) -> SteppedDispatcher:
    runtime, dispatcher = machine.boot()
    job = runtime.exec(machine.flow, job_id="job", keep_alive=True)
    for number in numbers:
        runtime.post(job, "a", None, {"n": number})
    machine.store.flush()
    return dispatcher


def recovered(machine: Machine) -> JobState:
    data, view, _ = recover(machine.store.records("job"), "job", 1000, 1000)
    return JobState(data, view, Codec())


def test_a_message_that_kills_three_times_is_set_aside(machine: Machine, handled: list[int]) -> None:
    machine.run(started(machine, 13, 1), 13, handled)
    for _ in range(2):
        handled.clear()
        assert not machine.run(machine.boot()[1], 13, handled)
    handled.clear()
    machine.run(machine.boot()[1], 13, handled)
    machine.store.flush()
    job = recovered(machine)

    assert handled == [1]
    assert [(letter.payload, letter.strategy) for letter in job.dead_letters] == [({"n": 13}, "poison")]
    assert job.dead_letters[0].reason.startswith("ProcessDied: The process died 3 times before anything was done")
    assert job.outputs == {"a.out": [{"n": 1}]}


def test_after_two_deaths_messages_are_handled_one_at_a_time(machine: Machine, handled: list[int]) -> None:
    machine.run(started(machine, 13, 1, 2), 13, handled)
    handled.clear()
    machine.run(machine.boot()[1], 13, handled)
    handled.clear()
    machine.run(machine.boot()[1], 99, handled)
    suspected = [r for r in machine.store.records("job") if isinstance(r, MessageSuspected)]

    assert handled == [13, 1, 2]
    assert len(suspected) == 3


def test_progress_between_the_deaths_clears_the_suspicion(machine: Machine, handled: list[int]) -> None:
    machine.run(started(machine, 1, 2, 13), 13, handled)
    machine.store.flush()
    for _ in range(1):
        handled.clear()
        machine.run(machine.boot()[1], 13, handled)
    handled.clear()
    machine.run(machine.boot()[1], 99, handled)

    assert not any(isinstance(record, MessageGivenUp) for record in machine.store.records("job"))
    assert 13 in handled


def test_a_letter_set_aside_can_be_requeued(machine: Machine, handled: list[int]) -> None:
    machine.run(started(machine, 13), 13, handled)
    for _ in range(2):
        handled.clear()
        machine.run(machine.boot()[1], 13, handled)
    runtime, dispatcher = machine.boot()
    (letter,) = runtime.dead_letters()
    runtime.requeue_dead_letter(letter.id)
    handled.clear()
    machine.run(dispatcher, 99, handled)

    assert handled == [13]
    assert runtime.dead_letters() == []


def test_a_message_alone_at_its_first_death_is_not_set_aside(machine: Machine, handled: list[int]) -> None:
    machine.run(started(machine, 13, 1), 13, handled)
    handled.clear()
    machine.run(machine.boot()[1], 13, handled)
    handled.clear()
    # 13 is done this time, and the process dies at 1 for the first time.
    machine.run(machine.boot()[1], 1, handled)
    handled.clear()
    machine.run(machine.boot()[1], 99, handled)

    assert not any(isinstance(record, MessageGivenUp) for record in machine.store.records("job"))


def test_what_merely_waits_is_not_suspected_however_often_the_process_is_killed() -> None:
    flow = Flow("flow")
    join = Routine()
    join.define_slot("left")
    join.define_slot("right")
    join.define_event("out")
    join.set_activation_policy(all_slots_ready_policy())
    join.set_logic(
        lambda slots, *_: join.emit("out", n=[payload["n"] for found in slots.values() for payload in found])
    )
    flow.add_routine(join, "join")
    machine = Machine(flow)
    runtime, dispatcher = machine.boot()
    job = runtime.exec(flow, job_id="job", keep_alive=True)
    runtime.post(job, "join", "left", {"n": 1})
    for _ in range(6):
        assert machine.run(dispatcher, 13, [])
        runtime, dispatcher = machine.boot()
    found = runtime.get_job("job")
    assert found is not None
    runtime.post(found, "join", "right", {"n": 2})
    assert machine.run(dispatcher, 13, [])

    assert (found.dead_letters, found.outputs) == ([], {"join.out": [{"n": [1, 2]}]})
