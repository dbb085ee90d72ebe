"""The output handlers of a runtime's jobs, each with its pump."""

from threading import Lock

from flowforge._engine.view import JobView
from flowforge.output_handler import OutputHandler, OutputPump, OutputRecord
from flowforge.records import Record, StepCommitted

__all__ = ["OutputPumps"]


class OutputPumps:
    """One pump for each job that has an output handler; every method may be called from any thread."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._pumps: dict[str, OutputPump] = {}

    def attach(self, job_id: str, view: JobView, handler: OutputHandler | None) -> None:
        """Have a job's outputs handled by `handler` from the next on, or by none."""
        pump = None if handler is None else OutputPump(handler, f"flowforge-outputs-{job_id[:8]}")
        with self._lock:
            before = self._pumps.pop(job_id, None)
            if pump is not None:
                self._pumps[job_id] = pump
        if before is not None:
            before.close(0.0)
        view.output_listener = None if pump is None else lambda record: _pump(pump, job_id, record)

    def flush(self, job_id: str, timeout: float | None) -> bool:
        """Wait until what a job has sent so far is handled; False after `timeout` seconds."""
        with self._lock:
            pump = self._pumps.get(job_id)
        return pump is None or pump.flush(timeout)

    def close(self, timeout: float | None) -> bool:
        """Handle what has been sent, then end the threads; False if some was not handled after `timeout` seconds."""
        with self._lock:
            pumps, self._pumps = list(self._pumps.values()), {}
        return all([pump.close(timeout) for pump in pumps])


def _pump(pump: OutputPump, job_id: str, record: Record) -> None:
    if isinstance(record, StepCommitted):
        for output in record.outputs:
            if not output.is_event:
                pump.put(OutputRecord(job_id, record.routine, output.name, output.payload, record.at))
