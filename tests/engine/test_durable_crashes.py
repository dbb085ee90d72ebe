"""What a crash takes, and what it must not: a runtime on a virtual clock whose disk is written by hand."""

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from actors.testing.stepped_dispatcher import SteppedDispatcher
from flowforge.activation_policies import (
    Activation,
    Waiting,
    all_slots_ready_policy,
    batch_size_policy,
    custom_policy,
    time_interval_policy,
)
from flowforge.error_handler import ErrorHandler, ErrorStrategy
from flowforge.flow import Flow
from flowforge.job_state import JobState
from flowforge.options import RuntimeOptions
from flowforge.records import Record, StepCommitted
from flowforge.routine import Routine
from flowforge.runtime import Runtime
from flowforge.stores.codec import Codec
from flowforge.stores.memory import MemoryStore
from tests.engine.jobs import found, numbers
from tests.engine.machine import Machine
from tests.handlers import count

Chain = Callable[..., Flow]


def pass_on(self: Routine, data: dict[str, Any], _message: object, _job: object) -> None:
    self.emit("out", n=[*data.values()])


def test_a_job_that_does_not_fit_is_left_and_the_others_go_on(
    machine: Machine, chain: Chain, caplog: pytest.LogCaptureFixture
) -> None:
    flow = chain(count, count)
    runtime = machine.boot(flow)
    for job_id in "one", "two":
        runtime.exec(flow, job_id=job_id, keep_alive=True)
    runtime.post("one", "b", "input", {"n": 1})
    machine.store.flush()

    runtime = machine.boot(chain(count))

    assert [job.id for job in runtime.left_jobs()] == ["one"]
    assert found(runtime, "two").status == "running"
    assert "The job 'one' was left as it is" in caplog.text


def test_attempts_and_delays_of_retries_outlive_a_crash(machine: Machine, chain: Chain) -> None:
    began, tries = machine.clock.now(), []

    def fail(self: Routine) -> None:
        tries.append(self.now() - began)
        raise ValueError

    handler = ErrorHandler(ErrorStrategy.RETRY, max_retries=3, retry_delay=10.0, retry_backoff=1.0)
    flow = chain(fail, error_handler=handler)
    machine.boot(flow).exec(flow, job_id="job")
    machine.run(until=lambda: len(tries) == 2)
    machine.run(lets_time_pass=False)
    machine.clock.advance(3)

    job = found(machine.boot(flow))
    machine.run()

    assert (tries, job.status) == ([0.0, 10.0, 20.0, 30.0], "failed")


def test_a_clock_that_is_set_back_lets_no_retry_and_no_interval_wait_longer(machine: Machine, chain: Chain) -> None:
    began, calls = machine.clock.monotonic(), []

    def fail_once(self: Routine) -> None:
        calls.append(machine.clock.monotonic() - began)
        if len(calls) == 1:
            raise ValueError
        self.emit("out", n=1)

    gathering = Routine()
    gathering.define_slot("input")
    gathering.set_activation_policy(time_interval_policy(20.0))
    gathering.set_logic(lambda *_: calls.append(machine.clock.monotonic() - began))
    flow = Flow("flow", ErrorHandler(ErrorStrategy.RETRY, max_retries=1, retry_delay=10.0))
    flow.add_routine(chain(fail_once).routines["a"], "a")
    flow.add_routine(gathering, "b")
    flow.connect("a.out", "b.input")
    machine.boot(flow).exec(flow, "a", job_id="job", keep_alive=True)
    machine.run(lets_time_pass=False)

    def has_called(times: int) -> bool:
        return len(calls) == times

    for times in 2, 3:
        machine.clock._start -= 3600  # noqa: SLF001 - the wall clock alone is set back
        machine.boot(flow)
        machine.run(until=partial(has_called, times))

    assert calls[0] == 0.0
    assert calls[1] <= 10.0
    assert calls[2] - calls[1] <= 20.0


def test_a_clock_that_is_set_back_lets_no_timer_wait_longer(machine: Machine, chain: Chain) -> None:
    flow = chain(lambda self: self.emit_after(10.0, "out", n=1), count)
    machine.boot(flow).exec(flow, job_id="job")
    machine.run(lets_time_pass=False)
    machine.clock._start -= 3600  # noqa: SLF001 - the wall clock alone is set back

    began = machine.clock.monotonic()
    job = found(machine.boot(flow))
    machine.run()

    assert numbers(job, "b.out") == [1]
    assert machine.clock.monotonic() - began <= 10.0


def test_a_crash_leaves_a_message_the_key_of_its_effects(machine: Machine, chain: Chain) -> None:
    keys: list[str] = []
    flow = chain(lambda self: keys.append(self.idempotency_key()))
    machine.boot(flow).exec(flow, job_id="job")
    for _ in range(2):
        machine.store.flush()
        machine.dispatcher.run_until_idle()
        # What it did is not on disk when it dies.
        machine.boot(flow)
    machine.run()

    assert len(keys) == 3
    assert len(set(keys)) == 1


def test_overdue_timers_fire_once_in_their_order(machine: Machine, chain: Chain) -> None:
    def remind(self: Routine) -> None:
        self.emit_after(20.0, "out", n=2)
        self.emit_after(10.0, "out", n=1)

    flow = chain(remind, count)
    machine.boot(flow).exec(flow, job_id="job")
    machine.run(lets_time_pass=False)
    machine.clock.advance(100)

    for _ in range(3):
        machine.boot(flow)
        machine.run()

    assert numbers(found(machine.runtime), "b.out") == [1, 2]


def test_the_time_while_nothing_ran_does_not_count_for_a_timeout(machine: Machine, chain: Chain) -> None:
    flow = chain(count)
    machine.boot(flow).exec(flow, job_id="job", keep_alive=True, timeout=50.0)
    machine.run(lets_time_pass=False)
    machine.clock.advance(1000)

    job = found(machine.boot(flow))
    machine.run(lets_time_pass=False)
    job.close()
    machine.run()

    assert job.status == "completed"


def test_half_a_batch_and_half_a_pair_wait_for_the_rest(machine: Machine) -> None:
    flow = Flow("flow")
    for routine_id, slots, policy in [
        ("a", ["input"], batch_size_policy(3)),
        ("b", ["left", "right"], all_slots_ready_policy()),
    ]:
        routine = Routine()
        for slot in slots:
            routine.define_slot(slot)
        routine.define_event("out")
        routine.set_activation_policy(policy)
        routine.set_logic(partial(pass_on, routine))
        flow.add_routine(routine, routine_id)
    inputs = [("a", "input"), ("b", "left"), ("a", "input"), ("b", "right"), ("a", "input")]

    machine.boot(flow).exec(flow, job_id="job", keep_alive=True)
    for n, (routine_id, slot) in enumerate(inputs):
        machine.runtime.post("job", routine_id, slot, {"n": n})
        machine.run()
        machine.boot(flow)
    job = found(machine.runtime)

    assert numbers(job, "a.out") == [[[{"n": 0}, {"n": 2}, {"n": 4}]]]
    assert numbers(job, "b.out") == [[[{"n": 1}], [{"n": 3}]]]


def test_each_replica_keeps_its_own_retry(machine: Machine) -> None:
    began, tries = machine.clock.now(), []

    def fail_once(n: int) -> None:
        tries.append((n, machine.clock.now() - began))
        if len(tries) <= 2:
            raise ValueError(n)

    flow = Flow("flow", ErrorHandler(ErrorStrategy.RETRY, max_retries=3, retry_delay=10.0))
    routine = Routine()
    routine.define_slot("input", handler=fail_once)
    routine.set_concurrency(2)
    flow.add_routine(routine, "a")
    machine.boot(flow).exec(flow, job_id="job", keep_alive=True)
    for n in range(2):
        machine.runtime.post("job", "a", "input", {"n": n})
        machine.run(lets_time_pass=False)
        machine.clock.advance(4)

    machine.boot(flow)
    machine.run()

    assert tries == [(0, 0.0), (1, 4.0), (0, 10.0), (1, 14.0)]


def test_restarts_before_a_crash_count_for_the_budget(machine: Machine) -> None:
    starts = []

    class Broken(Routine):
        def __init__(self) -> None:
            super().__init__()
            self.define_slot("input", handler=lambda: None)

        def on_start(self) -> None:
            starts.append(machine.clock.monotonic())
            raise OSError("no disk")

    flow = Flow("flow")
    flow.add_routine(Broken(), "a")
    machine.boot(flow).exec(flow, job_id="job")
    machine.run(until=lambda: len(starts) == 3)
    machine.run(lets_time_pass=False)

    job = found(machine.boot(flow))
    machine.run()

    assert (len(starts), job.status) == (4, "failed")


def test_a_policy_knows_its_last_activation_after_a_crash(machine: Machine, chain: Chain) -> None:
    def decide(waiting: Waiting) -> Activation | None:
        is_due = waiting.last_activation is None or waiting.now >= waiting.last_activation + 10
        return Activation({"input": 1}) if waiting.counts["input"] and is_due else None

    began, calls = machine.clock.now(), []
    routine = Routine()
    routine.define_slot("input")
    routine.set_activation_policy(custom_policy(decide, next_check=lambda _: 1.0))
    routine.set_logic(lambda *_: calls.append(machine.clock.now() - began))
    flow = Flow("flow")
    flow.add_routine(routine, "a")
    machine.boot(flow).exec(flow, job_id="job", keep_alive=True)
    for _ in range(2):
        machine.runtime.post("job", "a", "input", {})
    machine.run(until=lambda: bool(calls))
    machine.run(lets_time_pass=False)
    machine.clock.advance(4)

    machine.boot(flow)
    machine.run(until=lambda: len(calls) == 2)

    assert calls == [0.0, 10.0]


def test_a_job_that_was_let_go_is_the_same_object_while_it_is_held(machine: Machine, chain: Chain) -> None:
    flow = chain(count)
    machine.boot(flow)
    machine.runtime = runtime = Runtime(
        dispatcher=machine.dispatcher,
        store=machine.store,
        flows=[flow],
        options=RuntimeOptions(max_finished_jobs=1),
        drains_at_exit=False,
    )
    jobs = [runtime.exec(flow, job_id=f"job-{n}") for n in range(3)]
    machine.run()

    assert [job.job_id for job in runtime.list_jobs()] == ["job-2"]
    assert runtime.get_job("job-0") is jobs[0]


def few_finished(machine: Machine, flow: Flow) -> Runtime:
    machine.boot(flow)
    options = RuntimeOptions(max_finished_jobs=1)
    return Runtime(
        dispatcher=machine.dispatcher, store=machine.store, flows=[flow], options=options, drains_at_exit=False
    )


def test_what_was_done_to_a_job_that_was_let_go_is_seen_by_who_looks_next(machine: Machine, chain: Chain) -> None:
    flow = chain(count)
    runtime = machine.runtime = few_finished(machine, flow)
    for name in "ab":
        runtime.exec(flow, job_id=name)
        machine.run()
    for n in range(4):
        found(runtime, "a").shared_data[str(n)] = n
        found(runtime, "b")

    assert dict(found(runtime, "a").shared_data) == {"0": 0, "1": 1, "2": 2, "3": 3}
    machine.run()
    positions = [record.position for record in machine.store.records("a")]
    assert positions == list(range(1, len(positions) + 1))


def test_a_routine_that_cannot_be_made_fails_its_job_and_no_other(machine: Machine) -> None:
    class Fragile(Routine):
        def __init__(self, name: str) -> None:
            super().__init__()
            self.define_slot("input", handler=self.handle)
            self.define_event("out")
            if name in broken:
                raise OSError("no connection")

        def handle(self, n: int) -> None:
            self.emit("out", n=n)

    broken = set[str]()
    flows = [Flow(name) for name in "xyz"]
    for flow in flows:
        flow.add_routine(Fragile(flow.flow_id), "a")
    runtime = machine.boot(*flows)
    for flow in flows:
        runtime.exec(flow, "a", {"n": 1}, job_id=flow.flow_id)
    machine.store.flush()
    broken.add("y")

    machine.boot(*flows)
    machine.run()
    statuses = [found(machine.runtime, name).status for name in "xyz"]
    broken.clear()
    machine.runtime.resume_job("y")
    machine.run()

    assert statuses == ["completed", "failed", "completed"]
    assert [numbers(found(machine.runtime, name)) for name in "xyz"] == [[1], [1], [1]]


# What is seen before it is on disk


def test_completed_is_seen_when_its_record_is_on_disk(machine: Machine, chain: Chain) -> None:
    flow = chain(count)
    job = machine.boot(flow).exec(flow, job_id="job")
    machine.store.flush()
    machine.dispatcher.run_until_idle()

    assert machine.store.waiting
    assert (job.status, job.is_resting) == ("running", False)
    machine.run()
    assert (job.status, job.is_resting) == ("completed", True)


def test_an_output_handler_is_called_when_the_step_is_on_disk(machine: Machine, chain: Chain) -> None:
    handled = []
    flow = chain(lambda self: self.send_output("it", n=1))
    job = machine.boot(flow).exec(flow, job_id="job", keep_alive=True)
    job.set_output_handler(lambda *output: handled.append(output[-1]))
    machine.runtime.post(job, "a", "input", {})
    machine.store.flush()
    machine.dispatcher.run_until_idle()

    assert (machine.store.waiting, handled) == (1, [])
    machine.run()
    assert handled == [{"n": 1}]


# A writer in another thread, at its worst


class Hasty(MemoryStore):
    """Makes records safe at instants that a test chooses, and calls back late."""

    def __init__(self) -> None:
        super().__init__(Codec(), lambda: None)
        self.late: list[Callable[[], None]] = []
        self.steps = 0
        self.is_quick_at = 0
        self.fills_up = False

    def call_when_safe(self, number: int, callback: Callable[[], None]) -> None:
        self.late.append(callback)

    def append(self, job: str, record: Record) -> int:
        number = super().append(job, record)
        self.steps += isinstance(record, StepCommitted)
        if self.steps == self.is_quick_at:
            self.flush()
        return number

    @property
    def is_full(self) -> bool:
        """True once; by the time that somebody hears of it, all is on disk."""
        was_full, self.fills_up = self.fills_up, False
        if was_full:
            self.flush()
        return was_full

    def catch_up(self) -> None:
        self.flush()
        late, self.late = self.late, []
        for callback in late:
            callback()


def run_with(store: Hasty, flow: Flow) -> JobState:
    dispatcher = SteppedDispatcher()
    runtime = Runtime(dispatcher=dispatcher, store=store, flows=[flow], drains_at_exit=False)
    job = runtime.exec(flow, job_id="job", keep_alive=True)
    for n in range(3):
        runtime.post(job, "a", "input", {"n": n})
    for _ in range(20):
        store.catch_up()
        dispatcher.run_until_idle()
    return job


def test_order_holds_when_the_disk_is_quicker_than_its_callbacks(chain: Chain) -> None:
    store = Hasty()
    store.is_quick_at = 2

    job = run_with(store, chain(count, count))

    assert numbers(job, "b.out") == [0, 1, 2]


def test_a_log_that_is_full_for_a_moment_stalls_nobody_for_ever(chain: Chain) -> None:
    class Full(Hasty):
        def catch_up(self) -> None:
            if self.late or not self.waiting:
                super().catch_up()
            elif not self.steps:
                super().catch_up()
                self.fills_up = True

    store = Full()

    job = run_with(store, chain(count))

    assert numbers(job) == [0, 1, 2]


def test_a_letter_requeued_before_the_hooks_have_run_outlives_a_crash(machine: Machine, chain: Chain) -> None:
    seen: list[int] = []

    def refuse_once(self: Routine, n: int = 0) -> None:
        seen.append(n)
        if len(seen) == 1:
            raise ConnectionError

    flow = chain(refuse_once, error_handler=ErrorHandler(ErrorStrategy.SKIP))
    job = machine.boot(flow).exec(flow, job_id="job", entry_params={"n": 7})
    machine.run(until=lambda: bool(seen))
    while job.live is not None and not job.live.is_over:
        machine.store.flush()
        machine.dispatcher.step()
    assert not job.is_resting
    job.requeue_dead_letter(job.dead_letters[0].id)

    machine.store.flush()

    again = found(machine.boot(flow))
    machine.run()

    assert (seen, again.status, again.dead_letters) == ([7, 7], "completed", [])
