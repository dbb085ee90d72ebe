"""A thread that shortens long jobs, one after the other, while their store goes on.

Guarantees:

- `fold` is called on that thread alone, with no lock held.
- A job whose fold raises, or which is damaged, is left as it is until the store is opened again.
"""

from __future__ import annotations

import logging
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

from actors.threads import DaemonThread
from flowforge.errors import FlowForgeError
from flowforge.stores.store_errors import StoreDamagedError, StoreFullError, StoreInUseError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from flowforge.stores.sqlite_tables import Stored
    from flowforge.stores.store import Fold, History

__all__ = ["Folder", "kept_if_damaged"]

logger = logging.getLogger("flowforge")

_TOLD = "The job %r cannot be shortened, so it keeps all its records."


@contextmanager
def kept_if_damaged(job: str, keep: Callable[[str], None]) -> Iterator[None]:
    """A block for one job; if that is damaged, `keep` is called with it, and the others go on."""
    try:
        yield
    except StoreDamagedError:
        logger.exception(_TOLD, job)
        keep(job)


class Folder:
    """Shortens what `next_long` gives, by what `fold` makes of it, with `shorten`, until it is stopped."""

    def __init__(
        self,
        next_long: Callable[[], tuple[Stored, History] | None],
        shorten: Callable[[Stored, bytes | None], None],
        fold: Fold,
    ) -> None:
        self._next_long = next_long
        self._shorten = shorten
        self._fold = fold
        self._has_work = threading.Event()
        self._stopping = threading.Event()
        self._thread = DaemonThread(self._run, "flowforge-fold")

    def start(self) -> None:
        """Begin, with the jobs that are long already."""
        self._has_work.set()
        self._thread.start()

    def look(self) -> None:
        """There may be long jobs; any thread may call."""
        self._has_work.set()

    def stop(self) -> None:
        """Return when it has ended, after the job that it is at."""
        self._stopping.set()
        self._has_work.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stopping.is_set():
            self._has_work.wait()
            self._has_work.clear()
            try:
                while not self._stopping.is_set() and (found := self._next_long()) is not None:
                    self._shorten(found[0], self._folded(*found))
            except (StoreFullError, StoreInUseError):
                # Whoever next moves the log into chunks, when there is space, has it look again.
                continue
            except FlowForgeError as error:
                # The writer has failed, or will with the same error.
                logger.warning("Long jobs are shortened no more until their store is opened again: %s", error)
                return

    def _folded(self, stored: Stored, history: History) -> bytes | None:
        try:
            return self._fold(stored.row.job, history)
        except Exception:
            logger.exception(_TOLD, stored.row.job)
            return None
