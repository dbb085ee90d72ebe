"""What is kept of a job whose live state is bounded does not grow with its steps, on disk or in memory."""

from collections.abc import Callable, Iterator
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Literal

import pytest

from benchmarks.idle import traced
from flowforge._engine.bases import Bases
from flowforge.flow import Flow
from flowforge.job_state import JobState
from flowforge.job_state_file import restore, tree_of
from flowforge.options import RuntimeOptions
from flowforge.routine import Routine
from flowforge.runtime import Runtime
from flowforge.stores.codec import Codec
from flowforge.stores.sqlite import SqliteStore
from flowforge.stores.store import History
from flowforge.testing.simulation import simulate

Chain = Callable[..., Flow]
MEGABYTE = 1 << 20


def produce(self: Routine, n: int = 0) -> Iterator[None]:
    while self.state.setdefault("next", 1000) < 1000 + n:
        for _ in range(10):
            self.emit("out", n=self.state["next"])
            self.state["next"] += 1
        yield


def add(self: Routine, n: int = 0) -> None:
    self.state["sum"] = self.state.setdefault("sum", 0) + n
    self.job_state.shared_data["last"] = n
    self.job_state.shared_log.append(n)
    self.emit("out", n=n)


def base_of(flow: Flow, n: int) -> int:
    """How many bytes the base has that stands for a job of so many messages."""
    bases = Bases(Codec(), 50, 20, tree_of, restore)
    records = [record for _, record in simulate(flow, [{"n": n}], is_durable=True).records]
    assert len(records) > n
    return len(bases.fold("simulated", History(None, records)))


def test_the_base_of_a_job_does_not_grow_with_its_steps(chain: Chain) -> None:
    flow = chain(produce, add)

    assert base_of(flow, 2000) < base_of(flow, 200) * 1.05


def test_what_a_running_job_holds_does_not_grow_with_its_steps(chain: Chain) -> None:
    flow = chain(produce, add)
    options = RuntimeOptions(thread_pool_size=2, max_history=50, max_outputs=20)
    with Runtime(options=options) as runtime:
        job = runtime.exec(flow, entry_params={"n": 3000})
        assert job.wait(60)

    view, data = job.view, job.data
    assert (len(view.history), len(view.past_history), len(view.inbox), len(view.unrecorded)) == (50, 0, 0, 0)
    assert (len(view.outputs["b.out"]), len(data.shared_log)) == (20, 20)
    assert (data.pending, data.keys, data.timers, data.retries, data.dead_letters) == ({}, set(), {}, {}, {})


def test_what_a_durable_job_leaves_in_memory_does_not_grow_with_its_steps(chain: Chain, tmp_path: Path) -> None:
    flow = chain(produce, add)
    options = RuntimeOptions(thread_pool_size=2, max_history=50, max_outputs=20)

    def run(n: int) -> JobState:
        """A job that is shortened many times, on a store that stays open."""
        with Runtime(options=options, store=store, flows=[flow]) as runtime:
            job = runtime.exec(flow, entry_params={"n": n})
            assert job.wait(60)
        # Moves the log into the chunks of the job.
        store.jobs()
        return job

    with closing(SqliteStore(tmp_path / "jobs.db", Codec(), fold_records=100)) as store:
        # What fills once, such as a cache, is there after the first.
        run(200)
        held = [traced(partial(run, n))[1] for n in (200, 5000)]

    assert held[1] - held[0] < 50 * 4800


@pytest.mark.soak
@pytest.mark.parametrize("history", ["recent", "off"])
def test_disk_and_recovery_of_a_million_steps_are_bounded(
    chain: Chain, tmp_path: Path, history: Literal["recent", "off"]
) -> None:
    flow = chain(produce, add)
    store = SqliteStore(tmp_path / "jobs.db", Codec())
    options = RuntimeOptions(thread_pool_size=2, history=history, max_outputs=1000)
    with Runtime(options=options, store=store, flows=[flow]) as runtime:
        job = runtime.exec(flow, entry_params={"n": 1_000_000}, job_id="job")
        assert job.wait()

    base, records = store.history("job")
    store.close()

    # Folding beside the job takes turns with it, so what is not folded yet is what came during one fold.
    assert base is not None
    assert len(base) < 4 * MEGABYTE
    assert len(records) < 200_000
    assert sum(file.stat().st_size for file in tmp_path.iterdir()) < 100 * MEGABYTE
