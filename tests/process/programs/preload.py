"""A server that forks its workers: a runtime made while loading, never used there, and one for each worker."""

import os
import sys

from flowforge import Flow, FlowForgeError, Routine, Runtime

WORKERS = 2


class Answer(Routine):
    """Sends the worker's number."""

    def __init__(self) -> None:
        super().__init__()
        self.define_slot("trigger", handler=self.handle)
        self.define_event("out")

    def handle(self, worker: int) -> None:
        self.emit("out", worker=worker)


def be_worker(number: int) -> None:
    try:
        preloaded.exec(flow, entry_params={"worker": number})
    except FlowForgeError as error:
        refusal = error
        runtime = Runtime(2)
        job = runtime.exec(flow, entry_params={"worker": number})
        print(number, type(refusal).__name__, job.wait(5.0), job.outputs, flush=True)
    sys.exit(0)


preloaded = Runtime(2)
flow = Flow("flow")
flow.add_routine(Answer(), "answer")
for number in range(WORKERS):
    child = os.fork()
    if not child:
        be_worker(number)
    print("worker", os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
