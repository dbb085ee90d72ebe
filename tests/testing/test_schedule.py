"""Schedule: what it refuses, the code that it prints, and names in place of numbers."""

import copy
import pickle
from typing import Any

import pytest

from flowforge.job_errors import StepTimeoutError
from flowforge.testing.schedule import Schedule
from flowforge.testing.simulation_errors import InjectedError, ScheduleError

FULL = Schedule(hold=["a.input", 3], swap=[(1, 2), (0, -1)], crash=[1, 4], fail={("a", 1): InjectedError})


def test_the_empty_schedule_is_false_and_has_no_size() -> None:
    assert not Schedule()
    assert Schedule().size == 0
    assert repr(Schedule()) == "Schedule()"


def test_its_size_counts_each_deviation() -> None:
    assert FULL
    assert FULL.size == 7


@pytest.mark.parametrize(
    "schedule",
    [
        Schedule(),
        Schedule(hold=["log"]),
        Schedule(swap=[(12, 1)]),
        Schedule(crash=[25, 25]),
        Schedule(fail={("pay", 1): TimeoutError, (2, 1): StepTimeoutError}),
        FULL,
    ],
)
def test_its_repr_is_the_code_that_makes_it(schedule: Schedule) -> None:
    names = {"Schedule": Schedule, "StepTimeoutError": StepTimeoutError, "InjectedError": InjectedError}

    made = eval(repr(schedule), names)

    assert made == schedule
    assert hash(made) == hash(schedule)


def test_an_exception_object_prints_with_its_arguments() -> None:
    schedule = Schedule(fail={("a", 1): ValueError("x")})

    assert repr(schedule) == "Schedule(fail={('a', 1): ValueError('x')})"


def test_lists_and_pairs_of_any_kind_become_tuples() -> None:
    schedule = Schedule(["a", "a"], [[1, 2]], (3,), [(["a", 1], KeyError)])  # type: ignore[list-item]

    assert schedule.hold == ("a",)
    assert schedule.swap == ((1, 2),)
    assert schedule.crash == (3,)
    assert schedule.fail == ((("a", 1), KeyError),)


def test_a_schedule_can_be_pickled_and_copied() -> None:
    assert pickle.loads(pickle.dumps(FULL)) == FULL
    assert copy.deepcopy(FULL) == FULL


def test_a_schedule_cannot_be_changed() -> None:
    with pytest.raises(AttributeError):
        FULL.crash = (1,)  # type: ignore[misc]


@pytest.mark.parametrize(
    ("part", "value", "remedy"),
    [
        ("hold", [1.5], r"1\.5\. Give \"routine\.slot\", \"routine\""),
        ("hold", [True], r"True\. Give"),
        ("hold", [-1], r"-1\. Give"),
        ("swap", [(-1, 0)], r"\(-1, 0\)\. Give pairs \(gap, pick\) of whole numbers, 0 or more, or a pick of -1"),
        ("swap", [(0, -2)], r"\(0, -2\)\. Give pairs"),
        ("swap", [("a", 1)], r"\('a', 1\)\. Give pairs"),
        ("crash", [-1], r"-1\. Give the number of records that are on disk by then"),
        ("crash", [2, 1], r"\[2, 1\]\. Give them in order: records that are safe stay safe"),
        ("fail", {("a", 1): 3}, r"3\. Give an exception, or the class of one"),
        ("fail", {("a", 1): KeyboardInterrupt}, r"KeyboardInterrupt'>\. Give an exception"),
        ("fail", {("a", 0): KeyError}, r"\('a', 0\)\. Give \(routine, k\), for the k-th step of the routine, from 1"),
        ("fail", {("a", "b"): KeyError}, r"\('a', 'b'\)\. Give \(routine, k\)"),
    ],
)
def test_what_cannot_be_is_refused_with_the_remedy(part: str, value: Any, remedy: str) -> None:
    with pytest.raises(ScheduleError, match=rf"^A schedule's {part} cannot be .*{remedy}") as caught:
        Schedule(**{part: value})

    assert caught.value.part == part


@pytest.mark.parametrize(
    ("part", "value"),
    [
        ("swap", [(1,)]),
        ("swap", [1]),
        ("swap", [(1, 2, 3)]),
        ("crash", 3),
        ("hold", [[1]]),
        ("fail", {"a": ValueError}),
        ("fail", {("a", 1, 2): ValueError}),
        ("fail", {(None, 1): ValueError}),
        ("fail", {("a", 1): UnicodeDecodeError}),
    ],
)
def test_what_has_the_wrong_shape_is_refused_too(part: str, value: Any) -> None:
    with pytest.raises(ScheduleError, match=rf"^A schedule's {part} cannot be"):
        Schedule(**{part: value})


def test_numbers_are_resolved_to_names_and_count_round() -> None:
    schedule = Schedule(hold=[0, 3, "timers"], swap=[(1, 2)], crash=[1], fail={(3, 1): KeyError})

    resolved = schedule.resolved(["a", "b", "timers"], ["r", "s"])

    assert resolved == Schedule(["a", "timers"], [(1, 2)], [1], {("s", 1): KeyError})
    assert schedule.resolved(["a", "b", "timers"], ["r", "s"]) == resolved.resolved(["a", "b", "timers"], ["r", "s"])


def test_a_name_that_cannot_be_held_is_refused() -> None:
    with pytest.raises(ScheduleError, match=r"hold cannot be 'x'\. In this flow that is one of \['a', 'timers'\]"):
        Schedule(hold=["x"]).resolved(["a", "timers"], ["a"])


def test_a_routine_that_is_not_there_cannot_fail() -> None:
    with pytest.raises(ScheduleError, match=r"fail cannot be 'x'\. The routines of this flow are \['a'\]\."):
        Schedule(fail={("x", 1): KeyError}).resolved(["a"], ["a"])
