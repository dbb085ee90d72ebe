"""A multiprocessing child, started as the argument says, while the parent works; each runs a job of its own."""

import multiprocessing
import sys
from typing import Any

from flowforge import Flow, Routine, Runtime


class Double(Routine):
    """Sends twice what it gets."""

    def __init__(self) -> None:
        super().__init__()
        self.define_slot("input", handler=self.handle)
        self.define_event("out")

    def handle(self, n: int) -> None:
        self.emit("out", n=2 * n)


def flow() -> Flow:
    flow = Flow("flow")
    flow.add_routine(Double(), "double")
    return flow


def be_child(n: int) -> None:
    # Left open: it is the end of the child that drains it.
    runtime = Runtime(2)
    job = runtime.exec(flow(), entry_params={"n": n})
    print("child", job.wait(5.0), job.outputs, flush=True)


def main() -> None:
    runtime = Runtime(2)
    job = runtime.exec(flow(), entry_params={"n": 1}, keep_alive=True)
    context: Any = multiprocessing.get_context(sys.argv[1])
    child = context.Process(target=be_child, args=(2,))
    child.start()
    child.join()
    runtime.post(job, "double", "input", {"n": 3})
    job.close()
    print("parent", child.exitcode, job.wait(5.0), job.outputs, flush=True)


if __name__ == "__main__":
    main()
