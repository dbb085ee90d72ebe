"""A process on a virtual clock whose disk is written by hand, for tests of what a crash takes."""

from collections.abc import Callable

from actors.testing.manual_clock import ManualClock
from actors.testing.stepped_dispatcher import SteppedDispatcher
from flowforge.flow import Flow
from flowforge.output_handler import InlineOutputPump
from flowforge.runtime import Runtime
from flowforge.stores.codec import Codec
from flowforge.stores.memory import MemoryStore

__all__ = ["InlineRuntime", "Machine"]


class InlineRuntime(Runtime):
    """Handles outputs in turns of the dispatcher."""

    make_pump = InlineOutputPump


class Machine:
    """A process on a virtual clock that can be killed: only what was flushed outlives it."""

    def __init__(self, window: int = 1024) -> None:
        self.window = window
        self.clock = ManualClock()
        self.disk: list[tuple[str, bytes]] = []
        self.runtime: Runtime

    def boot(self, *flows: Flow) -> Runtime:
        self.store = MemoryStore(Codec(), lambda: None, self.window, disk=self.disk)
        dispatcher = self.dispatcher = SteppedDispatcher(self.clock)
        self.runtime = InlineRuntime(dispatcher=dispatcher, store=self.store, flows=flows, drains_at_exit=False)
        return self.runtime

    def run(self, *, lets_time_pass: bool = True, until: Callable[[], bool] = lambda: False) -> None:
        while not until():
            self.store.flush()
            if self.dispatcher.step() or self.store.waiting:
                continue
            if not lets_time_pass or not self.dispatcher.advance_to_next():
                return
