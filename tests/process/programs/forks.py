"""Forks with a runtime in the parent that works, or was never used, as the argument says; tells what the child gets."""

import os
import sys
import threading
from collections.abc import Callable

from flowforge import Flow, Routine, Runtime

IS_USED = sys.argv[1] == "used"

may_end = threading.Event()
is_busy = threading.Event()


class Waiting(Routine):
    """Holds its thread until the parent lets it go."""

    def __init__(self) -> None:
        super().__init__()
        self.define_slot("trigger", handler=self.handle)
        self.define_event("done")

    def handle(self) -> None:
        is_busy.set()
        may_end.wait()
        self.emit("done", ok=True)


def flow() -> Flow:
    flow = Flow("flow")
    flow.add_routine(Waiting(), "waiting")
    return flow


def tell(name: str, call: Callable[[], object]) -> None:
    try:
        print(name, "gave", call(), flush=True)
    except Exception as error:  # noqa: BLE001 - whatever it is, it is printed and compared
        print(name, type(error).__name__, error, flush=True)


def calls_of_child() -> dict[str, Callable[[], object]]:
    calls: dict[str, Callable[[], object]] = {
        "exec": lambda: runtime.exec(flow()),
        "get_job": lambda: runtime.get_job("job-1"),
        "list_jobs": runtime.list_jobs,
        "statistics": runtime.statistics,
        "wait_until_all_jobs_finished": lambda: runtime.wait_until_all_jobs_finished(1.0),
        "shutdown": runtime.shutdown,
    }
    if job is not None:
        known = job
        calls |= {
            "post": lambda: runtime.post(known, "waiting", "trigger", {}, timeout=0),
            "cancel_job": lambda: runtime.cancel_job(known),
            "pause_job": lambda: runtime.pause_job(known, timeout=0),
            "resume_job": lambda: runtime.resume_job(known),
            "wait": lambda: known.wait(1.0),
        }
    return calls


def be_child() -> None:
    for name, call in calls_of_child().items():
        tell(name, call)
    may_end.set()
    with Runtime() as own:
        mine = own.exec(flow())
        print("new", mine.wait(5.0), mine.status, mine.outputs, flush=True)
    sys.exit(7)


runtime = Runtime(4)
job = runtime.exec(flow(), job_id="job-1") if IS_USED else None
if IS_USED:
    is_busy.wait()
child = os.fork()
if not child:
    be_child()
print("child", os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
may_end.set()
after = runtime.exec(flow())
print("parent", runtime.wait_until_all_jobs_finished(5.0), [str(each.status) for each in runtime.list_jobs()])
