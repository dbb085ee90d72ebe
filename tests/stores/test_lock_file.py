"""The file beside a store: up to where it is safe, whatever a kill has torn, and which store it is for."""

from pathlib import Path

import pytest

from flowforge.stores.lock_file import LockFile
from flowforge.stores.store_errors import StoreDamagedError

IDENTITY = "a" * 32


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A store of which seven records were noted as safe, then eight."""
    path = tmp_path / "jobs.db"
    lock = LockFile(path)
    lock.begin(IDENTITY, 0)
    lock.note_safe(7)
    lock.note_safe(8)
    lock.close()
    return path


def test_the_last_number_that_was_noted_is_read(path: Path) -> None:
    lock = LockFile(path)

    assert (lock.identity, lock.acknowledged) == (IDENTITY, 8)
    lock.close()


def test_a_number_that_a_kill_has_torn_leaves_the_one_before_it(path: Path) -> None:
    file = Path(f"{path}.lock")
    data = file.read_bytes()
    at = data.rindex((8).to_bytes(8))
    file.write_bytes(data[:at] + b"\xff" + data[at + 1 :])

    lock = LockFile(path)

    assert lock.acknowledged == 7
    lock.close()


def test_a_lock_of_no_store_is_damaged(path: Path) -> None:
    file = Path(f"{path}.lock")
    file.write_bytes(file.read_bytes().replace(IDENTITY.encode(), bytes(32)))

    with pytest.raises(StoreDamagedError, match=r"the \.lock file beside it is not what was written"):
        LockFile(path)
