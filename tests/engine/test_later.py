"""Emitting later: a payload that an event sends at some instant, whatever happens until then."""

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from actors.testing.stepped_dispatcher import SteppedDispatcher
from flowforge.flow import Flow
from flowforge.job_errors import FlowChangedError
from flowforge.job_state import JobState
from flowforge.option_errors import OptionError
from flowforge.routine import Routine
from flowforge.routine_errors import ForeignStepError, OutsideStepError
from flowforge.runtime import Runtime
from flowforge.testing.equivalence import assert_crash_equivalent
from flowforge.testing.schedule import Schedule
from flowforge.testing.simulation import simulate
from tests.engine.jobs import numbers

Chain = Callable[..., Flow]


def remind(self: Routine, n: int = 1) -> None:
    self.emit_after(10.0 * n, "out", n=n)


def note(self: Routine, n: int) -> None:
    self.state["at"] = self.now()
    self.emit("out", n=n)


def test_a_payload_is_sent_when_its_time_has_come(
    stepped: Runtime, dispatcher: SteppedDispatcher, chain: Chain
) -> None:
    job = stepped.exec(chain(remind, note))
    began = dispatcher.clock.now()

    assert job.wait(9.0) is False
    assert (job.status, numbers(job, "b.out")) == ("running", [])
    assert job.wait(2.0)
    assert job.get_routine_state("b") == {"at": began + 10.0}


def test_an_output_can_be_sent_later_too(runtime: Runtime, chain: Chain) -> None:
    def soon(self: Routine) -> None:
        self.emit_after(0.01, "out", n=1)

    job = runtime.exec(chain(soon))

    assert job.wait(30)
    assert (job.status, numbers(job, "a.out")) == ("completed", [1])


def test_timers_fire_in_the_order_of_their_instants(stepped: Runtime, chain: Chain) -> None:
    def both(self: Routine) -> None:
        self.emit_after(2.0, "out", n=2)
        self.emit_after(1.0, "out", n=1)
        self.emit("out", n=0)

    job = stepped.exec(chain(both, note))
    job.wait()

    assert numbers(job, "b.out") == [0, 1, 2]


@pytest.mark.parametrize("kind", ["seconds", "datetime", "past"])
def test_an_instant_is_a_datetime_or_seconds(
    stepped: Runtime, dispatcher: SteppedDispatcher, chain: Chain, kind: str
) -> None:
    now = dispatcher.clock.now()
    instants: dict[str, datetime | float] = {
        "seconds": now + 5,
        "datetime": datetime.fromtimestamp(now + 5, UTC),
        "past": now - 5,
    }

    def at(self: Routine) -> None:
        self.emit_at(instants[kind], "out", n=1)

    job = stepped.exec(chain(at, note))
    job.wait()

    assert job.get_routine_state("b") == {"at": now + (0 if kind == "past" else 5)}


def test_a_step_that_fails_sets_no_timer(stepped: Runtime, chain: Chain) -> None:
    def fail(self: Routine) -> None:
        self.emit_after(1.0, "out", n=1)
        raise ValueError

    flow = chain(fail, note)
    flow.routines["a"].set_as_optional()
    job = stepped.exec(flow)
    job.wait()

    assert (job.status, numbers(job, "b.out"), job.data.timers) == ("completed", [], {})


def test_a_pause_keeps_timers_and_an_overdue_one_fires_at_once(
    stepped: Runtime, dispatcher: SteppedDispatcher, chain: Chain
) -> None:
    job = stepped.exec(chain(remind, note))
    job.wait(1.0)
    job.pause()
    assert len(job.data.timers) == 1
    dispatcher.clock.advance(100.0)
    resumed_at = dispatcher.clock.now()
    stepped.resume_job(job).wait()

    assert job.get_routine_state("b") == {"at": resumed_at}
    assert numbers(job, "b.out") == [1]


def test_a_saved_job_keeps_its_timers(stepped: Runtime, chain: Chain, tmp_path: Path) -> None:
    def both(self: Routine) -> None:
        self.emit_after(5.0, "out", n=1)
        self.emit_after(6.0, "extra", n=2)

    flow = chain(both, note)
    flow.routines["a"].define_event("extra")
    job = stepped.exec(flow)
    job.wait(1.0)
    job.pause()
    job.save(tmp_path / "job.json")
    loaded = JobState.load(tmp_path / "job.json")

    assert loaded.data.timers == job.data.timers
    assert stepped.exec(flow, job_state=loaded).wait()
    assert (numbers(loaded, "b.out"), numbers(loaded, "a.extra")) == ([1], [2])


def test_a_timer_for_a_slot_that_has_gone_is_refused(stepped: Runtime, chain: Chain) -> None:
    job = stepped.exec(chain(remind, note))
    job.wait(1.0)
    job.pause()

    with pytest.raises(FlowChangedError, match=r"the routine 'b' is gone with its slot 'input', and 1 timer is set"):
        stepped.exec(chain(remind), job_state=job)


def test_timers_outlive_a_crash_at_any_point(chain: Chain) -> None:
    flow = chain(remind, note)
    flow.routines["b"].state["at"] = 0.0

    assert assert_crash_equivalent(flow, [{"n": 2}, {"n": 1}], ignoring=["b"]) > 10


def test_a_timer_fires_once_however_often_the_process_dies(chain: Chain) -> None:
    for count in range(12):
        run = simulate(chain(remind, note), [{"n": 1}], schedule=Schedule(crash=[count, count + 1, count + 2]))

        assert (run.status, run.outputs) == ("completed", {"b.out": [{"n": 1}]})


@pytest.mark.parametrize("seconds", [-1.0, float("nan"), float("inf"), "1", None, True])
def test_what_is_no_amount_of_seconds_is_refused(stepped: Runtime, chain: Chain, seconds: object) -> None:
    errors: list[OptionError] = []

    def wrong(self: Routine) -> None:
        with pytest.raises(OptionError, match=r"emit_after of the routine 'a'") as raised:
            self.emit_after(seconds, "out", n=1)  # type: ignore[arg-type]  # that is the point
        errors.append(raised.value)

    stepped.exec(chain(wrong)).wait()

    assert len(errors) == 1


@pytest.mark.parametrize("when", [datetime(2030, 1, 1), float("nan"), "tomorrow", None])  # noqa: DTZ001 - refused
def test_what_is_no_instant_is_refused(stepped: Runtime, chain: Chain, when: object) -> None:
    def wrong(self: Routine) -> None:
        with pytest.raises(OptionError, match=r"Give a datetime with a time zone, or seconds since the epoch"):
            self.emit_at(when, "out", n=1)  # type: ignore[arg-type]  # that is the point
        self.emit("out", n=1)

    job = stepped.exec(chain(wrong))
    job.wait()

    assert numbers(job, "a.out") == [1]


def test_emitting_later_needs_a_step_of_the_routine_itself(stepped: Runtime, chain: Chain) -> None:
    other = Routine()
    other.define_event("out")
    with pytest.raises(OutsideStepError, match="The event 'out'"):
        other.emit_after(1.0, "out")

    def foreign(self: Routine) -> None:
        with pytest.raises(ForeignStepError):
            other.emit_at(0.0, "out")
        self.emit("out", n=1)

    job = stepped.exec(chain(foreign))
    job.wait()

    assert numbers(job, "a.out") == [1]
