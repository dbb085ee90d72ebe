"""The SQLite store against plain lists: appends, folds, deletions, a full disk, and crashes that leave a copy of it."""

import shutil
import tempfile
import threading
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import settings, strategies
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from flowforge.records import Record, SharedWritten
from flowforge.stores.byte_layers import Compression
from flowforge.stores.codec import Codec
from flowforge.stores.sqlite import SqliteStore
from flowforge.stores.store import History
from flowforge.stores.uninterrupted import uninterrupted
from flowforge.testing.store_contract import moved, started, written
from tests.stores.disks import FULL, failing_connections

JOBS = strategies.sampled_from(["a", "b\0", "b", ""])
LARGE = 100
VALUES = strategies.binary(max_size=300) | strategies.sampled_from([b"x" * 200, b"y" * 200])
STATUSES = strategies.sampled_from(["paused", "completed", "cancelled", "running"])


def large_values(records: list[Record]) -> set[object]:
    changes = [change for record in records if isinstance(record, SharedWritten) for change in record.shared]
    return {change.value for change in changes if len(Codec().encode(change.value)) > LARGE}


class SqliteStoreMachine(RuleBasedStateMachine):
    """What was waited for is there after any crash, in order, and nothing else but what was appended after it."""

    keeps_records = True
    folds = 0
    """How many bases were seen by all machines of a class."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        self.boots = 0
        (self.folder / "0").mkdir()
        self.appended: dict[str, list[Record]] = {}
        self.last = 0
        self.called = threading.Semaphore(0)
        self.store = self.opened()

    def opened(self) -> SqliteStore:
        path = self.folder / str(self.boots) / "jobs.db"
        # There may be no space for chunks, while there is some for frames.
        self.connections = failing_connections(fails_at="INSERT INTO chunks")
        store = SqliteStore(
            path,
            Codec(),
            layers=[Compression(smallest=16)],
            fold_records=6,
            fold_backlog=0,
            large_bytes=LARGE,
            retry_interval=0.001,
            connection_type=self.connections,
        )
        store.fold_with(self.fold, keeps_records=self.keeps_records)
        return store

    def fold(self, job: str, history: History) -> bytes:
        """A base that is the text of what it stands for."""
        self.called.release()
        return (history.base or b"") + repr([record.position for record in history.records])[1:-1].encode() + b", "

    @rule(job=JOBS, value=VALUES)
    def append(self, job: str, value: bytes) -> None:
        records = self.appended.setdefault(job, [])
        records.append(written(len(records) + 1, value) if records else started())
        self.last = self.store.append(job, records[-1])

    @rule(job=JOBS, status=STATUSES)
    def move(self, job: str, status: str) -> None:
        records = self.appended.setdefault(job, [])
        if records:
            records.append(moved(len(records) + 1, status))
            self.last = self.store.append(job, records[-1])
        else:
            del self.appended[job]

    @rule()
    def wait(self) -> None:
        self.store.wait_until_safe(self.last)
        assert self.store.safe == self.last

    @rule(is_full=strategies.booleans())
    def fill_or_free_the_disk(self, is_full: bool) -> None:
        self.connections.trouble = FULL if is_full else ""

    @precondition(lambda self: not self.connections.trouble)
    @rule(job=JOBS)
    def delete(self, job: str) -> None:
        self.store.wait_until_safe(self.last)
        assert self.store.delete([job]) == (job in self.appended)
        self.appended.pop(job, None)

    @precondition(lambda self: not self.connections.trouble)
    @rule(job=JOBS, value=VALUES)
    def shorten(self, job: str, value: bytes) -> None:
        """Let a job become so long that a base is made of it, if it has not a larger one, and wait for that."""
        while self.called.acquire(blocking=False):
            pass
        for _ in range(10):
            self.append(job, value)
        self.wait()
        self.store.jobs()
        if self.called.acquire(timeout=0.2):
            self.store.fold_with(None)
            self.store.fold_with(self.fold, keeps_records=self.keeps_records)

    @rule()
    def close_and_open(self) -> None:
        self.store.close()
        self.store = self.opened()
        assert self.store.safe == self.last

    @rule()
    def crash(self) -> None:
        """What a kill would leave: the files as they are, of which nothing that was waited for may be missing."""
        self.wait()
        old = self.folder / str(self.boots)
        self.boots += 1
        # A copy of files that are being written would be none that a kill leaves; their writer is at rest now.
        with self.store._io:  # noqa: SLF001 - nobody else may stop the store between two statements
            shutil.copytree(old, self.folder / str(self.boots))
        self.store.close()
        self.store = self.opened()
        assert self.store.safe == self.last

    @precondition(lambda self: self.appended)
    @invariant()
    def holds_what_was_appended(self) -> None:
        self.store.wait_until_safe(self.last)
        for job, records in self.appended.items():
            history = self.store.history(job)
            type(self).folds += history.base is not None
            text = (history.base or b"").decode()
            positions = [int(word) for word in text.split(", ") if word]
            assert positions + [record.position for record in history.records] == [r.position for r in records]
            assert history.records == records[len(positions) :]
            if self.keeps_records:
                assert list(self.store.every_record(job)) == records
                assert list(self.store.every_record(job, 4)) == records[3:]

    @invariant()
    def keeps_each_large_value_once_and_as_long_as_a_record_names_it(self) -> None:
        self.store.wait_until_safe(self.last)

        def look() -> None:
            # On a thread that is not the main one a read needs no other thread.
            with self.store._io:  # noqa: SLF001 - nobody else may fold between the two looks
                named = {job: large_values(self.named(job)) for job in self.appended}
                execute = self.store._file.connection.execute  # noqa: SLF001 - as above
                kept = execute("SELECT job FROM large").fetchall()
            assert Counter(job for (job,) in kept) == Counter(
                {job: len(values) for job, values in named.items() if values}
            )

        uninterrupted(look)

    def named(self, job: str) -> list[Record]:
        return list(self.store.every_record(job) if self.keeps_records else self.store.history(job).records)

    @invariant()
    def lists_the_jobs(self) -> None:
        self.store.wait_until_safe(self.last)
        assert {job.id for job in self.store.jobs()} == set(self.appended)

    def teardown(self) -> None:
        self.store.close()
        shutil.rmtree(self.folder)


class ShorteningStoreMachine(SqliteStoreMachine):
    """The same of a store that lets go of the records that a base stands for."""

    keeps_records = False
    folds = 0


@pytest.mark.parametrize("machine", [SqliteStoreMachine, ShorteningStoreMachine])
def test_a_store_holds_what_was_appended_whatever_is_done_to_it(machine: type[SqliteStoreMachine]) -> None:
    run_state_machine_as_test(machine, settings=settings(max_examples=25, stateful_step_count=25, deadline=None))

    assert machine.folds > 0
