"""The output handlers of a runtime's jobs, each with its pump."""

from __future__ import annotations

import time
from threading import Lock
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
        self._pumps: dict[str, tuple[Job, _Pump]] = {}
        self._retired: set[_Pump] = set()

    def attach(self, run: Job, handler: OutputHandler | None) -> None:
        """Have a job's outputs handled by `handler` from the next on, or by none."""
        job_id = run.id
        pump = None if handler is None else self._make_pump(handler, f"flowforge-outputs-{job_id[:8]}")
        with self._lock:
            before = self._pumps.pop(job_id, None)
            if pump is not None:
                self._pumps[job_id] = (run, pump)
            if before is not None:
                self._retire(before[1])
        run.view.set_output_listener(None if pump is None else lambda record: _pump(pump, job_id, record))

    def note_rest(self, run: Job) -> None:
        """A run sends nothing more: its thread ends once it has handled what was sent."""
        with self._lock:
            attached = self._pumps.get(run.id)
            if attached is not None and attached[0] is run:
                del self._pumps[run.id]
                self._retire(attached[1])

    def _retire(self, pump: _Pump) -> None:
        self._retired = {other for other in self._retired if other.statistics().waiting}
        pump.retire()
        self._retired.add(pump)

    def close(self, timeout: float | None) -> bool:
        """Handle what has been sent, then end the threads; False if some was not handled after `timeout` seconds."""
        with self._lock:
            pumps, self._pumps = [*self._retired, *(pump for _, pump in self._pumps.values())], {}
            self._retired = set()
        for pump in pumps:
            # All are told first, so that they work side by side.
            pump.retire()
        deadline = None if timeout is None else time.monotonic() + timeout
        is_done = True
        for pump in pumps:
            is_done &= pump.close(None if deadline is None else max(0.0, deadline - time.monotonic()))
        return is_done


def _pump(pump: _Pump, job_id: str, record: Record) -> None:
    if isinstance(record, StepCommitted):
        for output in record.outputs:
            if not output.is_event:
                pump.put(OutputRecord(job_id, record.routine, output.name, output.payload, record.at))
