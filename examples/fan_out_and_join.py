"""One event to two routines, and their answers joined: the logic runs when each of its slots has a message."""

from collections.abc import Iterator
from typing import Any

from flowforge import Flow, Routine, all_slots_ready_policy

STOCK = {"lamp": 2, "chair": 0, "table": 9}
ORDERS = (("lamp", 40), ("chair", 90), ("table", 400))


class Orders(Routine):
    """Emits the orders; what it emits goes to every routine that is connected to the event."""

    def __init__(self) -> None:
        super().__init__()
        self.define_slot("trigger", handler=self.take)
        self.define_event("order", ["item", "price"])

    def take(self) -> Iterator[None]:
        for item, price in ORDERS[self.state.get("taken", 0) :]:
            self.increment_stat("taken")
            self.emit("order", item=item, price=price)
            yield


class CheckStock(Routine):
    """Looks at the item."""

    def __init__(self) -> None:
        super().__init__()
        self.define_slot("order", handler=self.check)
        self.define_event("checked", ["item", "in_stock"])

    def check(self, item: str) -> None:
        self.emit("checked", item=item, in_stock=STOCK[item] > 0)


class CheckCredit(Routine):
    """Looks at the price."""

    def __init__(self) -> None:
        super().__init__()
        self.define_slot("order", handler=self.check)
        self.define_event("checked", ["has_credit"])

    def check(self, price: int) -> None:
        self.emit("checked", has_credit=price < 100)


class Decide(Routine):
    """Gets one message of each slot at a time; connections keep order, so the two belong to one order."""

    def __init__(self) -> None:
        super().__init__()
        self.define_slot("stock")
        self.define_slot("credit")
        self.define_event("decision")
        self.set_activation_policy(all_slots_ready_policy())

        def logic(slot_data: dict[str, list[dict[str, Any]]], _policy_message: object, _job_state: object) -> None:
            stock, credit = slot_data["stock"][0], slot_data["credit"][0]
            accepted = stock["in_stock"] and credit["has_credit"]
            self.emit("decision", text=f"{stock['item']}: {'accepted' if accepted else 'refused'}")

        self.set_logic(logic)


def main() -> None:
    """Draw the flow, run it, and print the decisions."""
    flow = Flow(flow_id="orders")
    for routine in (Orders(), CheckStock(), CheckCredit(), Decide()):
        flow.add_routine(routine)
    flow.connect("orders.order", "checkstock.order")
    flow.connect("orders.order", "checkcredit.order")
    flow.connect("checkstock.checked", "decide.stock")
    flow.connect("checkcredit.checked", "decide.credit")

    job_state = flow.execute()

    print(flow.to_mermaid())
    for payload in job_state.outputs["decide.decision"]:
        print(payload["text"])


if __name__ == "__main__":
    main()
