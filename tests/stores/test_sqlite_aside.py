"""Records that a base stands for, set aside: they go with their job, and damage to them is told of."""

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from flowforge.stores.codec import Codec
from flowforge.stores.sqlite import SqliteStore
from flowforge.stores.sqlite_tables import Stored
from flowforge.stores.store import History
from flowforge.stores.store_errors import StoreDamagedError
from flowforge.testing.store_contract import started, written


def fold(job: str, history: History) -> bytes:
    return str(int(history.base or b"0") + len(history.records)).encode()


class Shortening(SqliteStore):
    """Shortens a job whenever a test says so."""

    def shorten(self, job: str) -> None:
        with self._tidied() as tables:
            stored = tables.stored(job)
            assert stored is not None
            self._shorten(stored, fold(job, self._histories.of(stored)))

    def _shorten(self, stored: Stored, base: bytes | None) -> None:
        self._keeps_records = True
        super()._shorten(stored, base)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A store whose job `a` of 30 records was shortened at each tenth."""
    store = Shortening(tmp_path / "jobs.db", Codec())
    for position in range(1, 31):
        store.append("a", started() if position == 1 else written(position))
        if position % 10 == 0:
            store.wait_until_safe(position)
            store.shorten("a")
    store.close()
    return tmp_path / "jobs.db"


def read(path: Path) -> Iterator[int]:
    store = SqliteStore(path, Codec())
    try:
        yield from [record.position for record in store.every_record("a")]
    finally:
        store.close()


def test_what_was_set_aside_is_read_part_by_part(path: Path) -> None:
    store = SqliteStore(path, Codec())

    records = store.every_record("a")
    first = [next(records).position for _ in range(15)]
    store.append("a", written(31))
    store.wait_until_safe(31)

    assert [*first, *(record.position for record in records)] == list(range(1, 32))
    store.close()


def test_a_job_that_is_deleted_while_it_is_read_ends_there(path: Path) -> None:
    store = SqliteStore(path, Codec())
    records = store.every_record("a")
    next(records)

    store.delete(["a"])
    store.append("a", started())
    store.wait_until_safe(31)

    assert [record.position for record in records] == list(range(2, 11))
    assert list(store.every_record("a")) == [started()]
    store.close()


def test_what_was_set_aside_goes_with_its_job(path: Path) -> None:
    store = SqliteStore(path, Codec())
    store.delete(["a"])
    store.close()

    other = sqlite3.connect(path)
    assert other.execute("SELECT count(*) FROM aside").fetchone() == (0,)
    other.close()


DAMAGES = {
    "changed": ("UPDATE aside SET data = zeroblob(length(data))", "are not what was written"),
    "no bytes": ("UPDATE aside SET data = 'text'", "are not what was written"),
    "missing": ("DELETE FROM aside WHERE last = 11", "are missing"),
    "moved": ("UPDATE aside SET last = 100 WHERE last < 11", "are not what was written"),
    "all missing": ("DELETE FROM aside", "are missing"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_damage_to_what_was_set_aside_is_reported(path: Path, damage: str) -> None:
    statement, message = DAMAGES[damage]
    other = sqlite3.connect(path)
    assert other.execute(statement).rowcount > 0
    other.commit()
    other.close()

    with pytest.raises(StoreDamagedError, match=f"old records of the job 'a' {message}"):
        list(read(path))
    store = SqliteStore(path, Codec())
    assert store.history("a") == History(b"30", [])
    store.close()
