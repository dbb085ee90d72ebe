"""Directives and restart budgets, which are plain values."""

import math
from typing import Any

import pytest

from actors.errors import SupervisionOptionError
from actors.supervision import RESTART, Action, Directive, RestartBudget, retry


def test_a_directive_is_a_value() -> None:
    assert retry(2.0) == Directive(Action.RETRY, 2.0)
    assert Directive(Action.RESTART) == RESTART
    assert retry().delay == 0


@pytest.mark.parametrize("delay", [-1.0, math.nan])
def test_a_directive_refuses_a_negative_delay(delay: float) -> None:
    with pytest.raises(SupervisionOptionError, match=r"option 'delay' cannot be .*Give seconds, 0 or more"):
        retry(delay)


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"max_restarts": -1}, "'max_restarts' cannot be -1. Give a whole number"),
        ({"within_seconds": 0}, "'within_seconds' cannot be 0. Give seconds above 0"),
        ({"first_delay": -0.5}, "'first_delay' cannot be -0.5. Give seconds"),
        ({"backoff": 0.5}, "'backoff' cannot be 0.5. Give a factor of 1 or more"),
        ({"first_delay": 5.0, "max_delay": 1.0}, "'max_delay' cannot be 1.0. Give at least"),
    ],
)
def test_a_budget_refuses_options_without_sense(options: dict[str, Any], match: str) -> None:
    with pytest.raises(SupervisionOptionError, match=match):
        RestartBudget(**options)


@pytest.mark.parametrize(
    ("options", "times", "delays"),
    [
        ({"max_restarts": 2, "within_seconds": 10}, [0, 1, 2], [0, 0, None]),
        ({"max_restarts": 2, "within_seconds": 10}, [0, 1, 10, 10.5, 11], [0, 0, 0, None, 0]),
        ({"max_restarts": 0}, [0], [None]),
        ({"max_restarts": 9, "first_delay": 1.0}, [0, 1, 2, 3], [1, 2, 4, 8]),
        ({"max_restarts": 9, "first_delay": 1.0, "max_delay": 3.0}, [0, 1, 2, 3], [1, 2, 3, 3]),
        ({"max_restarts": 9, "first_delay": 1.0, "backoff": 1.0}, [0, 1, 2], [1, 1, 1]),
        ({"max_restarts": 9, "within_seconds": 5, "first_delay": 1.0}, [0, 1, 9], [1, 2, 1]),
    ],
)
def test_a_budget_spends_and_recovers(options: dict[str, Any], times: list[float], delays: list[float | None]) -> None:
    budget = RestartBudget(**options)

    assert [budget.next_delay(now) for now in times] == delays


def test_a_refused_restart_is_not_spent() -> None:
    budget = RestartBudget(1, 10)
    budget.next_delay(0)

    assert budget.next_delay(1) is None
    assert budget.spent(1) == 1
    assert budget.spent(10) == 0


def test_a_huge_backoff_stays_at_the_longest_delay() -> None:
    budget = RestartBudget(1_000, 10, first_delay=1.0, backoff=1e300, max_delay=7.0)

    assert [budget.next_delay(0) for _ in range(900)][-1] == 7.0
