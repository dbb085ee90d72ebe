"""Checks: what must hold always, in the end, or in some runs, and that a failing run is replayed at once."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from flowforge.flow import Flow
from flowforge.routine import Routine
from flowforge.testing.checks import eventually, invariant, reachable, sometimes
from flowforge.testing.schedule import Schedule
from flowforge.testing.simulated_run import SimulatedRun
from flowforge.testing.simulation import simulate
from flowforge.testing.simulation_errors import (
    InvariantError,
    NondeterministicHandlerError,
    NotReachedError,
    SimulationLimitError,
    SimulationUseError,
)
from tests.handlers import count

Graph = Callable[..., Flow]


def again(self: Routine, n: int = 0) -> None:
    self.emit("out", n=n + 1)


def rounds(self: Routine, n: int) -> None:
    if n:
        self.emit("out", n=n - 1)


def few_steps(run: SimulatedRun) -> bool:
    return run.steps < 2


@pytest.fixture
def endless(graph: Graph) -> Flow:
    return graph({"a": again}, "a.out -> a.input")


@pytest.fixture
def rotating(graph: Graph) -> Flow:
    """A cycle of 800 rounds that feeds another routine too."""
    return graph({"s": count, "a": rounds, "b": count}, "s.out -> a.input", "a.out -> a.input", "a.out -> b.input")


# Always


def test_an_invariant_is_looked_at_after_every_commit(chain: Graph) -> None:
    seen: list[int] = []

    def look(run: SimulatedRun) -> bool:
        seen.append(run.position)
        return True

    run = simulate(chain(count, count), checks=[invariant(look)])

    assert seen[-1] == run.position
    assert len(set(seen)) == len(seen) > 3


def test_an_invariant_that_does_not_hold_tells_the_story(chain: Graph) -> None:
    text = (
        r"^The invariant 'few_steps' does not hold after record 5\.\n"
        r"First in, first out\. The job (is|has) \w+ after 2 steps and 0 seconds of virtual time\.\n"
        r"Replay it with schedule=Schedule\(\)\.$"
    )
    with pytest.raises(InvariantError, match=text) as caught:
        simulate(chain(count, count, count), checks=[invariant(few_steps)])

    assert caught.value.name == "few_steps"
    assert caught.value.run.steps == 2


def test_an_invariant_has_a_name_of_its_own_if_given(chain: Graph) -> None:
    with pytest.raises(InvariantError, match=r"The invariant 'nothing happens' does not hold"):
        simulate(chain(count), checks=[invariant(lambda run: not run.steps, "nothing happens")])


def test_an_invariant_is_an_assertion_for_test_runners(chain: Graph) -> None:
    with pytest.raises(AssertionError):
        simulate(chain(count), checks=[invariant(lambda run: False)])


def test_an_invariant_holds_across_crashes(chain: Graph) -> None:
    def never_more(run: SimulatedRun) -> bool:
        return len(run.outputs.get("b.out", ())) <= 1

    for point in range(7):
        assert simulate(chain(count, count), checks=[invariant(never_more)], schedule=Schedule(crash=[point])).crashes


def test_an_invariant_that_breaks_in_an_endless_flow_is_told(endless: Flow) -> None:
    with pytest.raises(InvariantError):
        simulate(endless, entry_routine_id="a", until=lambda run: run.steps > 50, checks=[invariant(few_steps)])


def test_what_is_no_check_is_refused(chain: Graph) -> None:
    with pytest.raises(SimulationUseError, match="check"):
        simulate(chain(count), checks=[few_steps])  # type: ignore[list-item]


def test_an_error_of_a_check_itself_comes_out(chain: Graph) -> None:
    def broken(run: SimulatedRun) -> bool:
        raise LookupError("in the check")

    with pytest.raises(LookupError, match="in the check"):
        simulate(chain(count), checks=[invariant(broken)])


# In the end


def test_what_is_reached_eventually_is_no_error(chain: Graph) -> None:
    assert simulate(chain(count), checks=[eventually(lambda run: run.is_completed, within=0)]).is_completed


def test_what_is_not_reached_when_nothing_is_left_is_told(chain: Graph) -> None:
    text = r"^It was to be reached that 'a third step', but nothing is left to do\.\nFirst in, first out\."
    with pytest.raises(NotReachedError, match=text) as caught:
        simulate(chain(count), checks=[eventually(lambda run: run.steps == 3, within=5, name="a third step")])

    assert caught.value.name == "a third step"


def test_what_is_not_reached_in_its_time_is_told(chain: Graph, node: Callable[..., Routine]) -> None:
    def refuse(self: Routine) -> None:
        raise ValueError

    stubborn = node(refuse)
    stubborn.set_as_critical(max_retries=50, retry_delay=1)

    text = r"but 5 seconds of virtual time have passed since all faults had healed"
    with pytest.raises(NotReachedError, match=text):
        simulate(chain(stubborn), checks=[eventually(lambda run: run.is_completed, within=5)])


def test_nothing_is_held_once_the_rest_of_the_schedule_has_happened(rotating: Flow) -> None:
    def b_has_begun(run: SimulatedRun) -> bool:
        return bool(run.outputs) and not run.is_completed

    run = simulate(rotating, {"n": 800}, schedule=Schedule(hold=["b"]), checks=[eventually(b_has_begun, within=5)])

    assert run.is_completed


def test_a_run_that_healed_replays_to_the_same_digest(rotating: Flow) -> None:
    schedule = Schedule(hold=["b"], swap=[(3, 1)])

    run = simulate(rotating, {"n": 800}, schedule=schedule, checks=[eventually(lambda run: run.is_completed, within=5)])

    assert run.replay().digest == run.digest


def test_a_run_that_healed_and_failed_is_no_nondeterminism(rotating: Flow) -> None:
    check = eventually(lambda run: run.position > 10_000, within=5)

    with pytest.raises(NotReachedError):
        simulate(rotating, {"n": 800}, schedule=Schedule(hold=["b"]), checks=[check])


def test_a_livelock_is_found_as_a_limit(endless: Flow) -> None:
    with pytest.raises(SimulationLimitError):
        simulate(
            endless,
            entry_routine_id="a",
            max_choices=3_000,
            checks=[eventually(lambda run: run.is_completed, within=5)],
        )


# Honesty


def test_a_failing_run_that_replays_otherwise_is_reported(chain: Graph) -> None:
    numbers: Iterator[int] = iter(range(1000))

    def draw(self: Routine) -> None:
        self.emit("out", n=next(numbers))

    text = (
        r"^The same schedule led to two different runs, first at record \d+ \(a step of 'a'\): outputs is .*0.* and .*1"
    )
    with pytest.raises(NondeterministicHandlerError, match=text):
        simulate(chain(draw), checks=[invariant(lambda run: not run.outputs)])


def test_the_usual_suspects_are_named(chain: Graph) -> None:
    seen: list[int] = []

    def remember(self: Routine) -> None:
        seen.append(1)
        if len(seen) % 2:
            self.emit("out", n=1)

    with pytest.raises(NondeterministicHandlerError, match=r"Look for the time, random, uuid .* the order of a set"):
        simulate(chain(remember), checks=[invariant(lambda run: not run.steps)])


# In some runs


def test_reachable_gathers_what_was_sometimes_true() -> None:
    with reachable() as seen:
        for n in range(3):
            sometimes("two", n == 2)
            sometimes("never", n > 5)
        sometimes("here")

    assert seen == {"two": True, "never": False, "here": True}


def test_sometimes_outside_of_reachable_does_nothing() -> None:
    sometimes("nobody listens")

    with reachable() as seen:
        pass
    assert seen == {}


def test_sometimes_counts_inside_handlers_and_checks(chain: Graph) -> None:
    def tell(self: Routine, **payload: Any) -> None:
        sometimes("in a handler")

    def look(run: SimulatedRun) -> bool:
        sometimes("in a check", run.is_completed)
        return True

    with reachable() as seen:
        simulate(chain(tell), checks=[invariant(look)])

    assert seen == {"in a handler": True, "in a check": True}
