"""Pages of a SQLite store that do not fit together: what they hide, or show twice, is told of as damage."""

import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from flowforge.stores.store_errors import StoreDamagedError
from tests.stores.written_disks import Life, found

_LEAF_HEADER = 8


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A store with three jobs, of which `a` was folded three times."""
    life = Life(tmp_path / "jobs.db")
    for job in "abcaa":
        life.grow(job, 4)
        life.shorten("a")
    held = life.held
    life.close()
    assert found(tmp_path / "jobs.db") == held
    return tmp_path / "jobs.db"


def turned_round(index: str) -> Callable[[Path], None]:
    """An index whose one page has its entries in the wrong order."""

    def change(path: Path) -> None:
        database = sqlite3.connect(path)
        (root,) = database.execute("SELECT rootpage FROM sqlite_schema WHERE name = ?", (index,)).fetchone()
        (size,) = database.execute("PRAGMA page_size").fetchone()
        database.close()
        data = bytearray(path.read_bytes())
        start = (root - 1) * size
        count = int.from_bytes(data[start + 3 : start + 5])
        first = start + _LEAF_HEADER
        places = [data[at : at + 2] for at in range(first, first + 2 * count, 2)]
        data[first : first + 2 * count] = b"".join(reversed(places))
        path.write_bytes(data)

    return change


def changed(statement: str) -> Callable[[Path], None]:
    def change(path: Path) -> None:
        database = sqlite3.connect(path)
        database.executescript(f"PRAGMA writable_schema = ON; {statement}")
        database.close()

    return change


DAMAGES: dict[str, tuple[Callable[[Path], None], str]] = {
    "jobs that come again for ever": (turned_round("jobs_in_order"), "the list of its jobs is not what was written"),
    "parts that a search passes by": (turned_round("aside_of_job"), "old records of the job 'a' are missing"),
    "a part at no number": (
        changed("UPDATE aside SET last = x'20' WHERE last = (SELECT max(last) FROM aside)"),
        "old records of the job 'a' are not what was written",
    ),
    "a chunk at no number": (changed("UPDATE chunks SET first = x'20' WHERE job = 'a'"), "records of the job 'a' are"),
    "a chunk of no number": (changed("UPDATE chunks SET count = 'c' WHERE job = 'b'"), "records of the job 'b' are"),
    "a name that is no text": (
        changed("UPDATE sqlite_schema SET name = CAST(x'FF' AS TEXT), sql = 'no' WHERE name = 'large_of_job'"),
        "its schema cannot be read",
    ),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_pages_that_do_not_fit_together_are_reported(path: Path, damage: str) -> None:
    change, message = DAMAGES[damage]

    change(path)

    with pytest.raises(StoreDamagedError, match=message):
        found(path)
