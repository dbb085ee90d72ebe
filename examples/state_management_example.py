"""State of routines and of the job: it is rolled back with a failed step, and kept over a pause in a file."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

from flowforge import ErrorHandler, ErrorStrategy, Flow, JobState, Routine


class Numbers(Routine):
    """Emits 1 to 6, and pauses its own job after 3."""

    def __init__(self) -> None:
        super().__init__()
        self.define_slot("trigger", handler=self.count)
        self.define_event("number")
        self.state["last"] = 0

    def count(self) -> Iterator[None]:
        while self.state["last"] < 6:
            self.state["last"] += 1
            self.emit("number", number=self.state["last"])
            if self.state["last"] == 3:
                self.job_state.shared_log.append("Half way.")
                flow.pause(reason="Half way", checkpoint={"number": 3})
            yield


class Adder(Routine):
    """Adds numbers up in its state, and refuses 2, of which then no trace is left."""

    def __init__(self) -> None:
        super().__init__()
        self.define_slot("number", handler=self.add)
        self.state.update(total=0, seen=[])

    def add(self, number: int) -> None:
        self.state["total"] += number
        self.state["seen"].append(number)
        self.job_state.shared_data.add("messages")
        if number == 2:
            raise ValueError("I do not add 2.")


flow = Flow(flow_id="adding", error_handler=ErrorHandler(ErrorStrategy.SKIP))
flow.add_routine(Numbers(), "numbers")
flow.add_routine(Adder(), "adder")
flow.connect("numbers.number", "adder.number")


def main() -> None:
    """Run to the pause, save, load, and run to the end."""
    job_state = flow.execute()
    print(job_state.status, repr(job_state.pause_reason), job_state.checkpoint)
    print("numbers:", job_state.get_routine_state("numbers"))

    with tempfile.TemporaryDirectory() as directory:
        path = str(Path(directory) / "state.json")
        job_state.save(path)
        loaded = JobState.load(path)

    flow.resume(loaded)
    print(loaded.status)
    print("adder:", loaded.get_routine_state("adder"))
    print("shared data:", dict(loaded.shared_data), "shared log:", list(loaded.shared_log))
    print("not added:", [letter.payload for letter in loaded.dead_letters])


if __name__ == "__main__":
    main()
