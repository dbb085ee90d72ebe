"""Programs that run as real processes, and a runtime for the tests that stay in this process."""

import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from flowforge.runtime import Runtime

# Long enough for a loaded machine, and short of the ten seconds that a drain may take by default.
DEADLINE = 9.0

STRICT = ("-W", "error", "-b", "-X", "faulthandler")


@dataclass(frozen=True)
class Ended:
    """How a program ended."""

    code: int
    output: str
    errors: str
    seconds: float


class Programs:
    """Starts the programs beside this file."""

    def __init__(self, repository: Path) -> None:
        self._folder = Path(__file__).parent / "programs"
        self._environment = {"PYTHONPATH": str(repository), "PATH": "/usr/bin:/bin"}
        self._started: list[subprocess.Popen[str]] = []

    def start(self, name: str, *arguments: str, options: tuple[str, ...] = STRICT) -> subprocess.Popen[str]:
        """A running program, strict about warnings unless told otherwise."""
        process = subprocess.Popen(
            [sys.executable, *options, str(self._folder / f"{name}.py"), *arguments],
            env=self._environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self._started.append(process)
        return process

    def run(self, name: str, *arguments: str, options: tuple[str, ...] = STRICT) -> Ended:
        """A program that has ended by itself."""
        return self.end(self.start(name, *arguments, options=options))

    def end(self, process: subprocess.Popen[str]) -> Ended:
        """Wait for the end of a program; past the deadline it is killed, and the test fails."""
        began = time.monotonic()
        try:
            output, errors = process.communicate(timeout=DEADLINE)
        except subprocess.TimeoutExpired:
            process.kill()
            output, errors = process.communicate()
            pytest.fail(f"The program did not end. It had printed {output!r} and {errors!r}.")
        return Ended(process.returncode, output, errors, time.monotonic() - began)

    def kill_all(self) -> None:
        """Leave no program behind, whatever became of the test."""
        for process in self._started:
            process.kill()
            with process:
                process.wait()


@pytest.fixture
def programs(repository: Path) -> Iterator[Programs]:
    """`programs.run(name, argument, ...)`: code, output, errors and seconds of a program's end."""
    programs = Programs(repository)
    yield programs
    programs.kill_all()


@pytest.fixture
def runtime() -> Iterator[Runtime]:
    """A runtime on threads of its own."""
    with Runtime(4) as runtime:
        yield runtime
