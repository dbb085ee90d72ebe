"""What steps ask of other jobs: its order, its errors, and its being on disk with the step."""

import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from flowforge._engine.after_commit import AfterCommit
from flowforge.flow import Flow
from flowforge.routine import Routine
from flowforge.runtime import Runtime

Chain = Callable[..., Flow]


def test_actions_are_done_in_the_order_of_their_commits_by_one_thread_at_a_time() -> None:
    actions = AfterCommit(threading.RLock())
    done: list[str] = []

    def come_in_between() -> None:
        actions.add([partial(done.append, "second")])
        other = threading.Thread(target=actions.run)
        other.start()
        other.join()
        done.append("first")

    actions.add([come_in_between])
    assert actions
    actions.run()

    assert (done, bool(actions)) == (["first", "second"], False)


def test_an_action_that_raises_keeps_no_other_from_being_done() -> None:
    def refuse() -> None:
        raise LookupError("refused")

    actions = AfterCommit(threading.RLock())
    done: list[int] = []
    actions.add([refuse, partial(done.append, 1)])

    with pytest.raises(LookupError, match="refused"):
        actions.run()

    assert done == [1]


@pytest.mark.parametrize("replicas", [1, 3])
def test_what_a_durable_steps_actions_write_becomes_safe_with_the_step(
    tmp_path: Path, chain: Chain, replicas: int
) -> None:
    """Every frame of the file holds as many steps as jobs that were started by them."""
    child = chain(lambda self: None)
    child.flow_id = "child"

    def start(self: Routine, n: int) -> None:
        runtime.exec(child, job_id=f"child-{n}")

    flow = chain(start)
    flow.routines["a"].set_concurrency(replicas)
    frames: list[range] = []
    with Runtime(store=f"sqlite:///{tmp_path / 'jobs.db'}", flows=[flow, child]) as runtime:
        store = runtime.log
        append = store.append
        kinds: dict[int, str] = {}

        def note(job: str, record: Any) -> int:
            number = append(job, record)
            is_child = job.startswith("child")
            kinds[number] = f"{'child' if is_child else 'parent'} {type(record).__name__}"
            return number

        store.append = note  # type: ignore[method-assign]
        queue = store._queue  # type: ignore[attr-defined]  # noqa: SLF001 - where one frame ends is nobody else's business
        take = queue.take_now

        def taken() -> Any:
            batch = take()
            if batch.entries:
                frames.append(range(batch.first, batch.first + len(batch.entries)))
            return batch

        queue.take_now = taken
        parent = runtime.exec(flow, job_id="parent", entry_params={"n": 0}, keep_alive=True)
        for n in range(1, 50):
            runtime.post(parent, "a", "input", {"n": n})
        parent.close()
        parent.wait()
        runtime.wait_until_all_jobs_finished()

    written = [[kinds[number] for number in frame] for frame in frames]
    steps = [frame.count("parent StepCommitted") for frame in written]
    assert steps == [frame.count("child JobStarted") for frame in written]
    assert sum(steps) == 50
