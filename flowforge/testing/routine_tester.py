"""RoutineTester: one routine by itself, on the real engine, one thread and a clock that moves when it is told to."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

from actors.testing.stepped_dispatcher import SteppedDispatcher
from flowforge._engine.job_data import DeadLetter, JobData, letter_of
from flowforge._engine.view import JobView
from flowforge.flow import Flow
from flowforge.job_state import JobState
from flowforge.job_status import JobStatus
from flowforge.option_checks import check_amount, check_whole_number
from flowforge.option_errors import OptionError
from flowforge.records import (
    ErrorInfo,
    JobMoved,
    MessageGivenUp,
    Output,
    Record,
    RoutineRestarted,
    StepCommitted,
    StepFailed,
    TimerFired,
)
from flowforge.runtime import Runtime
from flowforge.runtime_checks import check_outside_a_step
from flowforge.stores.codec import Codec
from flowforge.testing.routine_tester_errors import (
    EndlessRoutineError,
    RoutineStoppedError,
    RoutineTesterEndedError,
)

if TYPE_CHECKING:
    from types import TracebackType

    from flowforge.routine import Routine
    from flowforge.shared_data import SharedData

__all__ = ["RoutineOutcome", "RoutineTester"]

# Always the same, so that `self.random` and `self.idempotency_key()` are the same in every run of a test.
_JOB_ID = "tester"


@dataclass(frozen=True, slots=True, repr=False)
class RoutineOutcome:
    """What a routine did between two moments, in the order of the commits; what failed attempts did is not in it."""

    records: Sequence[Record]
    """The facts that all else is read from."""

    def __repr__(self) -> str:
        errors = [f"{error.type}: {error.text}" for error in self.errors]
        return (
            f"RoutineOutcome(emitted={self.emitted!r}, outputs={self.outputs!r}, errors={errors!r}, "
            f"attempts={self.attempts}, is_committed={self.is_committed}, dead_letters={len(self.dead_letters)})"
        )

    @property
    def emitted(self) -> list[tuple[str, dict[str, Any]]]:
        """Event and payload of each emit."""
        return [(out.name.rpartition(".")[2], dict(out.payload)) for out in self._sent() if out.is_event]

    @property
    def outputs(self) -> list[tuple[str, dict[str, Any]]]:
        """Type and data of each `send_output`."""
        return [(out.name, dict(out.payload)) for out in self._sent() if not out.is_event]

    def _sent(self) -> list[Output]:
        return [
            out for record in self.records if isinstance(record, StepCommitted | TimerFired) for out in record.outputs
        ]

    @property
    def errors(self) -> list[ErrorInfo]:
        """What each failed attempt or start raised, whether or not a later one succeeded."""
        found: list[ErrorInfo] = []
        for record in self.records:
            error = record.error if isinstance(record, StepFailed | RoutineRestarted | JobMoved) else None
            # What ends a job is mostly the error of a step, told again.
            if error is not None and not (isinstance(record, JobMoved) and error in found):
                found.append(error)
        return found

    @property
    def error(self) -> ErrorInfo | None:
        """The last of the errors; None if there was none."""
        errors = self.errors
        return errors[-1] if errors else None

    @property
    def attempts(self) -> int:
        """How many calls of the routine's code ended, those that failed included."""
        return sum(isinstance(r, StepFailed) or (isinstance(r, StepCommitted) and r.is_final) for r in self.records)

    @property
    def is_committed(self) -> bool:
        """Whether an attempt ran to its end and took effect; False while it waits, and for a generator's yields."""
        return any(isinstance(record, StepCommitted) and record.is_final for record in self.records)

    @property
    def dead_letters(self) -> list[DeadLetter]:
        """The messages that were given up on."""
        return [letter_of(record) for record in self.records if isinstance(record, MessageGivenUp)]


class RoutineTester:
    """Runs a routine as a job would, with nothing connected to it, and shows what it did.

    `state` is laid over the routine's initial state, and `shared_data` is there before it starts. Handlers, hooks and
    timers run inside the methods, on the thread that calls them; `self.now()` is virtual. What handlers raise is
    answered by the routine's own error handler, else STOP, and never comes out of a method. Use it outside of handlers,
    in a `with` block, or close it. A method raises EndlessRoutineError if `max_turns` turns of actors are not enough.
    """

    def __init__(
        self,
        routine: Routine,
        *,
        state: Mapping[str, Any] | None = None,
        shared_data: Mapping[str, Any] | None = None,
        codec: Codec | None = None,
        max_turns: int = 100_000,
    ) -> None:
        _check_caller()
        self._max_turns = check_whole_number("A RoutineTester", "max_turns", max_turns, least=1)
        codec = codec or Codec()
        first_state = _checked_values("state", state, codec)
        first_shared = _checked_values("shared_data", shared_data, codec)
        self._flow = Flow("tester")
        self._lends_id = not getattr(routine, "routine_id", None)
        self.routine_id = self._flow.add_routine(routine)
        """The id that the routine has here: its own, or one made of its class name until the tester is closed."""
        self._dispatcher = SteppedDispatcher()
        self._runtime = Runtime(dispatcher=self._dispatcher, codec=codec, drains_at_exit=False)
        self._records: list[Record] = []
        self._shown = 0
        data = JobData(_JOB_ID, self._flow.flow_id, is_kept_alive=True)
        view = JobView(_JOB_ID, self._runtime.options.max_history, self._runtime.options.max_outputs)
        view.add_listener(self._records.append)
        self.job_state = JobState(data, view, codec)
        """The job that the routine runs in, for what the tester itself does not show."""
        try:
            self._begin(routine, first_state, first_shared)
        except BaseException:
            self.close()
            raise

    def _begin(self, routine: Routine, state: dict[str, Any], shared_data: dict[str, Any]) -> None:
        if state:
            for replica in range(routine.concurrency):
                self.job_state.view.set_initial(self.routine_id, replica, routine.state | state)
        self._runtime.exec(self._flow, job_state=self.job_state)
        self.job_state.shared_data.update(shared_data)
        self._run(until=0.0)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<RoutineTester of {self.routine_id!r}: {self.job_state.status}>"

    # Running

    def call(self, slot: str | None = None, /, **payload: Any) -> RoutineOutcome:
        """Put one payload into a slot, run what can run without time passing, and return what was done.

        Without a slot, `trigger` or the only one. Raises as `Runtime.post` does for a slot or payload that does not fit
        and for a slot that is full, RoutineStoppedError after an error that nobody answered, RoutineTesterEndedError
        after `drain` and `close`.
        """
        self._check_running()
        self._runtime.post(self.job_state, self.routine_id, slot, payload, timeout=0.0)
        return self.advance(0.0)

    def advance(self, seconds: float) -> RoutineOutcome:
        """Let virtual time pass, run all that comes due in it, and return what was done since the last method."""
        _check_caller()
        seconds = check_amount("RoutineTester.advance", "seconds", seconds)
        until = self._dispatcher.clock.monotonic() + seconds
        self._run(until)
        self._dispatcher.clock.advance_to(until)
        return self._outcome()

    def drain(self) -> RoutineOutcome:
        """Take no more calls, let time pass until nothing is left to do, and return what was done since.

        What a policy held back is released or becomes dead letters, and `on_stop` runs. Raises as `call` does.
        """
        self._check_running()
        self.job_state.close()
        self._run(until=math.inf)
        return self._outcome()

    def close(self) -> None:
        """Stop where it stands: `on_stop` runs, and what was not committed is refused; all can still be looked at."""
        self._runtime.shutdown(wait=False)
        if self._lends_id:
            self._lends_id = False
            self._flow.remove_routine(self.routine_id)

    def _run(self, until: float) -> None:
        for _ in range(self._max_turns):
            if not self._dispatcher.step() and not self._dispatcher.advance_to_next(until):
                return
        raise EndlessRoutineError(self.routine_id, self._max_turns)

    def _check_running(self) -> None:
        _check_caller()
        status, error = self.job_state.status, self.job_state.error
        if status is JobStatus.FAILED and error is not None:
            raise RoutineStoppedError(self.routine_id, error)
        if status is not JobStatus.RUNNING:
            raise RoutineTesterEndedError(self.routine_id, status)

    def _outcome(self) -> RoutineOutcome:
        first, self._shown = self._shown, len(self._records)
        return RoutineOutcome(tuple(self._records[first:]))

    # Looking

    @property
    def state(self) -> dict[str, Any]:
        """A copy of the committed state; replicas' figures are added, what cannot be added is gathered in a list."""
        state: dict[str, Any] = self.job_state.get_routine_state(self.routine_id, {})
        return state

    @property
    def shared_data(self) -> SharedData:
        """The committed shared data; what is assigned here takes effect at once."""
        return self.job_state.shared_data

    @property
    def emitted(self) -> list[tuple[str, dict[str, Any]]]:
        """Event and payload of all that was emitted so far."""
        return self._so_far().emitted

    @property
    def outputs(self) -> list[tuple[str, dict[str, Any]]]:
        """Type and data of all that `send_output` sent so far."""
        return self._so_far().outputs

    @property
    def errors(self) -> list[ErrorInfo]:
        """All that failed attempts and starts raised so far."""
        return self._so_far().errors

    @property
    def dead_letters(self) -> list[DeadLetter]:
        """The messages that are given up on; `job_state.requeue_dead_letter` and `advance(0)` try one again."""
        return self.job_state.dead_letters

    def now(self) -> float:
        """Seconds since the epoch, as the routine's own `now` tells them."""
        return self._dispatcher.clock.now()

    def _so_far(self) -> RoutineOutcome:
        return RoutineOutcome(self._records)


def _check_caller() -> None:
    check_outside_a_step("a RoutineTester")


def _checked_values(option: str, values: object, codec: Codec) -> dict[str, Any]:
    if values is None:
        return {}
    if not isinstance(values, Mapping) or not all(isinstance(key, str) for key in values):
        raise OptionError("A RoutineTester", option, values, "Give a dict whose keys are strings.")
    copied: dict[str, Any] = codec.copy(dict(values), option)
    return copied
