"""What is remembered of a job's execution: all of it, the last of it, or nothing."""

import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from flowforge.errors import FlowForgeError
from flowforge.execution_record import ExecutionRecord
from flowforge.flow import Flow
from flowforge.job_errors import RuntimeOptionError, UnknownJobError
from flowforge.job_state import JobState
from flowforge.options import RuntimeOptions
from flowforge.routine import Routine
from flowforge.runtime import Runtime
from flowforge.stores.codec import Codec
from flowforge.stores.sqlite import SqliteStore
from flowforge.stores.sqlite_tables import Stored
from flowforge.stores.store import History
from flowforge.subscription import Lagged
from tests.engine.jobs import found

Chain = Callable[..., Flow]
Open = Callable[..., Runtime]


def count(self: Routine, n: int) -> Iterator[None]:
    while self.state.setdefault("next", 0) < n:
        self.emit("out", n=self.state["next"])
        self.state["next"] += 1
        yield


def seen(self: Routine, n: int) -> None:
    self.increment_stat("seen", n)


@pytest.fixture
def flow(chain: Chain) -> Flow:
    """It has 2 * n + 1 steps."""
    return chain(count, seen)


class Folding(SqliteStore):
    """Tells of each job that it has shortened."""

    def __init__(self, path: Path) -> None:
        self.shortened = threading.Semaphore(0)
        super().__init__(path, Codec(), fold_records=0)

    def _shorten(self, stored: Stored, base: bytes | None) -> None:
        super()._shorten(stored, base)
        self.shortened.release()


@pytest.fixture
def folding(tmp_path: Path, flow: Flow) -> Iterator[Open]:
    """`folding("full")`: a runtime with that history, on a store that shortens every job."""
    opened: list[tuple[Runtime, SqliteStore]] = []

    def close() -> None:
        while opened:
            runtime, store = opened.pop()
            runtime.shutdown(timeout=30)
            store.close()

    def open_one(history: Any) -> Runtime:
        close()
        store = Folding(tmp_path / "jobs.db")
        options = RuntimeOptions(thread_pool_size=2, history=history)
        opened.append((Runtime(options=options, store=store, flows=[flow]), store))
        return opened[0][0]

    yield open_one
    close()


def run(runtime: Runtime, flow: Flow, n: int) -> JobState:
    job = runtime.exec(flow, entry_params={"n": n}, job_id="job")
    assert job.wait(30)
    return job


def shortened(runtime: Runtime) -> None:
    """Return when the store has made a base of the job, or of its first records: the rest may be too few for one."""
    store = runtime.log
    assert isinstance(store, Folding)
    while store.history("job").base is None:
        assert store.shortened.acquire(timeout=30)


def positions(entries: Iterator[ExecutionRecord | Lagged]) -> list[int]:
    return list(dict.fromkeys(entry.position for entry in entries if isinstance(entry, ExecutionRecord)))


# In memory


def test_a_history_that_is_off_is_empty_and_counts_what_it_missed(flow: Flow) -> None:
    with Runtime(options=RuntimeOptions(thread_pool_size=2, history="off")) as runtime:
        job = run(runtime, flow, 10)

    assert (job.execution_history, job.history_dropped) == ([], job.view.position)
    assert (job.get_routine_state("b"), job.routine_status("b")["calls"]) == ({"seen": 45}, 10)


def test_a_stream_begins_where_a_history_that_is_off_ends(flow: Flow) -> None:
    with Runtime(options=RuntimeOptions(thread_pool_size=2, history="off")) as runtime:
        job = runtime.exec(flow, keep_alive=True)
        stream = job.subscribe()
        runtime.post(job, "a", "input", {"n": 1})
        job.close()
        lagged, *records = stream

    assert isinstance(lagged, Lagged)
    assert [getattr(record, "position", None) for record in records] == list(
        range(lagged.last + 1, job.view.position + 1)
    )


def test_a_loaded_history_is_let_go_where_it_is_off(flow: Flow, tmp_path: Path) -> None:
    with Runtime(2) as runtime:
        job = runtime.exec(flow, keep_alive=True, entry_params={"n": 3})
        next(job.subscribe(from_position=3))
        job.pause()
        job.save(tmp_path / "job.json")

    loaded = JobState.load(tmp_path / "job.json")
    before = len(loaded.execution_history)
    with Runtime(options=RuntimeOptions(thread_pool_size=2, history="off")) as runtime:
        runtime.exec(flow, job_state=loaded).close()
        assert loaded.wait(30)

    assert loaded.execution_history == []
    assert loaded.history_dropped >= before > 0


def test_a_full_history_needs_a_store(flow: Flow) -> None:
    with pytest.raises(
        RuntimeOptionError, match=r"history cannot be 'full'\. Give the runtime a store, which keeps it"
    ):
        Runtime(options=RuntimeOptions(history="full"))


def test_a_history_of_another_kind_is_refused() -> None:
    wrong: Any = "some"

    with pytest.raises(RuntimeOptionError, match=r"history cannot be 'some'\. Give one of \['full', 'recent', 'off'\]"):
        RuntimeOptions(history=wrong)


# On disk


def test_a_full_history_is_read_though_the_job_was_shortened(folding: Open, flow: Flow) -> None:
    runtime = folding("full")
    job = run(runtime, flow, 100)
    shortened(runtime)

    assert list(runtime.read_history("job")) == job.execution_history
    runtime = folding("full")
    assert list(runtime.read_history("job")) == job.execution_history
    assert positions(runtime.read_history("job", 150)) == [
        n for n in positions(runtime.read_history("job")) if n >= 150
    ]


@pytest.mark.parametrize("history", ["recent", "off"])
def test_what_a_shortened_job_has_lost_is_told_of(folding: Open, flow: Flow, history: str) -> None:
    runtime = folding(history)
    job = run(runtime, flow, 100)
    shortened(runtime)

    [lagged] = runtime.read_history("job")

    assert isinstance(lagged, Lagged)
    assert (lagged.first, lagged.last) == (1, job.view.position)
    assert len(job.execution_history) == (0 if history == "off" else 301)


def test_what_was_lost_before_a_history_was_full_stays_lost(folding: Open, flow: Flow) -> None:
    runtime = folding("recent")
    job = runtime.exec(flow, entry_params={"n": 50}, job_id="job", keep_alive=True)
    stream = job.subscribe()
    while job.get_routine_state("b") != {"seen": sum(range(50))}:
        next(stream)
    shortened(runtime)

    runtime = folding("full")
    runtime.post("job", "a", "input", {"n": 100})
    found(runtime).close()
    assert found(runtime).wait(30)
    lagged, *entries = runtime.read_history("job")

    assert isinstance(lagged, Lagged)
    assert lagged.first == 1
    assert positions(iter(entries)) == [n for n in positions(iter(found(runtime).execution_history)) if n > lagged.last]


def test_a_job_that_runs_is_read_as_far_as_it_had_come(folding: Open, flow: Flow) -> None:
    runtime = folding("full")
    job = runtime.exec(flow, job_id="job", keep_alive=True)
    runtime.post(job, "a", "input", {"n": 1})

    entries = list(runtime.read_history(job))

    assert all(isinstance(entry, ExecutionRecord) for entry in entries)


def test_a_history_is_read_from_a_store_only(stepped: Runtime, chain: Chain) -> None:
    job = stepped.exec(chain(seen), keep_alive=True)

    with pytest.raises(RuntimeOptionError, match="Only a store keeps a history to be read; see execution_history"):
        stepped.read_history(job)


@pytest.mark.parametrize("position", [0, -1, True, 1.5, "1"])
def test_a_position_that_no_record_can_have_is_refused(folding: Open, flow: Flow, position: Any) -> None:
    runtime = folding("recent")
    run(runtime, flow, 1)

    with pytest.raises(RuntimeOptionError, match=r"from_position cannot be .*\. Give a whole number, 1 or more\."):
        runtime.read_history("job", position)


def test_the_history_of_no_job_is_refused(folding: Open) -> None:
    with pytest.raises(UnknownJobError, match="has no job 'nobody'"):
        folding("full").read_history("nobody")


def test_what_opening_reads_comes_before_what_can_be_shortened_later(tmp_path: Path, flow: Flow) -> None:
    opened: list[str] = []

    class Reading(Folding):
        def histories(self, jobs: Sequence[str]) -> list[History | FlowForgeError]:
            opened.extend(jobs)
            assert not self.shortened.acquire(timeout=0.2)
            return super().histories(jobs)

    with Runtime(2, store=f"sqlite:///{tmp_path / 'jobs.db'}", flows=[flow]) as runtime:
        job = runtime.exec(flow, entry_params={"n": 50}, job_id="job", keep_alive=True)
        job.pause()

    store = Reading(tmp_path / "jobs.db")
    with Runtime(2, store=store, flows=[flow]):
        assert opened == ["job"]
        assert store.shortened.acquire(timeout=30)
    store.close()
