"""Disks of SQLite stores that are slow, full or broken when a test says so."""

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from flowforge.stores.store import Store

__all__ = ["BROKEN", "FULL", "FailingConnection", "failing_connections", "held"]

BROKEN = "disk I/O error"
FULL = "database or disk is full"
_NAMES = {BROKEN: "SQLITE_IOERR_WRITE", FULL: "SQLITE_FULL"}


class FailingConnection(sqlite3.Connection):
    """Fails while there is a `trouble`, BROKEN or FULL, at statements that begin with `fails_at`."""

    trouble = ""
    fails_at = "INSERT"

    def execute(self, sql: str, parameters: Any = (), /) -> sqlite3.Cursor:
        if self.trouble and sql.startswith(self.fails_at):
            error = sqlite3.OperationalError(self.trouble)
            error.sqlite_errorname = _NAMES[self.trouble]
            raise error
        return super().execute(sql, parameters)


def failing_connections(**attributes: str) -> type[FailingConnection]:
    """A class for one test: what is set on it is so for all its connections."""
    return type("Connections", (FailingConnection,), attributes)


@contextmanager
def held(store: Store, number: int | None = None) -> Iterator[None]:
    """Nothing comes to the disk in the block, once the record of that number has, or all that is safe already.

    The writer makes the calls, so one that does not return holds it.
    """
    is_held, done = threading.Event(), threading.Event()

    def hold() -> None:
        is_held.set()
        done.wait(30)

    store.call_when_safe(store.safe if number is None else number, hold)
    assert is_held.wait(30)
    try:
        yield
    finally:
        done.set()
