"""A process that a simulated job lives in: it boots, from the log if there is one, dies, and boots again."""

from __future__ import annotations

import contextlib
import math
from typing import TYPE_CHECKING

from actors.dispatcher import Group, TurnLimits
from actors.testing.manual_clock import ManualClock
from actors.testing.stepped_dispatcher import SteppedDispatcher
from actors.timers import PendingTimer
from flowforge.output_handler import InlineOutputPump
from flowforge.runtime import Runtime
from flowforge.stores.memory import MemoryLog, MemoryStore

if TYPE_CHECKING:
    from collections.abc import Callable

    from flowforge.flow_graph import FlowGraph
    from flowforge.job_state import JobState
    from flowforge.records import Record
    from flowforge.stores.codec import Codec
    from flowforge.testing.inputs import Driver

__all__ = ["JOB_ID", "SimulatedProcess"]

JOB_ID = "simulated"
"""The id of the job of every simulated run, for the ids of its messages depend on it."""


class _SimulatedRuntime(Runtime):
    make_pump = InlineOutputPump


class _Log(MemoryLog):
    """A log that keeps nothing, and tells of each record."""

    def __init__(self, note: Callable[[str, Record], None]) -> None:
        super().__init__()
        self._note = note

    def append(self, job: str, record: Record) -> int:
        self._note(job, record)
        return 0


class _Store(MemoryStore):
    """A store that tells of each record."""

    def __init__(self, codec: Codec, on_append: Callable[[], None], note: Callable[[str, Record], None]) -> None:
        super().__init__(codec, on_append)
        self._note = note

    def append(self, job: str, record: Record) -> int:
        number = super().append(job, record)
        self._note(job, record)
        return number


class _Flusher:
    """Makes what waits in the store safe, in turns of its own, until the process is to die."""

    name = "log"

    def __init__(self, flush: Callable[[], None]) -> None:
        self.group = Group("log")
        self._flush = flush

    def run_turn(self, limits: TurnLimits) -> None:
        self._flush()


class SimulatedProcess:
    """What a crash takes away: the runtime with all its actors, timers and messages; the store and the clock stay."""

    def __init__(
        self,
        flow: FlowGraph,
        codec: Codec,
        driver: Driver,
        note: Callable[[str, Record], None],
        *,
        is_durable: bool,
    ) -> None:
        self.clock = ManualClock()
        self.has_died = False
        self.store = _Store(codec, self._ask_for_flush, note)
        self._flow = flow
        self._codec = codec
        self._driver = driver
        self._log = self.store if is_durable else _Log(note)
        self._flusher = _Flusher(self._flush)
        self._crashes: list[int] = []
        self._left_behind: list[Runtime] = []
        self._runtime: Runtime | None = None

    def boot(self, crashes: list[int]) -> JobState:
        """Start the job, or recover what is on disk; it dies as `crashes`, the next one last, says."""
        self._abandon()
        self.store.crash()
        self.has_died = False
        self._crashes = crashes
        dispatcher = self.dispatcher = SteppedDispatcher(self.clock)
        runtime = self._runtime = _SimulatedRuntime(
            dispatcher=dispatcher, codec=self._codec, store=self._log, flows=[self._flow], drains_at_exit=False
        )
        state = runtime.get_job(JOB_ID)
        if state is None:
            state = runtime.exec(self._flow, job_id=JOB_ID, keep_alive=True)
            assert state.live is not None, "a job that was started is live"
            # So that the codec is asked about each payload when it is emitted.
            state.live.is_isolated = True
        self._driver.drive(
            state,
            self.store.safe,
            resume=lambda: runtime.exec(self._flow, job_state=state),
            submit=dispatcher.submit,
        )
        return state

    def deadline(self) -> float:
        """The monotonic instant at which the job's own time is over."""
        state = None if self._runtime is None else self._runtime.get_job(JOB_ID)
        timer = None if state is None or state.live is None else state.live.deadline
        return timer.due if isinstance(timer, PendingTimer) else math.inf

    def dies_at_the_end(self, crashes: list[int]) -> bool:
        """Whether it is to die although nothing is left to do."""
        if not crashes or crashes[-1] > self.store.safe:
            return False
        crashes.pop()
        return True

    def end(self) -> None:
        """Let nothing of it go on."""
        self._abandon()
        for runtime in self._left_behind:
            for state in runtime.list_jobs():
                for worker in () if state.live is None else state.live.everyone():
                    close = getattr(worker.stream, "close", None)
                    if close is not None:
                        with contextlib.suppress(BaseException):
                            close()
            runtime.dispatcher.shutdown(timeout=0)

    def _abandon(self) -> None:
        """What its steps still do is refused from now on."""
        if self._runtime is None:
            return
        for state in self._runtime.list_jobs():
            if state.live is not None:
                state.live.is_over = True
                state.live.epoch += 1
        self._left_behind.append(self._runtime)
        self._runtime = None

    def _ask_for_flush(self) -> None:
        self.dispatcher.submit(self._flusher)

    def _flush(self) -> None:
        safe, waiting = self.store.safe, self.store.waiting
        if self._crashes and self._crashes[-1] < safe + waiting:
            self.store.flush(max(0, self._crashes.pop() - safe))
            self.has_died = True
        else:
            self.store.flush()
