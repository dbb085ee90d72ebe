"""Waits in the main thread for a job that does not end by itself, while signals come; the argument says which."""

import os
import signal
import sys
import threading
from types import FrameType

from flowforge import Flow, Routine, Runtime

WHAT = sys.argv[1]
SIGNALS = [number for number in signal.valid_signals() if number not in {signal.SIGKILL, signal.SIGSTOP}]


class Idle(Routine):
    """Takes what it gets."""

    def __init__(self) -> None:
        super().__init__()
        self.define_slot("input", handler=lambda: None)


def hear(number: int, frame: FrameType | None) -> None:
    # Not by `print`, which the signal may have interrupted and which cannot be entered twice.
    os.write(1, f"{signal.Signals(number).name} {threading.current_thread().name}\n".encode())
    if number == signal.SIGUSR2:
        job.close()


def wait_and_hear() -> None:
    """Two signals come while the main thread waits; the second one lets the job end."""
    for number in (signal.SIGUSR1, signal.SIGUSR2):
        signal.signal(number, hear)
    print("ready", flush=True)
    print("waited", job.wait(), flush=True)


def wait_for_interrupt() -> None:
    """Ctrl-C ends the wait and not the job."""
    try:
        print("ready", flush=True)
        job.wait()
    except KeyboardInterrupt:
        print("interrupted", job.status, flush=True)
    job.close()
    print("waited", job.wait(), flush=True)


before = {number: signal.getsignal(number) for number in SIGNALS}
runtime = Runtime(2)
flow = Flow("flow")
flow.add_routine(Idle(), "idle")
job = runtime.exec(flow, entry_params={}, keep_alive=True)
print("installed", [number for number in SIGNALS if signal.getsignal(number) != before[number]], flush=True)
{"hear": wait_and_hear, "interrupt": wait_for_interrupt}[WHAT]()
runtime.shutdown()
print("installed", [n for n in SIGNALS if n not in {10, 12, 14} and signal.getsignal(n) != before[n]], flush=True)
