"""How a flow is tested: one routine by itself, then the whole flow in any order of steps and through any crash.

Run it with `pytest examples/test_your_flow.py`; it needs `flowforge[testing]`.
"""

from collections.abc import Callable
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from flowforge import ErrorHandler, ErrorStrategy, Flow, Routine
from flowforge.testing import RoutineTester, Schedule, assert_crash_equivalent, invariant, schedules, sometimes

STOCK = 5


class Warehouse(Routine):
    """Sets goods aside for an order, as long as there are enough."""

    def __init__(self) -> None:
        super().__init__()
        self.state["left"] = STOCK
        self.define_slot("order", handler=self.reserve)
        self.define_event("reserved")
        self.define_event("refused")

    def reserve(self, order: int, amount: int) -> None:
        if amount > self.state["left"]:
            self.emit("refused", order=order)
        else:
            self.state["left"] -= amount
            self.emit("reserved", order=order, amount=amount)


class Shipping(Routine):
    """Ships what was set aside."""

    def __init__(self) -> None:
        super().__init__()
        self.define_slot("goods", handler=self.ship)
        self.define_event("shipped")

    def ship(self, order: int, amount: int) -> None:
        self.increment_stat("goods", amount)
        self.emit("shipped", order=order)


flow = Flow("orders")
flow.add_routine(Warehouse(), "warehouse")
flow.add_routine(Shipping(), "shipping")
flow.connect("warehouse.reserved", "shipping.goods")
flow.set_error_handler(ErrorHandler(ErrorStrategy.RETRY, max_retries=3))

never_oversold = invariant(lambda run: run.job_state.get_routine_state("shipping").get("goods", 0) <= STOCK)


def test_warehouse_refuses_what_it_does_not_have() -> None:
    """One routine by itself, with a state of our choice."""
    with RoutineTester(Warehouse(), state={"left": 1}) as tester:
        assert tester.call("order", order=7, amount=2).emitted == [("refused", {"order": 7})]


@given(amounts=st.lists(st.integers(1, STOCK), max_size=4), schedule=schedules(flow, crashes=1, errors=2))
def test_every_order_is_answered_once(flow_sim: Callable[..., Any], amounts: list[int], schedule: Schedule) -> None:
    """Whatever the order of steps, with a crash and two errors that are retried."""
    orders = [{"order": number, "amount": amount} for number, amount in enumerate(amounts)]
    run = flow_sim(flow, orders, schedule=schedule, checks=[never_oversold])
    answers = [answer["order"] for event in run.outputs.values() for answer in event]
    assert sorted(answers) == list(range(len(orders)))
    sometimes("an order is refused", "warehouse.refused" in run.outputs)


def test_crash_at_any_point_changes_nothing() -> None:
    """The process dies before and after each record, and once more while it recovers."""
    assert assert_crash_equivalent(flow, [{"order": number, "amount": 2} for number in range(3)]) > 20
