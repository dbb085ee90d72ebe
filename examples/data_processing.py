"""A pipeline of stages: a source reads rows, invalid ones are sorted out, the rest is summed up batch by batch."""

from collections import Counter
from collections.abc import Iterator
from typing import Any

from flowforge import Flow, Routine, batch_size_policy

ROWS = ("apples,3", "pears,5", "plums,many", "apples,4", "pears,1", "figs", "plums,7", "apples,2")


class Source(Routine):
    """Reads the rows one by one; each yield commits the cursor together with what was emitted."""

    def __init__(self) -> None:
        super().__init__()
        self.define_slot("trigger", handler=self.read)
        self.define_event("row", ["text"])
        self.state["cursor"] = 0

    def read(self) -> Iterator[None]:
        for text in ROWS[self.state["cursor"] :]:
            self.state["cursor"] += 1
            self.emit("row", text=text)
            yield


class Validate(Routine):
    """Sends a row one of two ways."""

    def __init__(self) -> None:
        super().__init__()
        self.define_slot("row", handler=self.check)
        self.define_event("valid", ["name", "amount"])
        self.define_event("invalid", ["text"])

    def check(self, text: str) -> None:
        name, _, amount = text.partition(",")
        if amount.isdigit():
            self.emit("valid", name=name, amount=int(amount))
        else:
            self.emit("invalid", text=text)


class Summarise(Routine):
    """Its logic is called with three rows at a time, at the end with those that are left."""

    def __init__(self) -> None:
        super().__init__()
        self.define_slot("rows")
        self.define_event("batch", ["totals"])

        def logic(slot_data: dict[str, list[dict[str, Any]]], _policy_message: object, _job_state: object) -> None:
            totals: Counter[str] = Counter()
            for row in slot_data["rows"]:
                totals[row["name"]] += row["amount"]
            self.emit("batch", totals=dict(totals))

        self.set_logic(logic)
        self.set_activation_policy(batch_size_policy(3))


def main() -> None:
    """Run the pipeline, and print what came out at its ends."""
    flow = Flow(flow_id="data_processing")
    flow.add_routine(Source(), "source")
    flow.add_routine(Validate(), "validate")
    flow.add_routine(Summarise(), "summarise")
    flow.connect("source.row", "validate.row")
    flow.connect("validate.valid", "summarise.rows")

    job_state = flow.execute()

    print("status:", job_state.status)
    for payload in job_state.outputs["summarise.batch"]:
        print("batch:", payload["totals"])
    for payload in job_state.outputs["validate.invalid"]:
        print("invalid:", payload["text"])
    print("messages:", job_state.tracker.to_dict()["connections"])


if __name__ == "__main__":
    main()
