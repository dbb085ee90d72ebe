"""Reaches its end while something never ends, named by the argument; the runtime waits a quarter of a second."""

import asyncio
import contextlib
import logging
import sys
import threading
from typing import Any

from flowforge import CallbackOutputHandler, Flow, Routine, Runtime, RuntimeOptions

STUCK = sys.argv[1]

is_busy = threading.Event()


def wait_for_ever(*_: Any) -> None:
    is_busy.set()
    threading.Event().wait()


class Stuck(Routine):
    """Does not come back from its handler, its hook or its output handler."""

    def __init__(self) -> None:
        super().__init__()
        self.define_slot("trigger", handler=getattr(self, f"handle_{STUCK}"))
        self.define_event("never")

    def handle_handler(self) -> None:
        wait_for_ever()

    def handle_generator(self) -> Any:
        self.state["began"] = True
        yield
        wait_for_ever()

    async def handle_coroutine(self) -> None:
        is_busy.set()
        await asyncio.Event().wait()

    async def handle_stubborn(self) -> None:
        is_busy.set()
        while True:
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.Event().wait()

    def handle_hook(self) -> None:
        is_busy.set()

    def handle_output(self) -> None:
        self.send_output("done")

    def on_stop(self) -> None:
        if STUCK == "hook":
            wait_for_ever()


def main() -> None:
    logging.basicConfig(format="%(levelname)s %(name)s %(job_id)s %(routine_id)s %(message)s", level="WARNING")
    runtime = Runtime(options=RuntimeOptions(shutdown_timeout=0.25))
    flow = Flow("flow")
    flow.add_routine(Stuck(), "stuck")
    job = runtime.exec(flow, entry_params={}, job_id="job-1", keep_alive=True)
    if STUCK == "output":
        job.set_output_handler(CallbackOutputHandler(wait_for_ever))
        runtime.post(job, "stuck", "trigger", {})
    is_busy.wait()


main()
