"""What steps ask of other jobs: done as soon as the job's lock is not held any more, and on disk with the step.

Guarantees:

- The actions of one routine's steps are done in the order of their commits, by one thread at a time.
- An action that raises keeps no other from being done. What another job cannot do any more is logged; anything else
  breaks the actor of the thread that did it.
- What a durable step's actions write becomes safe together with the step, or neither does.
"""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING

from flowforge._engine.logs import logger
from flowforge.errors import FlowForgeError

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable, Iterable

    from flowforge.stores.store import Log

__all__ = ["AfterCommit"]


def _done(action: Callable[[], object]) -> None:
    try:
        action()
    except FlowForgeError:
        # The step has committed, and nobody is left to be told.
        logger.exception("What a step asked of another job could not be done when it took effect.")


class AfterCommit:
    """The actions that are to be done for one routine; false while none is, or somebody is at it."""

    __slots__ = ("_actions", "_is_acting", "_lock")

    def __init__(self, lock: threading.RLock) -> None:
        self._lock = lock
        self._actions: list[Callable[[], object]] = []
        self._is_acting = False

    def __bool__(self) -> bool:
        return bool(self._actions) and not self._is_acting

    def add(self, actions: Iterable[Callable[[], object]], log: Log | None = None) -> None:
        """Have these done too; given a log, its group that was begun is ended by the last one. With the job's lock."""
        self._actions.extend(actions)
        if log is not None:
            self._actions.append(log.end_group)

    def run(self) -> None:
        """Do all, unless another thread is at it, which will; without the job's lock."""
        while True:
            with self._lock:
                if not self:
                    return
                actions, self._actions = self._actions, []
                self._is_acting = True
            try:
                with ExitStack() as stack:
                    for action in reversed(actions):
                        stack.callback(_done, action)
            finally:
                with self._lock:
                    self._is_acting = False
