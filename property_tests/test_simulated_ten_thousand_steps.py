"""A run of 10,000 steps under `@given` costs a few draws, so no health check of Hypothesis fails."""

from hypothesis import given, settings

from flowforge.flow import Flow
from flowforge.routine import Routine
from flowforge.testing.schedule import Schedule
from flowforge.testing.schedule_strategies import schedules
from flowforge.testing.simulation import simulate

STEPS = 10_000


class Countdown(Routine):
    """Sends itself one number less, and the number on."""

    def __init__(self) -> None:
        super().__init__()
        self.define_slot("input", handler=self.handle)
        self.define_event("next")

    def handle(self, n: int) -> None:
        if n > 1:
            self.emit("next", n=n - 1)


def countdown() -> Flow:
    flow = Flow("countdown")
    flow.add_routine(Countdown(), "a")
    flow.connect("a.next", "a.input")
    return flow


# Few, for each takes a good part of a second; the health checks are those that Hypothesis has by default.
@settings(max_examples=5, deadline=None, suppress_health_check=[])
@given(schedules(countdown()))
def test_ten_thousand_steps_pass_the_health_checks(schedule: Schedule) -> None:
    run = simulate(countdown(), {"n": STEPS}, schedule=schedule, entry_routine_id="a")

    assert run.is_completed
    assert run.steps == STEPS
