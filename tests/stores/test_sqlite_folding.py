"""Long jobs are shortened: a base stands for their first records, and recovery goes on from it."""

import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import pytest

from actors.testing.manual_clock import ManualClock
from flowforge._engine.bases import Bases
from flowforge.durable_jobs import bases_for
from flowforge.error_handler import ErrorHandler, ErrorStrategy
from flowforge.flow import Flow
from flowforge.job_state import JobState
from flowforge.job_state_file import tree_of
from flowforge.options import RuntimeOptions
from flowforge.records import Record
from flowforge.routine import Routine
from flowforge.runtime import Runtime
from flowforge.stores.codec import Codec
from flowforge.stores.sqlite import SqliteStore
from flowforge.stores.store import Fold, History
from flowforge.stores.store_errors import StoreRetentionError
from flowforge.testing.inputs import Pause
from flowforge.testing.simulation import simulate
from flowforge.testing.store_contract import moved, started, written


class Source(Routine):
    """Emits numbers, with a cursor."""

    def __init__(self) -> None:
        super().__init__()
        self.define_slot("trigger", handler=self.produce)
        self.define_event("out")
        self.state["next"] = 0

    def produce(self, n: int = 0) -> Any:
        while self.state["next"] < n:
            self.emit("out", n=self.state["next"])
            self.state["next"] += 1
            yield


class Sink(Routine):
    """Adds up, fails at each fifth number the first time, and gives up each seventh."""

    def __init__(self) -> None:
        super().__init__()
        self.define_slot("input", handler=self.take)
        self.define_event("sum")
        self.state["sum"] = 0

    def take(self, n: int = 0) -> None:
        if n % 7 == 3:
            raise KeyError(n)
        self.state["sum"] += n
        self.emit("sum", total=self.state["sum"])


def counting() -> Flow:
    flow = Flow("counting")
    flow.add_routine(Source(), "source")
    sink = Sink()
    sink.set_error_handler(
        ErrorHandler(ErrorStrategy.RETRY, max_retries=1, retry_delay=0.01, on_exhausted=ErrorStrategy.SKIP)
    )
    flow.add_routine(sink, "sink")
    flow.connect("source.out", "sink.input")
    return flow


def bases(**limits: int) -> Bases:
    options = RuntimeOptions(max_history=limits.get("max_history", 1000), max_outputs=limits.get("max_outputs", 1000))
    return bases_for(Codec(), options)


def log_of(inputs: list[Any]) -> list[Record]:
    return [record for _, record in simulate(counting(), inputs, is_durable=True).records]


def facts(recovered: tuple[Any, Any, bool]) -> tuple[Any, ...]:
    data, view, goes_on = recovered
    tree = tree_of(JobState(data, view, Codec())) if not data.lacks_cursor else data.lacks_cursor
    return tree, goes_on, data.starts, data.suspect


@pytest.mark.parametrize("inputs", [[{"n": 12}], [{"n": 4}, Pause(), {"n": 9}]])
def test_a_base_at_any_place_of_a_log_stands_for_all_before_it(inputs: list[Any]) -> None:
    records = log_of(inputs)
    makes = bases()

    for at in range(1, len(records)):
        base = makes.fold("simulated", History(None, records[:at]))
        whole = makes.recover("simulated", History(None, records))
        assert facts(makes.recover("simulated", History(base, records[at:]))) == facts(whole)
        start = facts(makes.recover("simulated", History(base, [])))
        assert start == facts(makes.recover("simulated", History(None, records[:at])))


def test_a_base_of_a_base_keeps_no_more_history_than_it_may() -> None:
    records = log_of([{"n": 20}])
    makes = bases(max_history=10)
    base = None

    for at in range(0, len(records), 7):
        base = makes.fold("simulated", History(base, records[at : at + 7]))

    _, view, _ = makes.recover("simulated", History(base, []))
    _, whole, _ = makes.recover("simulated", History(None, records))
    assert len(view.history) == 10
    assert (view.entries(), view.history_dropped) == (whole.entries(), whole.history_dropped)


class Folded:
    """A fold that tells when it was called; its base is the number of records that it stands for."""

    def __init__(self) -> None:
        self.called = threading.Semaphore(0)

    def __call__(self, job: str, history: History) -> bytes:
        self.called.release()
        return str(int(history.base or b"0") + len(history.records)).encode()


def total(history: History) -> int:
    return int(history.base or b"0") + len(history.records)


def filled(store: SqliteStore, count: int) -> None:
    number = store.append("a", started())
    for position in range(2, count + 1):
        number = store.append("a", written(position, "x" * 100))
        if position % 100 == 0:
            store.wait_until_safe(number)
    store.wait_until_safe(number)
    store.jobs()


def test_no_more_of_a_job_is_shortened_at_once_than_makes_it_long(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "jobs.db", Codec(), fold_records=150)
    number = store.append("a", started())
    for position in range(2, 1001):
        number = store.append("a", written(position, "x"))
        if position % 100 == 0:
            store.wait_until_safe(number)
            store.jobs()
    counts: list[int] = []
    shortened = Folded()

    def fold(job: str, history: History) -> bytes:
        counts.append(len(history.records))
        return shortened(job, history)

    store.fold_with(fold)

    for _ in range(5):
        assert shortened.called.acquire(timeout=30)
    store.fold_with(None)
    assert counts == [200] * 5
    assert (total(store.history("a")), len(store.records("a"))) == (1000, 0)
    store.close()


def test_a_long_job_is_shortened_and_loses_nothing(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "jobs.db", Codec(), fold_records=500)
    fold = Folded()
    store.fold_with(fold)

    filled(store, 30_000)
    assert fold.called.acquire(timeout=30)
    store.close()

    again = SqliteStore(tmp_path / "jobs.db", Codec(), fold_records=500)
    history = again.history("a")
    assert history.base is not None
    assert total(history) == 30_000
    assert [record.position for record in history.records] == list(range(int(history.base) + 1, 30_001))
    again.close()


def test_a_job_that_is_long_already_is_shortened_when_opened(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "jobs.db", Codec())
    filled(store, 3_000)
    store.close()

    again = SqliteStore(tmp_path / "jobs.db", Codec(), fold_bytes=10_000)
    fold = Folded()
    again.fold_with(fold)
    assert fold.called.acquire(timeout=30)
    again.close()

    last = SqliteStore(tmp_path / "jobs.db", Codec())
    assert last.history("a") == History(b"3000", [])
    assert [job.id for job in last.jobs()] == ["a"]
    last.close()


def test_a_large_base_is_not_made_again_for_each_few_records(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "jobs.db", Codec(), fold_records=5)
    folded: SimpleQueue[str] = SimpleQueue()
    large = 0

    def fold(job: str, history: History) -> bytes:
        folded.put(job)
        return bytes(100_000) if job == "large" else b"small"

    store.fold_with(fold)
    for first in range(1, 25, 6):
        for job in ("large", "small"):
            records = [started() if position == 1 else written(position) for position in range(first, first + 6)]
            store.wait_until_safe([store.append(job, record) for record in records][-1])
        store.jobs()
        # The large job became long before the small one, if it did.
        while folded.get(timeout=30) != "small":
            large += 1
    store.fold_with(None)

    assert large == 1
    store.close()


def test_a_job_that_cannot_be_shortened_keeps_its_records(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    store = SqliteStore(tmp_path / "jobs.db", Codec(), fold_records=10)
    asked = threading.Event()

    def refuse(job: str, history: History) -> bytes:
        asked.set()
        raise ValueError(job)

    store.fold_with(refuse)
    filled(store, 1_000)
    store.append("b", started())
    assert asked.wait(30)
    store.close()

    assert caplog.text.count("The job 'a' cannot be shortened, so it keeps all its records.") == 1
    again = SqliteStore(tmp_path / "jobs.db", Codec())
    assert len(again.records("a")) == 1_000
    again.close()


def test_a_job_that_is_deleted_while_it_is_shortened_stays_away(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "jobs.db", Codec(), fold_records=10)
    deleting: list[Callable[[], object]] = [lambda: store.delete(["a"])]
    done = threading.Event()

    def fold(job: str, history: History) -> bytes:
        while deleting:
            deleting.pop()()
        done.set()
        return b"1"

    store.fold_with(fold)
    filled(store, 1_000)
    assert done.wait(30)
    store.close()

    again = SqliteStore(tmp_path / "jobs.db", Codec())
    assert again.jobs() == []
    assert again.history("a") == History(None, [])
    again.close()


class Telling(SqliteStore):
    """Tells when a job was folded."""

    def fold_with(self, fold: Fold | None, *, keeps_records: bool = False) -> None:
        if fold is None:
            super().fold_with(None)
            return
        self.folded = threading.Event()

        def tell(job: str, history: History) -> bytes:
            base = fold(job, history)
            self.folded.set()
            return base

        super().fold_with(tell, keeps_records=keeps_records)


def test_a_runtime_reads_a_job_from_its_base(tmp_path: Path) -> None:
    flow = counting()
    store = Telling(tmp_path / "jobs.db", Codec(), fold_records=5)
    with Runtime(store=store, flows=[flow]) as runtime:
        assert runtime.exec(flow, entry_params={"n": 40}, job_id="one").wait(60)
        store.jobs()
        assert store.folded.wait(30)
    store.close()

    again = SqliteStore(tmp_path / "jobs.db", Codec())
    with Runtime(store=again, flows=[flow]) as runtime:
        job = runtime.get_job("one")
        assert job is not None
        assert again.history("one").base is not None
        assert job.status == "completed"
        assert job.get_routine_state("sink") == {"sum": sum(n for n in range(40) if n % 7 != 3)}
    again.close()


def test_finished_jobs_are_pruned_by_age_and_status(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "jobs.db", Codec(), clock=ManualClock())
    now = ManualClock().now()
    number = 0
    for job, status, age in (("a", "completed", 10), ("b", "completed", 1), ("c", "failed", 10), ("d", "paused", 10)):
        store.append(job, started(at=now - age))
        number = store.append(job, moved(2, status, at=now - age))
    store.wait_until_safe(number)

    assert store.prune(older_than=timedelta(seconds=5)) == 1
    assert [job.id for job in store.jobs()] == ["b", "c", "d"]
    assert store.prune(datetime.fromtimestamp(now, UTC), "failed") == 1
    assert store.prune() == 1
    assert [job.id for job in store.jobs()] == ["d"]
    store.vacuum()
    assert store.records("d") == [started(at=now - 10), moved(2, "paused", at=now - 10)]
    store.close()


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"status": "running"}, r"with status = 'running'\. Choose among completed, cancelled and failed\."),
    ({"status": 5}, r"with status = 5\. Choose among"),
    ({"status": ["failed", [], None]}, r"with status = \[\]\. Choose among"),
    ({"older_than": -1}, r"with older_than = -1\. Give seconds before now, 0 or more, a timedelta, or a time\."),
    ({"older_than": "1 day"}, r"with older_than = '1 day'\. Give seconds before now"),
    ({"older_than": timedelta(-1)}, r"with older_than = .*timedelta.*\. Give seconds before now"),
    ({"older_than": datetime(2026, 1, 1)}, r"with older_than = .*\. Give the time a time zone\."),  # noqa: DTZ001 - wrong on purpose
]


@pytest.mark.parametrize(("options", "message"), WRONG)
def test_what_cannot_be_pruned_is_named(tmp_path: Path, options: dict[str, Any], message: str) -> None:
    store = SqliteStore(tmp_path / "jobs.db", Codec())

    with pytest.raises(StoreRetentionError, match=message):
        store.prune(**options)

    store.close()


NO_IDS: list[tuple[Any, str]] = [
    (None, r"with ids = None\. Give the ids of jobs, which are texts; that of a JobState is its job_id\."),
    (["a", 5], r"with id = 5\. Give the ids of jobs"),
    ("\ud800", r"with id = '\\ud800'\. Give the ids of jobs"),
]


@pytest.mark.parametrize(("jobs", "message"), NO_IDS)
def test_what_is_no_id_of_a_job_is_not_deleted(tmp_path: Path, jobs: Any, message: str) -> None:
    store = SqliteStore(tmp_path / "jobs.db", Codec())
    store.wait_until_safe(store.append("a", started()))

    with pytest.raises(StoreRetentionError, match=message):
        store.delete(jobs)

    assert [job.id for job in store.jobs()] == ["a"]
    store.close()


def test_vacuum_gives_space_back(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "jobs.db", Codec())
    filled(store, 20_000)
    before = sum(file.stat().st_size for file in tmp_path.iterdir())

    assert store.delete(["a", "missing"]) == 1
    store.vacuum()

    assert sum(file.stat().st_size for file in tmp_path.iterdir()) < before / 10
    store.close()
