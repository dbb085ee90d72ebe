"""After a long absence the timers of a job that are overdue fire a hundred at once, in order, each once."""

from collections.abc import Callable

import pytest

from flowforge.flow import Flow
from flowforge.job_state import JobState
from flowforge.routine import Routine
from flowforge.testing.schedule import Schedule
from flowforge.testing.simulation import simulate
from tests.engine.jobs import found, numbers
from tests.engine.machine import Machine

Chain = Callable[..., Flow]


class Absence:
    """A job whose timers, number n at the second 10 + n / 10, were set before its process died."""

    def __init__(self, machine: Machine, chain: Chain, timers: int) -> None:
        self.machine = machine
        self.began = 0.0
        self.calls: list[tuple[float, int]] = []

        def remind(routine: Routine) -> None:
            for n in reversed(range(timers)):
                routine.emit_after(10 + n / 10, "out", n=n)

        self.flow = chain(remind, self.note)
        machine.boot(self.flow).exec(self.flow, job_id="job")
        machine.run(lets_time_pass=False)

    def note(self, routine: Routine, n: int) -> None:
        self.calls.append((round(self.machine.clock.monotonic() - self.began, 6), n))
        routine.emit("out", n=n)

    def end(self, *, after: float = 1000.0) -> JobState:
        """So many seconds later there is a process again."""
        self.machine.clock.advance(after)
        self.began = self.machine.clock.monotonic()
        self.calls.clear()
        return found(self.machine.boot(self.flow))


def test_a_hundred_overdue_timers_fire_each_ten_milliseconds(machine: Machine, chain: Chain) -> None:
    absence = Absence(machine, chain, timers=250)
    job = absence.end()
    machine.run()

    assert absence.calls == [(n // 100 / 100, n) for n in range(250)]
    assert job.status == "completed"


@pytest.mark.parametrize(("timers", "instants"), [(1, 1), (100, 1), (101, 2), (200, 2), (201, 3)])
def test_up_to_a_hundred_overdue_timers_fire_at_once(
    machine: Machine, chain: Chain, timers: int, instants: int
) -> None:
    absence = Absence(machine, chain, timers)
    absence.end()
    machine.run()

    assert len({at for at, _ in absence.calls}) == instants


def test_a_crash_leaves_timers_that_wait_to_the_next_start(machine: Machine, chain: Chain) -> None:
    absence = Absence(machine, chain, timers=250)
    absence.end()
    machine.run(lets_time_pass=False)
    assert [n for _, n in absence.calls] == [*range(100)]

    job = absence.end(after=0.0)
    machine.run()

    assert absence.calls == [((n - 100) // 100 / 100, n) for n in range(100, 250)]
    assert numbers(job, "b.out") == [*range(250)]


def test_a_pause_keeps_the_timers_that_had_to_wait(machine: Machine, chain: Chain) -> None:
    absence = Absence(machine, chain, timers=250)
    job = absence.end()
    machine.run(lets_time_pass=False)
    job.request_pause()
    machine.run()
    assert (job.status, len(job.data.timers)) == ("paused", 150)

    machine.runtime.resume_job(job)
    machine.run()

    assert numbers(job, "b.out") == [*range(250)]


def test_what_is_due_after_the_overdue_ones_fires_in_time(machine: Machine, chain: Chain) -> None:
    absence = Absence(machine, chain, timers=252)
    # Number 249 is due at this instant, and 250 a tenth of a second later.
    absence.end(after=34.9)
    machine.run()

    assert absence.calls[199:] == [(0.01, 199), *((0.02, n) for n in range(200, 250)), (0.1, 250), (0.2, 251)]


def test_what_becomes_due_meanwhile_does_not_overtake(machine: Machine, chain: Chain) -> None:
    absence = Absence(machine, chain, timers=252)
    absence.end(after=34.995)
    machine.run()

    assert absence.calls[249:] == [(0.02, 249), (0.02, 250), (0.105, 251)]


def test_what_a_step_sends_for_a_past_instant_is_sent_at_once(machine: Machine, chain: Chain) -> None:
    calls: list[float] = []

    def remind(routine: Routine) -> None:
        for _ in range(250):
            routine.emit_at(0.0, "out", n=1)

    flow = chain(remind, lambda routine, n: calls.append(machine.clock.monotonic()))
    machine.boot(flow).exec(flow, job_id="job")
    machine.run()

    assert (len(calls), len(set(calls))) == (250, 1)


@pytest.mark.parametrize("crash", [[2], [2, 150], [2, 260, 261, 400], [2, 30, 30, 500]])
def test_each_overdue_timer_fires_once_whenever_the_process_dies(chain: Chain, crash: list[int]) -> None:
    def remind(routine: Routine) -> None:
        for n in range(250):
            routine.emit_at(float(n), "out", n=n)

    def note(routine: Routine, n: int) -> None:
        routine.emit("out", n=n)

    run = simulate(chain(remind, note), schedule=Schedule(crash=crash))

    assert (run.status, run.crashes) == ("completed", len(crash))
    assert run.outputs == {"b.out": [{"n": n} for n in range(250)]}
