"""Signals belong to the program: the library installs no handler, and its waits let those of the program run."""

import signal
import sys
from typing import Any

import pytest

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such signals.")


def started(programs: Any, what: str) -> Any:
    process = programs.start("signals", what)
    assert process.stdout.readline() == "installed []\n"
    assert process.stdout.readline() == "ready\n"
    return process


def test_signal_handlers_run_while_the_main_thread_waits(programs: Any) -> None:
    process = started(programs, "hear")

    process.send_signal(signal.SIGUSR1)
    heard = process.stdout.readline()
    process.send_signal(signal.SIGUSR2)
    ended = programs.end(process)

    assert heard == "SIGUSR1 MainThread\n"
    assert ended.output == "SIGUSR2 MainThread\nwaited True\ninstalled []\n"
    assert (ended.code, ended.errors) == (0, "")


def test_an_interrupt_ends_a_wait_and_not_the_job(programs: Any) -> None:
    process = started(programs, "interrupt")

    process.send_signal(signal.SIGINT)
    ended = programs.end(process)

    assert ended.output == "interrupted running\nwaited True\ninstalled []\n"
    assert (ended.code, ended.errors) == (0, "")
