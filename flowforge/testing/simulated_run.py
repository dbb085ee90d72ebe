"""SimulatedRun: what a simulated run has shown, its story and its digest."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from flowforge.job_status import JobStatus
from flowforge.records import StepCommitted, StepFailed
from flowforge.testing.digest import digest_of, first_difference, told_difference
from flowforge.testing.simulation_errors import NondeterministicHandlerError

if TYPE_CHECKING:
    from collections.abc import Callable

    from actors.clock import Clock
    from flowforge.errors import FlowForgeError
    from flowforge.flow_graph import FlowGraph
    from flowforge.job_state import JobState
    from flowforge.records import Record
    from flowforge.stores.codec import Codec
    from flowforge.testing.schedule import Schedule

__all__ = ["SimulatedRun", "counted"]


class SimulatedRun:
    """One run of a flow under a schedule: made by `simulate`, and shown to checks while it goes on."""

    def __init__(self, flow: FlowGraph, schedule: Schedule, codec: Codec, replay: Callable[..., SimulatedRun]) -> None:
        self.flow = flow
        self.schedule = schedule
        """The schedule, with names in place of numbers: its repr is the code to replay it with."""
        self.job_state: JobState
        """The job; after a crash, the recovered one."""
        self.records: list[tuple[str, Record]] = []
        """The id of the job and the record, for all records of the log in order; a crash takes what was not on disk."""
        self.choices = 0
        """How many times something was chosen to be done next."""
        self.crashes = 0
        """How many times the process died."""
        self.steps = 0
        """How many handler calls ended, those included that a crash undid."""
        self.refused: list[tuple[object, FlowForgeError]] = []
        """The inputs that the job did not take, as when it had failed, and why."""
        self.deviations: list[str] = []
        """What was not as usual, a phrase each."""
        self.clock: Clock
        """The virtual clock."""
        self._codec = codec
        self._replay = replay

    def __repr__(self) -> str:
        return f"<SimulatedRun of {self.flow.flow_id!r}: {self.status} after {self.choices} choices>"

    @property
    def status(self) -> JobStatus:
        """The job's."""
        return self.job_state.status

    @property
    def is_completed(self) -> bool:
        """Whether the job has completed."""
        return self.status is JobStatus.COMPLETED

    @property
    def outputs(self) -> dict[str, list[dict[str, Any]]]:
        """What events without a connection emitted, as `{"routine.event": [payload, ...]}`."""
        return self.job_state.outputs

    @property
    def time(self) -> float:
        """Virtual seconds since it began."""
        return self.clock.monotonic()

    @property
    def position(self) -> int:
        """How many records there are."""
        return len(self.records)

    @property
    def digest(self) -> str:
        """A fingerprint of all that happened, the same in every process for the same flow, inputs and schedule."""
        return digest_of(self.records, self._codec)

    def replay(self) -> SimulatedRun:
        """The same flow, inputs and schedule once more, without its checks."""
        return self._replay(checks=())

    def check_replay(self) -> None:
        """Run it once more; NondeterministicHandlerError, or OutsideWorldError, if that goes otherwise."""
        again = self._replay(checks=(), is_exact=True)
        found = first_difference(self.records, again.records[: len(self.records)], self._codec)
        if found is not None:
            where, difference = told_difference(*found)
            raise NondeterministicHandlerError(where, difference, self)

    def note(self, job_id: str, record: Record) -> None:
        """A record was written; called by the simulation."""
        self.records.append((job_id, record))
        if isinstance(record, StepCommitted | StepFailed):
            self.steps += 1

    def story(self) -> str:
        """A readable account of the run."""
        told = "First in, first out"
        if self.deviations:
            told += f", except: {'; '.join(self.deviations)}"
        after = f"after {counted(self.steps, 'step')} and {counted(self.time, 'second')} of virtual time"
        state = self.job_state
        end = f"The job {'has' if state.status in _ENDED else 'is'} {state.status} {after}"
        if state.error is not None:
            text = f": {state.error.text}" if state.error.text else ""
            end += f", for {state.failed_routine or 'the job'} failed with {state.error.type}{text}"
        if self.refused:
            command, error = self.refused[0]
            end += f". It did not take {counted(len(self.refused), 'input')}, first {command!r}: {error}"
        return f"{told}. {end.removesuffix('.')}."


_ENDED = frozenset({JobStatus.COMPLETED, JobStatus.FAILED})


def counted(count: float, noun: str) -> str:
    """The number with its noun."""
    return f"{count:g} {noun}" if count == 1 else f"{count:.6g} {noun}s"
