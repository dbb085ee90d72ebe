"""Frames: the blocks that a store writes, and what is found out when they are read."""

import sqlite3
from pathlib import Path

import pytest

from flowforge.stores.codec import Codec
from flowforge.stores.frames import FIRST_HASH, DamagedFrame, Entry, pack, unpack
from flowforge.stores.sqlite import SqliteStore
from flowforge.stores.store_errors import StoreDamagedError
from flowforge.testing.store_contract import started, written

ENTRIES = [Entry("job", b"one", 1.5, "running", "flow"), Entry("other", b"two", 2.5)]
FRAME, HASH = pack(3, 7, ENTRIES, FIRST_HASH)


def test_a_frame_tells_epoch_positions_and_records() -> None:
    frame = unpack(FRAME, FIRST_HASH)

    assert (frame.epoch, frame.first, frame.last, frame.entries, frame.hash) == (3, 7, 8, ENTRIES, HASH)


@pytest.mark.parametrize("at", range(len(FRAME)))
def test_no_byte_of_a_frame_can_change_unseen_by_the_one_after(at: int) -> None:
    following, _ = pack(3, 9, ENTRIES[1:], HASH)
    changed = bytearray(FRAME)
    changed[at] ^= 0x41

    with pytest.raises(DamagedFrame):
        unpack(following, unpack(bytes(changed), FIRST_HASH).hash)


def test_a_frame_that_was_cut_off_is_refused() -> None:
    for length in range(len(FRAME)):
        with pytest.raises(DamagedFrame):
            unpack(FRAME[:length], FIRST_HASH)


def test_a_frame_of_another_history_is_refused(tmp_path: Path) -> None:
    """Its numbers and its checksum fit, as those of a process would that wrote though it had been replaced."""
    for name, value in ("ours", 1), ("theirs", 2):
        (tmp_path / name).mkdir()
        store = SqliteStore(tmp_path / name / "jobs.db", Codec())
        for record in started(), written(2, value), written(3, value):
            store.wait_until_safe(store.append("a", record))
        for file in list((tmp_path / name).iterdir()):
            (tmp_path / f"{name}-{file.name}").write_bytes(file.read_bytes())
        store.close()
    (theirs,) = frame_of(tmp_path / "theirs-jobs.db", 3)

    with sqlite3.connect(tmp_path / "ours-jobs.db") as database:
        database.execute("UPDATE frames SET data = ? WHERE first = 3", (theirs,))
    database.close()

    with pytest.raises(StoreDamagedError, match="the frame of the records 3 to 3 does not follow the one before it"):
        SqliteStore(tmp_path / "ours-jobs.db", Codec())


def frame_of(path: Path, first: int) -> tuple[bytes]:
    database = sqlite3.connect(path)
    try:
        found: tuple[bytes] = database.execute("SELECT data FROM frames WHERE first = ?", (first,)).fetchone()
        return found
    finally:
        database.close()
