"""The SQLite store: records a second, how long an acknowledgement takes, and how long a store takes to open."""

import sqlite3
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.harness import Effort, Row, Sample, at_least, at_most, seconds_of, take_turns
from flowforge.records import JobStarted, SharedChange, SharedWritten
from flowforge.stores.codec import Codec
from flowforge.stores.sqlite import SqliteStore

__all__ = ["measure"]

_FRAME = 500


def measure(effort: Effort) -> list[Row]:
    """All figures of the store."""
    count = effort.size(100_000)
    rates = take_turns(
        {"store": lambda: _store_rate(count), "raw": lambda: _raw_rate(count)}, effort.rounds, "records/s"
    )
    rows = [
        Row(
            work=f"{count:,} records", ours=rates["store"], peer="raw frames", theirs=rates["raw"], target=at_least(0.2)
        )
    ]
    for threads in (0, 4):
        times = sorted(_acknowledgements(effort.size(200), threads))
        place = f"beside {threads} busy threads" if threads else "alone"
        bound = at_most(250) if threads else None
        rows += [
            Row(work=f"acknowledgement {place}, p{share}", ours=_milliseconds(times, share), target=limit)
            for share, limit in ((50, None), (99, bound))
        ]
    return [*rows, *_openings(effort)]


def _milliseconds(times: list[float], share: int) -> Sample:
    return Sample((times[min(len(times) - 1, len(times) * share // 100)] * 1e3,), "ms")


def _record(position: int) -> SharedWritten:
    return SharedWritten(position=position, at=1.0, epoch=1, shared=(SharedChange("key", "x" * 100),))


_STARTED = JobStarted(position=1, at=1.0, epoch=1, flow="flow", deliveries=())


@contextmanager
def _opened() -> Iterator[SqliteStore]:
    with tempfile.TemporaryDirectory() as folder:
        store = SqliteStore(Path(folder) / "jobs.db", Codec())
        store.append("job", _STARTED)
        try:
            yield store
        finally:
            store.close()


def _store_rate(count: int) -> float:
    with _opened() as store:
        return count / seconds_of(lambda: _fill(store, count))


def _fill(store: SqliteStore, count: int) -> None:
    number = store.safe
    for position in range(2, count + 2):
        number = store.append("job", _record(position))
        if store.is_full:
            # As the engine does, which starts no step then.
            store.wait_until_safe(number)
    store.wait_until_safe(number)


def _raw_rate(count: int) -> float:
    with tempfile.TemporaryDirectory() as folder:
        connection = sqlite3.connect(Path(folder) / "raw.db", isolation_level=None)
        connection.execute("PRAGMA journal_mode = WAL").fetchall()
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("CREATE TABLE frames (first INTEGER PRIMARY KEY, data BLOB)")
        frame = b"x" * (200 * _FRAME)

        def fill() -> None:
            for first in range(0, count, _FRAME):
                connection.execute("INSERT INTO frames VALUES (?, ?)", (first, frame))

        seconds = seconds_of(fill)
        connection.close()
        return count / seconds


def _acknowledgements(count: int, threads: int) -> list[float]:
    is_over = threading.Event()

    def spin() -> None:
        while not is_over.is_set():
            sum(range(1000))

    busy = [threading.Thread(target=spin, daemon=True) for _ in range(threads)]
    with _opened() as store:
        for thread in busy:
            thread.start()
        times = []
        for position in range(2, count + 2):
            before = time.perf_counter()
            store.wait_until_safe(store.append("job", _record(position)))
            times.append(time.perf_counter() - before)
        is_over.set()
        for thread in busy:
            thread.join()
    return times


def _openings(effort: Effort) -> list[Row]:
    rows = []
    for jobs, records in ((1, effort.size(1_000_000)), (effort.size(100_000), 3)):
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "jobs.db"
            store = SqliteStore(path, Codec())
            for job in range(jobs):
                number = store.append(f"job-{job}", _STARTED)
                for position in range(2, records + 1):
                    number = store.append(f"job-{job}", _record(position))
                store.wait_until_safe(number)
            store.close()
            size = path.stat().st_size / (jobs * records)
            seconds = seconds_of(lambda path=path: _read_all(path))  # type: ignore[misc]  # bound at once
        name = f"{jobs:,} jobs of {records:,} records"
        rows.append(Row(work=f"opening and reading {name}", ours=Sample((seconds,), "s")))
        rows.append(Row(work=f"file of {name}", ours=Sample((size,), "bytes/record")))
    return rows


def _read_all(path: Path) -> None:
    store = SqliteStore(path, Codec())
    for job in store.jobs():
        store.records(job.id)
    store.close()
