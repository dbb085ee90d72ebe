"""What a schedule can choose: what is held, what is swapped, which slot goes first, when time passes."""

from collections.abc import Callable
from typing import Any

import pytest

from flowforge._engine.plan import plan_of
from flowforge.flow import Flow
from flowforge.records import JobMoved, Record, StepCommitted
from flowforge.routine import Routine
from flowforge.testing.candidates import holdable_names
from flowforge.testing.inputs import Cancel, Pause
from flowforge.testing.schedule import Schedule
from flowforge.testing.simulated_run import SimulatedRun
from flowforge.testing.simulation import simulate
from tests.handlers import nap, pass_on, source

Graph = Callable[..., Flow]
MakeNode = Callable[..., Routine]


def fussy(self: Routine, n: int) -> None:
    if int(self.now()) % 3 < n % 3:
        raise ValueError(n)
    self.emit("out", n=n)


class Merge(Routine):
    """Remembers in which order its two slots were called."""

    def __init__(self) -> None:
        super().__init__()
        self.define_slot("left", handler=self.left)
        self.define_slot("right", handler=self.right)
        self.state["order"] = []

    def left(self, n: int) -> None:
        self.state["order"].append(f"left {n}")

    def right(self, n: int) -> None:
        self.state["order"].append(f"right {n}")


@pytest.fixture
def everything(graph: Graph, node: MakeNode) -> Flow:
    """A flow that has something of each kind to hold."""
    retried, replicated = node(fussy), node(pass_on)
    retried.set_as_critical(max_retries=20, retry_delay=1)
    replicated.set_concurrency(2)
    return graph(
        {"s": source, "a": retried, "b": nap, "c": replicated},
        "s.out -> a.input",
        "s.out -> b.input",
        "a.out -> c.input",
        "b.out -> c.input",
    )


@pytest.fixture
def merging(graph: Graph) -> Flow:
    return graph({"s": source, "m": Merge()}, "s.out -> m.left", "s.out -> m.right")


def order(run: SimulatedRun) -> list[str]:
    found: list[str] = run.job_state.get_routine_state("m")["order"]
    return found


def records_of(run: SimulatedRun, routine: str) -> list[int]:
    found = []
    for index, (_, record) in enumerate(run.records):
        if isinstance(record, StepCommitted) and record.routine == routine:
            found.append(index)
    return found


def test_each_kind_can_be_held_and_all_still_happens(everything: Flow) -> None:
    expected = [0, 0, 1, 1, 2, 2, 3, 3]

    for name in holdable_names(plan_of(everything)):
        run = simulate(everything, {"n": 4}, schedule=Schedule(hold=[name]), is_durable=True)
        assert sorted(payload["n"] for payload in run.outputs["c.out"]) == expected, name
        assert f"{name} held until nothing else could run" in run.story()


def test_every_second_choice_can_be_swapped_and_all_still_happens(everything: Flow) -> None:
    for gap in range(0, 60, 2):
        run = simulate(everything, {"n": 3}, schedule=Schedule(swap=[(gap, pick) for pick in (1, 2, 3)]))
        assert sorted(payload["n"] for payload in run.outputs["c.out"]) == [0, 0, 1, 1, 2, 2], run.schedule


def test_a_held_routine_runs_when_nothing_else_can(graph: Graph) -> None:
    flow = graph({"s": source, "a": pass_on, "b": pass_on}, "s.out -> a.input", "s.out -> b.input")

    run = simulate(flow, {"n": 3}, schedule=Schedule(hold=["a"]))

    assert max(records_of(run, "b")) < min(records_of(run, "a"))


def test_a_held_slot_lets_the_other_slot_go_first(merging: Flow) -> None:
    assert order(simulate(merging, {"n": 2})) == ["left 0", "right 0", "left 1", "right 1"]

    run = simulate(merging, {"n": 2}, schedule=Schedule(hold=["m.left"]))

    assert [told for told in order(run) if told.startswith("right")] == order(run)[:2]


def test_a_swap_takes_another_slot_of_the_same_routine(merging: Flow) -> None:
    orders = {tuple(order(simulate(merging, {"n": 1}, schedule=Schedule(swap=[(gap, 1)])))) for gap in range(12)}

    assert ("right 0", "left 0") in orders


def test_a_swap_is_told_with_what_it_came_before(chain: Graph) -> None:
    story = simulate(chain(source, pass_on), {"n": 3}, schedule=Schedule(swap=[(6, 1)])).story()

    assert "was taken before" in story
    assert story.count("at choice 7") == 1


def test_a_swap_with_itself_or_past_the_end_changes_nothing(chain: Graph) -> None:
    usual = simulate(chain(pass_on))

    for schedule in (Schedule(swap=[(3, 0)]), Schedule(swap=[(5, 60)]), Schedule(swap=[(500, 1)])):
        run = simulate(chain(pass_on), schedule=schedule)
        assert run.digest == usual.digest
        assert run.story() == usual.story()


def test_a_step_that_has_run_is_seen_by_nobody_before_its_commit(chain: Graph) -> None:
    seen: list[Any] = []

    def write(self: Routine) -> None:
        self.job_state.shared_data["key"] = "written"

    def read(self: Routine) -> None:
        seen.append(self.job_state.shared_data.get("key"))

    flow = chain(write)
    flow.add_routine(_entry(read), "r")

    simulate(flow, [("a", None, {}), ("r", None, {})], schedule=Schedule(hold=["commit of a"]))

    assert seen == [None]


def test_a_cancel_between_a_step_and_its_commit_leaves_nothing(chain: Graph) -> None:
    flow = chain(pass_on)

    run = simulate(flow, [{"n": 1}, Cancel()], schedule=Schedule(["commit of a"]))

    assert run.status == "cancelled"
    assert (run.steps, run.outputs) == (0, {})


def test_a_cancel_comes_before_a_commit_or_after_it(chain: Graph) -> None:
    runs = [simulate(chain(pass_on), [{"n": 1}, Cancel()], schedule=Schedule(swap=[(gap, 1)])) for gap in range(12)]

    assert {run.status for run in runs} == {"cancelled"}
    assert {len(run.outputs) for run in runs} == {0, 1}
    assert all(len(run.outputs) == run.steps for run in runs)


def test_two_updates_that_overlap_lose_nothing(graph: Graph) -> None:
    def add(self: Routine) -> None:
        self.job_state.shared_data.add("sum", 1)

    flow = graph({"a": add, "b": add})

    for schedule in (Schedule(), Schedule(hold=["commit of a"]), Schedule(hold=["commit of a", "commit of b"])):
        assert simulate(flow, schedule=schedule).job_state.shared_data["sum"] == 2


def test_time_can_pass_although_something_is_ready(everything: Flow) -> None:
    stories = [simulate(everything, {"n": 3}, schedule=Schedule(swap=[(gap, -1)])).story() for gap in range(40)]

    assert any("time passed before" in story for story in stories)


def test_a_pause_can_be_taken_at_any_choice(everything: Flow) -> None:
    lengths = set()
    for gap in range(20):
        run = simulate(everything, [{"n": 3}, Pause()], schedule=Schedule(hold=["input"], swap=[(gap, 9)]))
        assert run.status in {"paused", "completed"}
        lengths.add(len([record for _, record in run.records if not _is_move(record)]))

    assert len(lengths) > 2


def _is_move(record: Record) -> bool:
    return isinstance(record, JobMoved)


def _entry(handler: Any) -> Routine:
    routine = Routine()
    routine.define_slot("input", handler=lambda: handler(routine))
    return routine
