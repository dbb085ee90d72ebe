"""Starts a durable job that is kept open, and ends without a shutdown: `store end|exit|exception`."""

import sys

from flowforge import Flow, Routine, Runtime


class Stage(Routine):
    """Counts what comes."""

    def __init__(self) -> None:
        super().__init__()
        self.define_slot("input", handler=self.handle)
        self.define_event("out")

    def handle(self, n: int) -> None:
        self.increment_stat("seen")
        self.emit("out", n=n)


def main() -> None:
    store, ending = sys.argv[1:]
    flow = Flow("flow")
    flow.add_routine(Stage(), "a")
    runtime = Runtime(2, store=f"sqlite:///{store}", flows=[flow])
    job = runtime.exec(flow, job_id="job", keep_alive=True)
    runtime.post(job, "a", "input", {"n": len(job.outputs)}, key=ending)
    print(job.status, flush=True)
    if ending == "exit":
        sys.exit(3)
    if ending == "exception":
        raise ValueError(ending)


if __name__ == "__main__":
    main()
