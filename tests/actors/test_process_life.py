"""Real processes, since ends and forks cannot be had otherwise; each has a deadline."""

import contextlib
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from actors.pooled_dispatcher import EXIT_SECONDS
from actors.process_life import run_at_exit

DEADLINE = 30.0

PREAMBLE = """
import os, signal, sys, threading
from actors.dispatcher import Group
from actors.pooled_dispatcher import PooledDispatcher
from actors.process_life import run_at_exit

# A shell that starts the tests in the background has it ignored, and children inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)

class Caller:
    group = Group()
    def __init__(self, call): self.call = call
    def run_turn(self, limits): self.call()

def say(text):
    print(text, flush=True)

def in_a_turn(call):
    entered = threading.Event()
    def turn():
        entered.set()
        call()
    dispatcher.submit(Caller(turn))
    entered.wait()

def in_a_turn_beyond_the_end(call):
    # What is registered last goes first: the turn ends when the end has begun, and not before.
    ending = threading.Event()
    in_a_turn(lambda: (ending.wait(), call()))
    run_at_exit(ending.set)

dispatcher = PooledDispatcher(4)
"""


@pytest.fixture
def environment(repository: Path) -> dict[str, str]:
    return {"PYTHONPATH": str(repository), "PATH": "/usr/bin:/bin"}


def start(script: str, environment: dict[str, str]) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-W", "ignore::DeprecationWarning", "-c", PREAMBLE + textwrap.dedent(script)],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def run(script: str, environment: dict[str, str]) -> tuple[int, str, str]:
    with start(script, environment) as process:
        output, errors = process.communicate(timeout=DEADLINE)
    return process.returncode, output, errors


@pytest.mark.parametrize(
    ("ending", "code"),
    [("pass", 0), ("raise ValueError('seen')", 1), ("sys.exit(3)", 3)],
    ids=["end", "exception", "exit"],
)
def test_a_running_turn_ends_before_the_process_does(environment: dict[str, str], ending: str, code: int) -> None:
    script = f"""
        in_a_turn_beyond_the_end(lambda: say("turn ended"))
        {ending}
    """

    assert run(script, environment)[:2] == (code, "turn ended\n")


def test_parked_workers_do_not_keep_the_process_alive(environment: dict[str, str]) -> None:
    script = """
        in_a_turn(lambda: None)
        dispatcher.call_later(3600.0, lambda: None)
    """

    assert run(script, environment) == (0, "", "")


def test_coroutines_are_reported_before_the_process_ends(environment: dict[str, str]) -> None:
    script = """
        import asyncio
        dispatcher.run_async(asyncio.sleep(3600.0), lambda result, error: say(type(error).__name__))
    """

    assert run(script, environment) == (0, "CancelledError\n", "")


def test_a_turn_that_never_ends_delays_the_process_no_longer_than_said(
    environment: dict[str, str],
) -> None:
    script = """
        import actors.pooled_dispatcher
        actors.pooled_dispatcher.EXIT_SECONDS = 0.2
        in_a_turn(threading.Event().wait)
    """

    assert run(script, environment) == (0, "", "")


def test_a_termination_signal_ends_the_process_at_once(environment: dict[str, str]) -> None:
    script = """
        in_a_turn(threading.Event().wait)
        os.kill(os.getpid(), signal.SIGTERM)
        signal.pause()
    """

    assert run(script, environment)[0] == -signal.SIGTERM


def test_a_first_interrupt_drains_and_a_second_ends_the_drain(environment: dict[str, str]) -> None:
    script = """
        in_a_turn(lambda: (say("ready"), threading.Event().wait()))
        threading.Event().wait()
    """

    give_up_at = time.monotonic() + EXIT_SECONDS / 2
    with start(script, environment) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        process.send_signal(signal.SIGINT)
        assert process.stderr is not None
        assert any("KeyboardInterrupt" in line for line in process.stderr)
        # The traceback of the first may swallow a second that comes while it is printed.
        while process.poll() is None and time.monotonic() < give_up_at:
            process.send_signal(signal.SIGINT)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(timeout=0.05)
        process.kill()
        process.communicate()

    assert process.returncode not in {0, -signal.SIGKILL}


def test_a_forked_child_ends_by_itself_and_drains_nothing(environment: dict[str, str]) -> None:
    script = """
        in_a_turn(lambda: None)
        child = os.fork()
        if child:
            code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
            in_a_turn(lambda: say(f"child {code}, parent goes on"))
    """

    assert run(script, environment)[:2] == (0, "child 0, parent goes on\n")


def test_a_multiprocessing_child_drains_its_own_dispatcher(environment: dict[str, str]) -> None:
    script = """
        import multiprocessing
        def work():
            in_a_turn_beyond_the_end(lambda: say("turn ended"))
        child = multiprocessing.get_context("fork").Process(target=work)
        child.start()
        child.join()
    """

    assert run(script, environment) == (0, "turn ended\n", "")


def test_a_dispatcher_first_used_after_the_main_thread_is_drained(
    environment: dict[str, str],
) -> None:
    script = """
        def late():
            threading.main_thread().join()
            me = threading.current_thread()
            try:
                in_a_turn(lambda: (me.join(), say("turn ended")))
            except RuntimeError:
                # From Python 3.12 on, no thread can be started that late.
                say("turn ended")
        threading.Thread(target=late).start()
    """

    assert run(script, environment)[:2] == (0, "turn ended\n")


def test_a_call_that_was_cancelled_is_not_made() -> None:
    calls: list[str] = []
    call = run_at_exit(lambda: calls.append("called"))

    call.cancel()
    call()

    assert calls == []


def test_a_call_is_made_once() -> None:
    calls: list[str] = []
    call = run_at_exit(lambda: calls.append("called"))

    call()
    call()

    assert calls == ["called"]


def test_later_registrations_are_called_first(environment: dict[str, str]) -> None:
    script = """
        from actors.process_life import run_at_exit
        run_at_exit(lambda: say("first registered"))
        run_at_exit(lambda: say("last registered"))
    """

    assert run(script, environment) == (0, "last registered\nfirst registered\n", "")
