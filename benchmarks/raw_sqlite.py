"""What SQLite takes by itself for records that a flow has written: the limits of everything durable."""

import sqlite3
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from benchmarks.harness import seconds_of
from flowforge.stores.frames import encode_entry, unpack

__all__ = ["Watched", "frame_seconds", "new_connection", "row_seconds"]

BATCH = 500


class Watched(sqlite3.Connection):
    """The connection of a store that keeps the frames which it was given, and so knows how many there were."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.frames: list[bytes] = []

    def execute(self, statement: str, parameters: Any = (), /) -> sqlite3.Cursor:
        """Run a statement."""
        if statement.startswith("INSERT INTO frames"):
            self.frames.append(parameters[1])
        return super().execute(statement, parameters)

    def records(self) -> list[bytes]:
        """The records in the frames, each as it was written."""
        return [encode_entry(entry) for frame in self.frames for entry in unpack(frame, None).entries]


def new_connection(folder: str) -> sqlite3.Connection:
    """A database with the settings of a store, and nothing of ours in it."""
    connection = sqlite3.connect(Path(folder) / "raw.db", isolation_level=None)
    connection.execute("PRAGMA journal_mode = WAL").fetchall()
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("CREATE TABLE log (first INTEGER PRIMARY KEY, data BLOB)")
    return connection


def frame_seconds(records: Sequence[bytes], *, batch: int = BATCH) -> float:
    """Seconds to write these records, so many in a frame, with one statement and one commit for each."""

    def fill(connection: sqlite3.Connection) -> None:
        for first in range(0, len(records), batch):
            frame = b"".join(records[first : first + batch])
            connection.execute("INSERT INTO log VALUES (?, ?)", (first, frame))

    return _seconds(fill)


def row_seconds(records: Sequence[bytes], *, batch: int = BATCH) -> float:
    """Seconds to write these records as rows, so many in a transaction."""

    def fill(connection: sqlite3.Connection) -> None:
        for first in range(0, len(records), batch):
            connection.execute("BEGIN")
            connection.executemany("INSERT INTO log VALUES (?, ?)", enumerate(records[first : first + batch], first))
            connection.execute("COMMIT")

    return _seconds(fill)


def _seconds(fill: Callable[[sqlite3.Connection], None]) -> float:
    with tempfile.TemporaryDirectory() as folder:
        connection = new_connection(folder)
        try:
            return seconds_of(lambda: fill(connection))
        finally:
            connection.close()
