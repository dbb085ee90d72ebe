"""JobState: one execution of a flow, and all that is known about it."""

from __future__ import annotations

import asyncio
import copy
import os
import threading
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Self

from actors.clock import SystemClock
from flowforge._engine.job_data import DeadLetter, JobData
from flowforge._engine.shared import SharedBuffer
from flowforge._engine.step import Step
from flowforge._engine.view import JobView
from flowforge.async_waiting import wait_on_loop
from flowforge.at_rest import check_outcome, last_number, wait_until_safe
from flowforge.dead_letters import purge_letter, requeue_letter
from flowforge.execution_record import ExecutionRecord
from flowforge.held_interrupts import holding
from flowforge.job_errors import JobFinishedError, UnknownJobError, UnknownTargetError
from flowforge.job_state_file import load_tree, restore, save_tree, tree_of
from flowforge.job_status import JobStatus
from flowforge.job_steering import cancel_job, close_job, live_of, pause_job, request_pause
from flowforge.output_handler import output_handler_from
from flowforge.records import ErrorInfo
from flowforge.routine_errors import ForeignStateError, OutsideStepError
from flowforge.runtime_checks import check_outside_a_step, check_wait
from flowforge.shared_data import SharedData, SharedLog
from flowforge.step_context import CURRENT_STEP
from flowforge.stores.codec import Codec
from flowforge.subscription import Subscription

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from actors.clock import Clock
    from flowforge._engine.control import StillRunning
    from flowforge._engine.host import JobHost
    from flowforge._engine.job import Job
    from flowforge.execution_tracker import ExecutionTracker
    from flowforge.job_starts import Starting
    from flowforge.output_handler import OutputHandler
    from flowforge.stores.store import Log

__all__ = ["JobState"]


class JobState:
    """One execution of a flow: live while it runs, data when it rests; every method may be called from any thread.

    Made by a flow or a runtime, or by `load`. What it returns are copies, or objects that do not change.
    """

    def __init__(self, data: JobData, view: JobView, codec: Codec) -> None:
        self.data = data
        """What the commits own; the engine's, not to be changed."""
        self.view = view
        """What is derived from the records; the engine's, not to be changed."""
        self.codec = codec
        self.live: Job | None = None
        """The run that is under way, or the last one of this process."""
        self.clock: Clock = SystemClock()
        self.log: Log | None = None
        """The log of its runtime, and then its last record that was written while the job rested; the engine's."""
        self.last_number = 0
        self.host: JobHost | None = None
        """Its runtime, if that found it in its store; the engine's."""
        self.starting: Starting | None = None
        """What steps have asked for and not committed yet; the engine's."""
        self._idle_lock = threading.RLock()
        self.output_handler: OutputHandler | None = None
        """What handles the outputs of `send_output`; given by `set_output_handler`."""
        self.is_let_go = self.is_stale = False
        """Whether its store has let it go, or its runtime its store: nothing more is kept of it; the engine's."""

    def __repr__(self) -> str:
        return f"<JobState {self.job_id!r} of {self.flow_id!r}: {self.status}>"

    @property
    def job_id(self) -> str:
        """Its id, unique in its runtime."""
        return self.data.job_id

    @property
    def flow_id(self) -> str:
        """The flow that it executes."""
        return self.data.flow_id

    @property
    def status(self) -> JobStatus:
        """Pending, running, paused, completed, failed or cancelled; equal to the text of that name.

        With a store a job runs until it is on disk that it does not.
        """
        live = self.live
        if live is not None and live.is_over and live.last_number > live.log.safe:
            return JobStatus.RUNNING
        return self.committed_status

    @property
    def committed_status(self) -> JobStatus:
        """The status by its last record, on disk or not; the engine's."""
        return self._seen().status

    @property
    def error(self) -> ErrorInfo | None:
        """What made it fail, as text; None if nothing did."""
        return self._seen().error

    @property
    def failed_routine(self) -> str | None:
        """The routine whose error made it fail."""
        return self._seen().failed_routine

    @property
    def pause_reason(self) -> str | None:
        """Why it is paused; None if it is not."""
        view = self._seen()
        return view.reason if view.status is JobStatus.PAUSED else None

    @property
    def checkpoint(self) -> Any:
        """What the last pause was given to keep."""
        return self.data.checkpoint

    @property
    def is_resting(self) -> bool:
        """Whether no run of it is under way."""
        with self.control_lock:
            return self.starting is None and (self.live is None or self.live.rested.is_set())

    @property
    def is_on_disk(self) -> bool | None:
        """Whether a crash can take nothing of what it shows now; None without a store, which has no disk."""
        if self.log is None or not self.log.is_durable:
            return None
        return self.starting is None and not self.is_let_go and last_number(self) <= self.log.safe

    @property
    def runtime(self) -> Any:
        """The Runtime that it is in, also while that is still being opened; None if it was loaded and not resumed."""
        return self.host if self.live is None else self.live.host

    # Its routines

    @property
    def routine_states(self) -> dict[str, dict[str, Any]]:
        """The committed state of each routine, by id; a copy."""
        view = self._seen()
        with view.lock:
            return {routine: self.get_routine_state(routine) for routine, _ in view.trees}

    def get_routine_state(self, routine_id: str, default: Any = None) -> Any:
        """A copy of one routine's state, as this step sees it or as it is committed; `default` if it has none yet.

        The figures of replicas are added; what cannot be added is gathered in a list.
        """
        step = CURRENT_STEP.get()
        if isinstance(step, Step) and step.is_open and step.job_state is self and step.routine_id == routine_id:
            return copy.deepcopy(step.state) or ({} if default is None else default)
        state = self._seen().state_of(routine_id)
        return default if state is None or (not state and default is not None) else state

    def update_routine_state(self, routine_id: str, values: Mapping[str, Any]) -> None:
        """Merge `values` into the state of the routine whose step this is; takes effect with the step."""
        step = CURRENT_STEP.get()
        if not isinstance(step, Step) or not step.is_open or step.job_state is not self:
            raise OutsideStepError("The state", routine_id, "Change it inside a step of that routine.")
        if step.routine_id != routine_id:
            raise ForeignStateError(routine_id, step.routine_id)
        step.state.update(values)

    def routine_status(self, routine_id: str) -> dict[str, Any]:
        """System facts of one routine: status, calls, errors, dead letters, last error.

        UnknownTargetError for a routine that the flow does not have.
        """
        view = self._seen()
        self._check_known(routine_id)
        with view.lock:
            return view.routine(routine_id).to_dict()

    # Its history

    @property
    def execution_history(self) -> list[ExecutionRecord]:
        """What happened, in order; the oldest entries are let go beyond the runtime's limit."""
        return self._seen().entries()

    def get_execution_history(self, routine_id: str | None = None) -> list[ExecutionRecord]:
        """The history, or one routine's part of it; UnknownTargetError for a routine that the flow does not have."""
        if routine_id is not None:
            self._check_known(routine_id)
        return [entry for entry in self.execution_history if routine_id in {None, entry.routine_id}]

    @property
    def outputs_dropped(self) -> int:
        """How many payloads the outputs and the output log have let go: the outputs the newest, the log the oldest."""
        return self._seen().outputs_dropped

    @property
    def history_dropped(self) -> int:
        """How many records the history has let go."""
        return self._seen().history_dropped

    @property
    def tracker(self) -> ExecutionTracker:
        """Figures about calls, times and messages."""
        return self._seen().tracker

    def subscribe(self, from_position: int = 1, *, max_waiting: int = 10_000) -> Subscription:
        """A stream of the records from a position on, which ends when the job rests."""
        return Subscription(self.view, from_position, max_waiting)

    # Its data

    @property
    def shared_data(self) -> SharedData:
        """Data that the routines share."""
        return SharedData(self)

    @property
    def shared_log(self) -> SharedLog:
        """A log that the routines share."""
        return SharedLog(self)

    @property
    def outputs(self) -> dict[str, list[dict[str, Any]]]:
        """What events without a connection emitted, as `{"routine.event": [payload, ...]}`."""
        return self._seen().kept_outputs()

    @property
    def output_log(self) -> list[dict[str, Any]]:
        """What `send_output` sent: routine_id, output_type, data and at of each."""
        return self._seen().sent_outputs()

    def set_output_handler(self, handler: OutputHandler | Callable[..., Any] | None) -> None:
        """Have outputs of `send_output` handled, from the next on, on a thread that runs after the commits.

        A function is called as `handler(job_id, routine_id, output_type, data)`; OptionError for anything else.
        """
        handler = None if handler is None else output_handler_from(handler)
        self.output_handler = handler
        if self.live is not None:
            self.live.host.attach_output_handler(self.live, handler)

    # Dead letters

    @property
    def dead_letters(self) -> list[DeadLetter]:
        """The messages that were given up on, oldest first."""
        with self.control_lock:
            return list(self.data.dead_letters.values())

    def requeue_dead_letter(self, letter_id: str) -> None:
        """Give a dead letter another try; a completed job is reopened: it runs, or is paused if its runtime has gone.

        A paused or failed job gets the message back for its resume. DeadLetterNotFoundError for an id it does not have,
        JobFinishedError if cancelled, and what a resume raises if a completed job cannot go on: then the letter stays.
        """
        requeue_letter(self, letter_id)
        wait_until_safe(self)

    def purge_dead_letter(self, letter_id: str) -> None:
        """Throw a dead letter away; DeadLetterNotFoundError for an id it does not have."""
        purge_letter(self, letter_id)
        wait_until_safe(self)

    # Steering

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until it rests: completed, failed, cancelled or paused; False after `timeout` seconds. Cancels nothing.

        Raises WaitInStepError inside a handler, and StoreFailedError if its store has failed before it rested.
        """
        self._check_may_wait(timeout)
        if not self._has_begun(timeout):
            return False
        while (live := live_of(self, "wait for a job")) is not None:
            if not live.dispatcher.wait_for(live.rested, timeout):
                return False
            if live is self.live:
                check_outcome(self)
                return True
        return True

    async def wait_async(self, timeout: float | None = None) -> bool:  # noqa: ASYNC109 - the twin of `wait`
        """`wait` for an asyncio program: holds no thread."""
        self._check_may_wait(timeout)
        if self.starting is not None and not await asyncio.to_thread(self._has_begun, timeout):
            return False
        live = live_of(self, "wait for a job")
        if live is None:
            return True
        return await wait_on_loop(live, timeout)

    def flush(self, timeout: float | None = None) -> bool:
        """Wait until all that it shows now is on disk; False after `timeout` seconds. Without a store it returns True.

        Raises WaitInStepError inside a handler, StoreFailedError if its store has failed before that, and
        UnknownJobError if it has let the job go.
        """
        self._check_may_wait(timeout)
        if self.is_let_go:
            raise UnknownJobError(self.job_id)
        return self._has_begun(timeout) and wait_until_safe(self, timeout)

    def close(self) -> None:
        """Keep it open for posts no longer: it ends when nothing is left to do. Inside a step, when that commits."""
        close_job(self)

    def pause(self, reason: str = "", checkpoint: Any = None, timeout: float | None = None) -> list[StillRunning]:
        """Let running steps finish, start no other, and wait until it rests with all its messages.

        After `timeout` seconds async handlers are cancelled, their messages staying first, and the steps that still
        hold a thread are returned; it is paused as soon as they end. Inside a step it returns at once and acts after
        the commit. At rest it does nothing. NoCursorError if a generator could not be called again.
        """
        return pause_job(self, reason, checkpoint, timeout)

    def request_pause(self, reason: str = "", checkpoint: Any = None) -> bool:
        """Begin to pause, as `pause` does; return at once, with a store once that is on disk; False if it rests."""
        return request_pause(self, reason, checkpoint)

    def cancel(self, reason: str = "") -> list[StillRunning]:
        """End it for good; return the steps that still run, whose effects will be refused.

        A paused one is cancelled where it stands; one that has finished stays as it is. Inside a step its own job ends
        at once, without the step; another job does so when the step commits, and nothing is returned.
        """
        return cancel_job(self, reason)

    # Keeping

    def to_dict(self) -> dict[str, Any]:
        """All of it as a tree of plain data that JSON can hold.

        Raises UnencodableValueError for what cannot be kept, NoCursorError for a generator that cannot be called
        again, and JobFinishedError while it runs.
        """
        if not self.is_resting:
            raise JobFinishedError(self.job_id, self.status, "be saved", "Pause it first.")
        return tree_of(self)

    serialize = to_dict

    @classmethod
    def deserialize(cls, tree: Mapping[str, Any], *, codec: Codec | None = None) -> Self:
        """A job from what `serialize` gave; JobStateFileError if it is not that."""
        return restore(cls, tree, codec or Codec(), "<tree>")

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write it to a JSON file, atomically; raises as `to_dict` does."""
        save_tree(path, self.to_dict())

    @classmethod
    def load(cls, path: str | os.PathLike[str], *, codec: Codec | None = None) -> Self:
        """Read a job that `save` wrote; JobStateFileError if the file is something else or cut short."""
        return restore(cls, load_tree(path), codec or Codec(), str(path))

    # For the engine

    @property
    def lock(self) -> threading.RLock:
        """What guards its data: the run's lock while it has one; to be held as the `control_lock`."""
        return self._idle_lock if self.live is None else self.live.lock

    @property
    def control_lock(self) -> AbstractContextManager[None]:
        """Its lock, to be held while its data is read; what changes them is `whole`."""
        return holding(self)

    def shared_buffer(self) -> SharedBuffer:
        """The committed shared data, to read or to change."""
        return SharedBuffer(self.data.shared, self.codec)

    def copy_value(self, value: Any, path: str) -> Any:
        """A checked copy of a value."""
        return self.codec.copy(value, path)

    def _check_may_wait(self, timeout: float | None) -> None:
        check_wait(timeout)
        check_outside_a_step(f"the job {self.job_id!r}")

    def _has_begun(self, timeout: float | None) -> bool:
        """Wait until a job that a step starts has begun, or will not."""
        starting = self.starting
        return starting is None or starting.job.dispatcher.wait_for(starting.settled, timeout)

    def _check_known(self, routine_id: str) -> None:
        made = () if self.data.fingerprint is None else self.data.fingerprint.routines
        known = dict.fromkeys([*(routine for routine, _ in self.view.trees), *(routine.id for routine in made)])
        if routine_id not in known:
            raise UnknownTargetError(f"routine in the flow {self.flow_id!r} named", routine_id, known)

    def _seen(self) -> JobView:
        self.view.catch_up()
        return self.view
