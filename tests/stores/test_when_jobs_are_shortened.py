"""When long jobs are shortened: after a burst, or beside it once there is very much."""

import threading
from collections.abc import Callable
from pathlib import Path

from flowforge.stores.codec import Codec
from flowforge.stores.job_rows import JobRow
from flowforge.stores.long_jobs import LongJobs
from flowforge.stores.sqlite import SqliteStore
from flowforge.stores.store import History
from flowforge.testing.store_contract import started, written


def row(job: str, records: int, size: int = 0, base: int = 0) -> JobRow:
    return JobRow(job, "flow", "running", 1, 0, records, size or records, base, 0)


def of(*rows: JobRow, most_bytes: int = 1 << 20, monotonic: Callable[[], float] = lambda: 0.0) -> LongJobs:
    found = LongJobs(10, most_bytes, 10, monotonic)
    found.note(rows)
    return found


def test_a_long_job_waits_while_its_store_is_busy() -> None:
    jobs = of(row("short", 10), row("long", 11))

    assert jobs.next(is_busy=True) is None
    assert jobs.next(is_busy=False) == "long"


def test_ten_times_as_many_records_are_shortened_beside_other_work() -> None:
    assert of(row("a", 100)).next(is_busy=True) is None
    assert of(row("a", 101)).next(is_busy=True) == "a"


def test_ten_times_as_many_bytes_are_shortened_beside_other_work() -> None:
    assert of(row("a", 1, 1000), most_bytes=100).next(is_busy=True) is None
    assert of(row("a", 1, 1001), most_bytes=100).next(is_busy=True) == "a"


def test_ten_seconds_of_steady_work_do_not_keep_a_job_long() -> None:
    times = iter([5.0, 6.0, 14.9, 15.0])
    jobs = of(row("a", 11), monotonic=lambda: next(times))
    jobs.note([row("b", 11)])

    assert jobs.next(is_busy=True) is None
    assert jobs.next(is_busy=True) == "a"


def test_jobs_are_very_much_together_in_the_order_in_which_they_became_long() -> None:
    jobs = of(row("a", 50), row("b", 50))
    assert jobs.next(is_busy=True) is None

    jobs.note([row("b", 51)])

    assert jobs.next(is_busy=True) == "a"
    jobs.forget("a")
    jobs.note([row("a", 50)])
    assert jobs.next(is_busy=True) == "b"


def test_a_job_is_not_long_before_its_records_outweigh_its_base() -> None:
    assert of(row("a", 1000, 5000, base=5000)).next(is_busy=False) is None
    assert of(row("a", 1000, 5001, base=5000)).next(is_busy=False) == "a"


def test_a_job_that_is_to_stay_as_it_is_is_not_told_of_again() -> None:
    jobs = of(row("a", 1000))

    jobs.keep("a")
    jobs.note([row("a", 2000)])

    assert not jobs
    assert jobs.next(is_busy=False) is None
    jobs.forget("a")
    jobs.note([row("a", 2000)])
    assert jobs.next(is_busy=False) == "a"


def test_what_became_long_in_a_burst_is_shortened_after_it(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "jobs.db", Codec(), fold_records=100)
    asked = threading.Event()

    def fold(job: str, history: History) -> bytes:
        asked.set()
        return b"base"

    store.fold_with(fold)
    store.append("a", started())
    for position in range(2, 400):
        store.append("a", written(position, "x"))
    store.append("b", started())
    store.wait_until_safe(store.append("a", written(400, "x")))
    # Moves the log into chunks, as the writer does when there is more of it.
    store.jobs()

    assert asked.wait(30)
    store.close()
