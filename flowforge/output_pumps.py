"""The output handlers of a runtime's jobs, each with its pump."""

from __future__ import annotations

import time
from collections import deque
from threading import Lock, RLock
from typing import TYPE_CHECKING

from flowforge.output_handler import InlineOutputPump, OutputHandler, OutputPump, OutputRecord
from flowforge.records import Record, StepCommitted

if TYPE_CHECKING:
    from flowforge._engine.job import Job

__all__ = ["OutputPumps"]

_Pump = OutputPump | InlineOutputPump


class OutputPumps:
    """One pump for each job that has an output handler; every method may be called from any thread."""

    def __init__(self, make_pump: type[_Pump] = OutputPump) -> None:
        self._make_pump = make_pump
        self._lock = Lock()
        self._outlets: dict[str, _Outlet] = {}
        self._retired: set[_Pump] = set()

    def attach(self, run: Job, handler: OutputHandler | None) -> None:
        """Have a job's outputs handled by `handler` from the next on, or by none."""
        outlet = None if handler is None else _Outlet(self._make_pump(handler, f"flowforge-outputs-{run.id[:8]}"), run)
        with self._lock:
            before = self._outlets.pop(run.id, None)
            if outlet is not None:
                self._outlets[run.id] = outlet
            if before is not None:
                self._retire(before)
        run.view.set_output_listener(None if outlet is None else outlet.take)

    def note_rest(self, run: Job) -> None:
        """A run sends nothing more: its thread ends once it has handled what was sent."""
        with self._lock:
            attached = self._outlets.get(run.id)
            if attached is None or attached.run is not run:
                return
            del self._outlets[run.id]
            self._retire(attached)
        # Its view outlives it, and would keep it.
        run.view.set_output_listener(None)

    def _retire(self, outlet: _Outlet) -> None:
        self._retired = {other for other in self._retired if other.statistics().waiting}
        outlet.let_all_out()
        outlet.pump.retire()
        self._retired.add(outlet.pump)

    def close(self, timeout: float | None) -> bool:
        """Handle what has been sent, then end the threads; False if some was not handled after `timeout` seconds.

        Closing again waits again.
        """
        with self._lock:
            # Known until they have ended, for whoever is interrupted here may close again.
            self._retired.update(outlet.pump for outlet in self._outlets.values())
            self._outlets = {}
            pumps = list(self._retired)
        for pump in pumps:
            # All are told first, so that they work side by side.
            pump.retire()
        deadline = None if timeout is None else time.monotonic() + timeout
        is_done = True
        for pump in pumps:
            is_done &= pump.close(None if deadline is None else max(0.0, deadline - time.monotonic()))
        if is_done:
            self._retired.difference_update(pumps)
        return is_done


class _Outlet:
    """The way from the records of one run to a pump: with a store, an output leaves when its record is on disk."""

    def __init__(self, pump: _Pump, run: Job) -> None:
        self.pump = pump
        self.run = run
        self._lock = RLock()
        self._waiting: deque[tuple[int, OutputRecord]] = deque()

    def take(self, record: Record) -> None:
        """The view has applied a record; called with the view's lock held."""
        if not isinstance(record, StepCommitted):
            return
        for output in record.outputs:
            if not output.is_event:
                self._put(OutputRecord(self.run.id, record.routine, output.name, output.payload, record.at))

    def let_all_out(self) -> None:
        """Hand on what waits, the run having come to its end."""
        with self._lock:
            while self._waiting:
                self.pump.put(self._waiting.popleft()[1])

    def _put(self, output: OutputRecord) -> None:
        # The record itself has this number, or a lower one.
        number, log = self.run.last_number, self.run.log
        with self._lock:
            if not self._waiting and number <= log.safe:
                self.pump.put(output)
                return
            if not self._waiting:
                log.call_when_safe(number, self._let_out)
            self._waiting.append((number, output))

    def _let_out(self) -> None:
        log = self.run.log
        with self._lock:
            while self._waiting and self._waiting[0][0] <= log.safe:
                self.pump.put(self._waiting.popleft()[1])
            if self._waiting:
                log.call_when_safe(self._waiting[0][0], self._let_out)
