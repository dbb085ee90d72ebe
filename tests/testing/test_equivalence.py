"""The two oracles without a model: the order of steps makes no difference, and a crash makes none."""

import subprocess
import sys
from collections.abc import Callable

import pytest

from flowforge.flow import Flow
from flowforge.routine import Routine
from flowforge.testing.checks import invariant
from flowforge.testing.equivalence import assert_confluent, assert_crash_equivalent
from flowforge.testing.inputs import Cancel, Pause, Resume
from flowforge.testing.schedule import Schedule
from flowforge.testing.simulation_errors import (
    ConfluenceError,
    CrashEquivalenceError,
    InvariantError,
    NondeterministicHandlerError,
    SimulationUseError,
)
from tests.handlers import count

Graph = Callable[..., Flow]


class Last(Routine):
    """Depends on the order of its two slots."""

    def __init__(self) -> None:
        super().__init__()
        self.define_slot("left", handler=self.left)
        self.define_slot("right", handler=self.right)
        self.define_event("out")

    def left(self) -> None:
        self.state["last"] = "left"
        self.job_state.shared_data["last"] = "left"

    def right(self) -> None:
        self.state["last"] = "right"
        self.job_state.shared_data["last"] = "right"


@pytest.fixture
def racing(graph: Graph) -> Flow:
    def start(self: Routine) -> None:
        self.emit("out")

    return graph({"s": start, "m": Last()}, "s.out -> m.left", "s.out -> m.right")


@pytest.fixture
def escaping(chain: Graph) -> Flow:
    """A flow that keeps on its own what a crash should take."""
    kept: list[int] = []

    def draw(self: Routine) -> None:
        kept.append(1)
        self.emit("out", n=len(kept))

    return chain(draw)


def test_a_flow_that_no_order_changes_is_confluent(chain: Graph) -> None:
    assert_confluent(chain(count, count), [{"n": 1}, Pause(), Resume(), {"n": 2}], examples=50)


def test_a_flow_that_the_order_changes_is_told_and_shrunk(racing: Flow) -> None:
    text = (
        r"^The order of steps makes a difference: the state of m is \{'last': 'left'\} instead of "
        r"\{'last': 'right'\}\.\n"
        r"First in, first out, except: .*\nReplay it with schedule=Schedule\(.*\)\."
    )
    with pytest.raises(ConfluenceError, match=text) as caught:
        assert_confluent(racing, examples=1000)

    assert caught.value.run.schedule.size == 1


def test_the_schedule_that_is_told_shows_it_again(racing: Flow) -> None:
    with pytest.raises(ConfluenceError) as caught:
        assert_confluent(racing, examples=1000)

    with pytest.raises(ConfluenceError):
        assert_confluent(racing, schedule=caught.value.run.schedule)
    assert_confluent(racing, schedule=Schedule())


def test_what_is_meant_to_depend_on_the_order_is_ignored(racing: Flow) -> None:
    assert_confluent(racing, ignoring=["m", "shared_data.last"])
    assert_confluent(racing, ignoring=["m", "shared_data"])
    with pytest.raises(ConfluenceError, match=r"shared_data\.last is 'left' instead of 'right'"):
        assert_confluent(racing, ignoring=["m"], schedule=Schedule(hold=["m.left"]))


def test_a_name_to_ignore_that_is_not_there_is_refused(racing: Flow) -> None:
    with pytest.raises(SimulationUseError, match="nonsense"):
        assert_confluent(racing, ignoring=["nonsense"])


def test_outputs_are_compared_in_any_order(graph: Graph) -> None:
    flow = graph({"s": count, "a": count, "b": count, "e": count}, *(f"s.out -> {name}.input" for name in "ab"))
    flow.connect("a.out", "e.input")
    flow.connect("b.out", "e.input")

    assert_confluent(flow, [{"n": 1}, {"n": 2}], examples=30)


def test_outputs_that_are_missing_are_listed(chain: Graph) -> None:
    with pytest.raises(ConfluenceError, match=r"a\.out (lacks|has in addition) \{'n': 1\}|status is|the state of a"):
        assert_confluent(chain(count), [{"n": 1}, Cancel()])


def test_options_of_simulate_are_handed_on(chain: Graph) -> None:
    with pytest.raises(InvariantError, match="'never'"):
        assert_confluent(chain(count), checks=[invariant(lambda run: not run.steps, "never")])


def test_a_handler_that_cannot_be_repeated_is_no_confluence_error(escaping: Flow) -> None:
    with pytest.raises(NondeterministicHandlerError):
        assert_confluent(escaping)


def test_a_crash_at_any_point_makes_no_difference(chain: Graph) -> None:
    tried = assert_crash_equivalent(chain(count, count), [{"n": 1}, {"n": 2}])

    assert tried >= 20


def test_what_a_crash_does_not_take_is_found(chain: Graph) -> None:
    started: list[int] = []

    def start_once(self: Routine) -> None:
        started.append(self.job_state.data.epoch)
        self.emit("out", epoch=self.job_state.data.epoch)

    text = r"^A crash makes a difference: a\.out lacks \{'epoch': 1\} and has in addition \{'epoch': 2\}\.\n"
    with pytest.raises(CrashEquivalenceError, match=text):
        assert_crash_equivalent(chain(start_once))


def test_parts_can_be_ignored_over_crashes_too(chain: Graph) -> None:
    def tell_epoch(self: Routine) -> None:
        self.emit("out", epoch=self.job_state.data.epoch)

    assert_crash_equivalent(chain(tell_epoch), ignoring=["a.out"])


def test_crashes_can_come_on_top_of_another_schedule(chain: Graph) -> None:
    assert assert_crash_equivalent(chain(count, count), schedule=Schedule(hold=["log", "a"])) > 5


WITHOUT_HYPOTHESIS = """
import sys

sys.modules["hypothesis"] = None

from flowforge import Flow, Routine
from flowforge.testing import *


class Last(Routine):
    def __init__(self):
        super().__init__()
        for name in ("left", "right"):
            self.define_slot(name, handler=lambda name=name: self.state.update(last=name))


flow = Flow("f")
flow.add_routine(Last(), "m")
inputs = [("m", "left", {}), ("m", "right", {})]
assert simulate(flow, inputs, schedule=random_schedule(1, flow)).is_completed
try:
    assert_confluent(flow, inputs)
except ConfluenceError as error:
    print(error)
try:
    schedules()
except SimulationUseError as error:
    print(error)
"""


def test_all_but_the_strategy_works_without_hypothesis() -> None:
    done = subprocess.run([sys.executable, "-c", WITHOUT_HYPOTHESIS], capture_output=True, text=True, check=True)

    assert "The order of steps makes a difference" in done.stdout
    assert "A strategy of schedules needs Hypothesis. Install flowforge[testing], or use random_schedule" in done.stdout
