"""Runtimes on one thread, where the same work takes the same calls each time: for counting and for profiling."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from actors.dispatcher import Group, TurnLimits
from actors.testing.stepped_dispatcher import SteppedDispatcher
from flowforge.flow import Flow
from flowforge.runtime import Runtime
from flowforge.stores.codec import Codec
from flowforge.stores.memory import MemoryStore

__all__ = ["flushing_store", "stepped_runtime"]


class _Flusher:
    """Makes safe what waits in its store, in turns of its own."""

    def __init__(self, dispatcher: SteppedDispatcher) -> None:
        self.group = Group("log")
        self.store = MemoryStore(Codec(), lambda: dispatcher.submit(self))

    def run_turn(self, limits: TurnLimits) -> None:
        """Make it safe."""
        self.store.flush()


def flushing_store(dispatcher: SteppedDispatcher) -> MemoryStore:
    """A store that becomes safe in turns of this dispatcher."""
    return _Flusher(dispatcher).store


@contextmanager
def stepped_runtime(flow: Flow, limits: TurnLimits, *, is_durable: bool) -> Iterator[Runtime]:
    """A runtime that knows this flow, in memory or on a store in memory, and gives such turns."""
    dispatcher = SteppedDispatcher(limits=limits)
    options: dict[str, Any] = {"store": flushing_store(dispatcher), "flows": [flow]} if is_durable else {}
    with Runtime(dispatcher=dispatcher, **options) as runtime:
        yield runtime
