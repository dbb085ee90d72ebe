"""Two routines in a row, executed once: what a flow is made of, and what its job tells afterwards."""

from flowforge import Flow, Routine


class DataProcessor(Routine):
    """Receives `data` on its slot, counts it in its state, and sends a result on its event."""

    def __init__(self) -> None:
        super().__init__()
        self.define_slot("input", handler=self.process)
        self.define_event("output", ["result"])

    def process(self, data: str) -> None:
        self.increment_stat("processed_count")
        self.emit("output", result=f"Processed: {data}")


def main() -> None:
    """Build the flow, run one job of it, and look at the job."""
    flow = Flow(flow_id="basic")
    flow.add_routine(DataProcessor(), "first")
    flow.add_routine(DataProcessor(), "second")
    # The payload {"result": ...} meets a handler with one parameter, which takes the only value there is.
    flow.connect("first.output", "second.input")

    job_state = flow.execute("first", entry_params={"data": "test"})

    print("status:", job_state.status)
    print("outputs:", job_state.outputs)
    for routine_id, state in job_state.routine_states.items():
        print(f"state of {routine_id}:", state)
    print("history:")
    for entry in job_state.execution_history:
        what = f"slot {entry.slot}" if entry.slot else f"event {entry.event}"
        print(f"  {entry.routine_id:<7} {what:<13} {entry.payload}")


if __name__ == "__main__":
    main()
