"""Every way in which a process ends, while its runtime does nothing or works in each of the ways there are."""

import contextlib
import json
import signal
import subprocess
from typing import Any

import pytest

WORKS = ("idle", "sync", "async", "generator", "keep_alive")
MESSAGES = 20
# More than anybody would wait for.
ENDLESS = 100_000

each_work = pytest.mark.parametrize("work", WORKS)

DRAINED = {"status": "completed", "handled": MESSAGES, "stopped": ["source", "stage"], "threads": []}


def reported(output: str) -> dict[str, Any]:
    facts: dict[str, Any] = json.loads(output.splitlines()[-1])
    return facts


def wait_until_ready(process: subprocess.Popen[str]) -> None:
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"


@each_work
@pytest.mark.parametrize(("ending", "code"), [("end", 0), ("exit", 3)])
def test_an_end_of_the_program_drains_what_was_going_on(programs: Any, work: str, ending: str, code: int) -> None:
    ended = programs.run("endings", work, ending, str(MESSAGES))

    assert (ended.code, ended.errors) == (code, "")
    assert reported(ended.output) == DRAINED


@each_work
def test_an_unhandled_exception_is_shown_alone_and_drains(programs: Any, work: str) -> None:
    ended = programs.run("endings", work, "exception", str(MESSAGES))

    assert ended.code == 1
    assert ended.errors.startswith("Traceback")
    assert ended.errors.endswith("\nValueError: seen\n")
    assert reported(ended.output) == DRAINED


@each_work
def test_a_signal_handler_may_shut_the_runtime_down(programs: Any, work: str) -> None:
    process = programs.start("endings", work, "handled", str(MESSAGES))
    wait_until_ready(process)

    process.send_signal(signal.SIGTERM)
    ended = programs.end(process)

    assert (ended.code, ended.errors) == (0, "")
    assert reported(ended.output) == DRAINED


@each_work
def test_an_interrupt_of_the_main_thread_drains(programs: Any, work: str) -> None:
    process = programs.start("endings", work, "interrupt", str(MESSAGES))
    wait_until_ready(process)

    process.send_signal(signal.SIGINT)
    ended = programs.end(process)

    assert ended.code == -signal.SIGINT
    assert ended.errors.endswith("\nKeyboardInterrupt\n")
    assert ended.errors.count("Traceback") == 1
    assert reported(ended.output) == DRAINED


@each_work
def test_further_interrupts_end_the_drain_at_once(programs: Any, work: str) -> None:
    process = programs.start("endings", work, "interrupt", str(MESSAGES if work == "idle" else ENDLESS))
    wait_until_ready(process)

    # One that comes while the first one's traceback is being written is swallowed by that.
    for _ in range(20):
        process.send_signal(signal.SIGINT)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(0.2)
            break
    ended = programs.end(process)

    assert ended.code != 0
    assert "KeyboardInterrupt" in ended.errors


@each_work
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL], ids=["term", "kill"])
def test_a_signal_without_a_handler_ends_it_at_once(programs: Any, work: str, number: signal.Signals) -> None:
    process = programs.start("endings", work, "signal", str(MESSAGES if work == "idle" else ENDLESS))
    wait_until_ready(process)

    process.send_signal(number)
    ended = programs.end(process)

    assert (ended.code, ended.output, ended.errors) == (-number, "", "")


@each_work
def test_an_immediate_exit_waits_for_nothing(programs: Any, work: str) -> None:
    ended = programs.run("endings", work, "_exit", str(MESSAGES if work == "idle" else ENDLESS))

    assert (ended.code, ended.output, ended.errors) == (5, "", "")
