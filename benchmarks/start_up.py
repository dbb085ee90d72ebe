"""What processor time it takes to import FlowForge in a process that is new."""

import os
import subprocess
import sys
import tempfile

from benchmarks.harness import Effort, Row, at_most, take_turns

__all__ = ["measure"]

PROGRAM = "import time; before = time.process_time(); import {}; print(time.process_time() - before)"
DEPENDENCIES = "pykka, msgspec, asyncio"


def import_milliseconds(modules: str, byte_code: str) -> float:
    """Processor time of `import modules` in an interpreter of its own, which keeps byte code in that folder."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    run = subprocess.run(
        [sys.executable, "-c", PROGRAM.format(modules)],
        check=True,
        capture_output=True,
        text=True,
        env={**environment, "PYTHONPYCACHEPREFIX": byte_code},
    )
    return float(run.stdout) * 1000


def measure(effort: Effort) -> list[Row]:
    """Milliseconds; and how much of it the libraries take that it stands on."""
    with tempfile.TemporaryDirectory() as byte_code:
        times = take_turns(
            {
                "flowforge": lambda: import_milliseconds("flowforge", byte_code),
                "dependencies": lambda: import_milliseconds(DEPENDENCIES, byte_code),
            },
            2 * effort.rounds + 1,
            "ms",
        )
    ours, theirs = times["flowforge"], times["dependencies"]
    return [
        Row(work="import flowforge", ours=ours, target=at_most(150, stretch=80)),
        Row(work="import flowforge", ours=ours, peer=f"import {DEPENDENCIES}", theirs=theirs),
    ]
