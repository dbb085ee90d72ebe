"""What it takes to import FlowForge in a process that is new, and to come to the end of a first job there."""

import os
import subprocess
import sys
import tempfile

from benchmarks.harness import Effort, Row, at_most, seconds_of, take_turns

__all__ = ["measure"]

PROGRAM = "import time; before = time.process_time(); import {}; print(time.process_time() - before)"
FIRST_JOB = """
from flowforge import Flow, Routine

class Hello(Routine):
    def __init__(self):
        super().__init__()
        self.define_slot("trigger", handler=lambda: None)

flow = Flow("hello")
flow.add_routine(Hello(), "hello")
assert flow.execute("hello").status == "completed"
"""
FIRST = "process that runs one job, start to end"
DEPENDENCIES = "pykka, msgspec, asyncio"


def output_of(program: str, byte_code: str) -> str:
    """What an interpreter of its own prints, which keeps byte code in that folder."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    run = subprocess.run(
        [sys.executable, "-c", program],
        check=True,
        capture_output=True,
        text=True,
        env={**environment, "PYTHONPYCACHEPREFIX": byte_code},
    )
    return run.stdout


def import_milliseconds(modules: str, byte_code: str) -> float:
    """Processor time of `import modules`."""
    return float(output_of(PROGRAM.format(modules), byte_code)) * 1000


def process_milliseconds(program: str, byte_code: str) -> float:
    """Wall time of a process, from its start to its end."""
    return 1000 * seconds_of(lambda: output_of(program, byte_code))


def measure(effort: Effort) -> list[Row]:
    """Milliseconds; and how much of it the libraries take that it stands on, and Python itself."""
    with tempfile.TemporaryDirectory() as byte_code:
        times = take_turns(
            {
                "flowforge": lambda: import_milliseconds("flowforge", byte_code),
                "dependencies": lambda: import_milliseconds(DEPENDENCIES, byte_code),
                "first job": lambda: process_milliseconds(FIRST_JOB, byte_code),
                "nothing": lambda: process_milliseconds("pass", byte_code),
            },
            2 * effort.rounds + 1,
            "ms",
        )
    ours, theirs = times["flowforge"], times["dependencies"]
    return [
        Row(work="import flowforge", ours=ours, target=at_most(150, stretch=80)),
        Row(work="import flowforge", ours=ours, peer=f"import {DEPENDENCIES}", theirs=theirs, is_limit=True),
        Row(work=FIRST, ours=times["first job"], peer="python -c pass", theirs=times["nothing"], is_limit=True),
    ]
