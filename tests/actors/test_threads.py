"""The threads that dispatchers are made of."""

import signal
import sys
import threading
from types import FrameType

import pytest

from actors.threads import SYSTEM_THREADS, DaemonThread


class Interrupted(BaseException):
    """What a handler of signals raises."""


def interrupt(_number: int, _frame: FrameType | None) -> None:
    raise Interrupted


def join_with_an_interrupt(thread: DaemonThread) -> None:
    signal.setitimer(signal.ITIMER_REAL, 0.02)
    thread.join()


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such timers.")
def test_whoever_was_interrupted_while_joining_a_thread_may_join_it_again() -> None:
    end = threading.Event()
    thread = DaemonThread(end.wait, "waits")
    thread.start()
    before = signal.signal(signal.SIGALRM, interrupt)
    try:
        with pytest.raises(Interrupted):
            join_with_an_interrupt(thread)
    finally:
        signal.signal(signal.SIGALRM, before)

    thread.join(0.0)
    assert thread.is_alive()
    end.set()
    thread.join()
    assert not thread.is_alive()


def test_a_thread_that_was_not_started_cannot_be_joined() -> None:
    thread = SYSTEM_THREADS.thread(lambda: None, "never")

    with pytest.raises(RuntimeError, match="before it is started"):
        thread.join()


def test_a_thread_that_joins_itself_is_told_so() -> None:
    raised: list[BaseException] = []

    def join() -> None:
        try:
            thread.join()
        except RuntimeError as error:
            raised.append(error)

    thread = DaemonThread(join, "joins itself")
    thread.start()
    thread.join(30)

    assert [str(error) for error in raised] == ["cannot join current thread"]
