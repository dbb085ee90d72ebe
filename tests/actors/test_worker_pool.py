from collections.abc import Callable

import pytest

from actors.dispatcher import TurnLimits
from actors.testing.stepped_threads import SteppedThreads
from actors.testing.thread_schedule import SteppedThread
from actors.worker_pool import WorkerPool
from tests.actors.stand_ins import Caller, Unstartable


class FewThreads(SteppedThreads):
    """Stepped threads that make only the monitor and the first `workers` workers."""

    workers = 1

    def thread(self, target: Callable[[], object], name: str) -> SteppedThread:
        refused = [f"pool-worker-{number}" for number in range(self.workers, 4)]
        return (Unstartable if name in refused else SteppedThread)(self, target, name)


def turns_of(threads: SteppedThreads, submits: int) -> int:
    """How many turns a pool gives that may wake a worker with each submit."""
    turns = [0]

    def count() -> None:
        turns[0] += 1

    def main() -> None:
        pool = WorkerPool(4, TurnLimits(), "pool", lambda: None, threads=threads)
        pool._prompt = 4  # noqa: SLF001 - what an interpreter without the GIL would choose.
        try:
            for _ in range(submits):
                pool.submit(Caller(count))
            threads.wait_until(lambda: turns[0] == submits, "all turns")
        finally:
            pool.stop()
        assert pool.join(lambda: None)

    threads.run(main)
    return turns[0]


def test_a_further_thread_that_cannot_be_had_fails_no_submit() -> None:
    assert turns_of(FewThreads(), submits=3) == 3


def test_a_first_thread_that_cannot_be_had_fails_the_submit() -> None:
    threads = FewThreads()
    threads.workers = 0

    with pytest.raises(RuntimeError, match="can't start new thread"):
        turns_of(threads, submits=1)
