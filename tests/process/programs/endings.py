"""Works in one way and ends in another, both named by the arguments; then says what the drain did for it."""

import asyncio
import atexit
import json
import os
import signal
import sys
import threading
from collections.abc import Iterator
from typing import Any

from flowforge import CallbackOutputHandler, Flow, JobState, Routine, Runtime

WORK, ENDING, MESSAGES = sys.argv[1], sys.argv[2], int(sys.argv[3])

is_busy = threading.Event()
stopped: list[str] = []
handled: list[int] = []


class Stage(Routine):
    """Takes a little while for each number; says when it was stopped."""

    def __init__(self) -> None:
        super().__init__()
        self.define_slot("input", handler=self.work_async if WORK == "async" else self.work)

    def work(self, n: int) -> None:
        is_busy.set()
        threading.Event().wait(0.005)
        self.send_output("done", n=n)

    async def work_async(self, n: int) -> None:
        is_busy.set()
        await asyncio.sleep(0.005)
        self.send_output("done", n=n)

    def on_stop(self) -> None:
        stopped.append("stage")


class Source(Routine):
    """Sends the numbers, in one step or, as a generator, in one step each."""

    def __init__(self) -> None:
        super().__init__()
        self.define_slot("trigger", handler=self.generate if WORK == "generator" else self.send)
        self.define_event("numbers")
        self.state["next"] = 0

    def send(self) -> None:
        for n in range(MESSAGES):
            self.emit("numbers", n=n)

    def generate(self) -> Iterator[None]:
        while self.state["next"] < MESSAGES:
            self.emit("numbers", n=self.state["next"])
            self.state["next"] += 1
            yield

    def on_stop(self) -> None:
        stopped.append("source")


def handle_output(job_id: str, routine_id: str, output_type: str, data: Any) -> None:
    handled.append(data["n"])


def started_job(runtime: Runtime) -> JobState:
    flow = Flow("numbers")
    flow.add_routine(Source(), "source")
    flow.add_routine(Stage(), "stage")
    flow.connect("source.numbers", "stage.input")
    job = runtime.exec(flow, "source", keep_alive=True)
    job.set_output_handler(CallbackOutputHandler(handle_output))
    if WORK == "keep_alive":
        is_busy.wait()
    else:
        job.close()
    if WORK == "idle":
        job.wait()
    return job


def report(job: JobState) -> None:
    threads = [thread.name for thread in threading.enumerate() if thread is not threading.main_thread()]
    facts = {"status": str(job.status), "handled": len(handled), "stopped": stopped, "threads": threads}
    print(json.dumps(facts), flush=True)


def end(runtime: Runtime) -> None:
    if ENDING == "exception":
        raise ValueError("seen")
    if ENDING == "exit":
        sys.exit(3)
    if ENDING == "_exit":
        os._exit(5)
    if ENDING == "handled":
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(0 if runtime.shutdown(timeout=5.0) else 1))
    if ENDING != "end":
        print("ready", flush=True)
        # In slices: a signal that comes just before a wait begins would not be handled until it ends.
        while not threading.Event().wait(0.1):
            pass


def main() -> None:
    runtime = Runtime(4)
    job = started_job(runtime)
    atexit.register(report, job)
    is_busy.wait()
    end(runtime)


main()
