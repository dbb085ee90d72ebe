"""One coroutine on an event loop: started in a context of its own, reported exactly once."""

import asyncio
import contextvars
import logging
from collections.abc import Callable, Coroutine
from typing import Any

from actors.turn_context import TURN_DEPTH

__all__ = ["CoroutineRun", "LoopTask"]

logger = logging.getLogger("actors")


class LoopTask:
    """A coroutine on the loop, for those who may only cancel it."""

    __slots__ = ("_cancel",)

    def __init__(self, cancel: Callable[[], object]) -> None:
        self._cancel = cancel

    def cancel(self) -> None:
        """Raise CancelledError inside the coroutine soon; nothing happens if it has ended."""
        self._cancel()


class CoroutineRun:
    """A coroutine and who is told of its end; made on any thread, used on the loop's thread only.

    Whatever the coroutine raises, SystemExit too, is an outcome and never ends the loop.
    """

    __slots__ = ("_context", "_coroutine", "_error", "_on_done", "_on_end", "_result", "task")

    def __init__(
        self,
        coroutine: Coroutine[Any, Any, object],
        on_done: Callable[[object, BaseException | None], None],
        context: contextvars.Context | None = None,
    ) -> None:
        self._coroutine = coroutine
        self._on_done = on_done
        self._on_end: Callable[[CoroutineRun], None] | None = None
        self._context = contextvars.copy_context() if context is None else context
        if not self._context.get(TURN_DEPTH):
            self._context.run(TURN_DEPTH.set, 1)
        self._result: object = None
        self._error: BaseException | None = None
        self.task: asyncio.Task[None] | None = None

    @property
    def name(self) -> str:
        """The coroutine's name, for people."""
        return getattr(self._coroutine, "__qualname__", type(self._coroutine).__name__)

    def start(
        self, loop: asyncio.AbstractEventLoop, on_end: Callable[["CoroutineRun"], None] | None = None
    ) -> asyncio.Task[None]:
        """Make the task that runs it; `on_end` is called when its end has been reported."""
        self._on_end = on_end
        self.task = loop.create_task(self._run(), name=self.name, context=self._context)
        # Not in the coroutine's own context: whoever is told may enter that one again at once, on another thread.
        self.task.add_done_callback(self._finish, context=contextvars.Context())
        return self.task

    async def _run(self) -> None:
        try:
            self._result = await self._coroutine
        except BaseException as error:  # noqa: BLE001
            self._error = error

    def _finish(self, task: asyncio.Task[None]) -> None:
        if task.cancelled():
            # Cancelled before its first step: closing it prevents the warning that it was never awaited.
            self._coroutine.close()
            self._error = asyncio.CancelledError()
        try:
            self._on_done(self._result, self._error)
        except BaseException:
            logger.exception("The end of coroutine %r could not be reported.", self.name)
        if self._on_end is not None:
            self._on_end(self)
