"""What is known of a job, derived from its records: status, states, history, outputs, figures, streams.

Guarantees:

- Records are applied once each, in the order of their positions, whoever applies them: the supervisor, or a reader
  who does not want to wait for it. The view's lock guards all of it and is never taken before the job's.
- What was let go because of a limit is counted.
"""

from __future__ import annotations

import copy
import threading
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from flowforge._engine.logs import about, logger
from flowforge._engine.tracked_ops import apply
from flowforge.execution_record import ExecutionRecord, execution_records
from flowforge.execution_tracker import ExecutionTracker
from flowforge.job_status import JobStatus
from flowforge.records import (
    ErrorInfo,
    FlowFingerprint,
    InitialState,
    JobMoved,
    JobStarted,
    MessageGivenUp,
    MessageMerged,
    Output,
    Record,
    StepCommitted,
    StepFailed,
    TimerFired,
)
from flowforge.routine_instances import Blueprint

__all__ = ["JobView", "RoutineStatus"]

_AT_ONCE = 256
"""Records that are counted together at most."""


class RoutineStatus:
    """System facts about one routine of a job."""

    __slots__ = ("calls", "dead_letters", "errors", "last_call", "last_error", "status")

    def __init__(self) -> None:
        self.status = "idle"
        self.calls = 0
        self.errors = 0
        self.dead_letters = 0
        self.last_error: ErrorInfo | None = None
        self.last_call: float | None = None
        """When the call was made that was committed last, in seconds since the epoch."""

    def to_dict(self) -> dict[str, Any]:
        """All of them by name."""
        return {name: getattr(self, name) for name in ("status", "calls", "errors", "dead_letters", "last_error")}


class JobView:
    """The derived side of a job; outlives its runs."""

    def __init__(self, job_id: str, max_history: int, max_outputs: int) -> None:
        self.lock = threading.RLock()
        self.inbox: deque[Record] = deque()
        """Records that are not applied yet; the job appends, under its lock."""
        self.job_id = job_id
        self.status = JobStatus.PENDING
        self.position = 0
        self.trees: dict[tuple[str, int], dict[str, Any]] = {}
        self.unrecorded: list[InitialState] = []
        """Initial states that no record tells of yet."""
        self.history: deque[Record] = deque()
        self.max_history = max_history
        self.history_dropped = 0
        self.outputs: dict[str, list[dict[str, Any]]] = {}
        self.output_log: deque[tuple[float, str, Output]] = deque()
        self.max_outputs = max_outputs
        self.outputs_dropped = 0
        self.tracker = ExecutionTracker()
        self.routines: dict[str, RoutineStatus] = {}
        self.error: ErrorInfo | None = None
        self.failed_routine: str | None = None
        self.reason = ""
        self.is_live = False
        self.is_applying = False
        self.past_history: deque[ExecutionRecord] = deque()
        """What a loaded job brought with it."""
        self.output_listener: Callable[[Record], None] | None = None
        self.listeners: tuple[Callable[[Record], None], ...] = ()
        self.is_watched = False
        """Whether somebody wants each record as soon as it is committed."""

    def tree(self, routine: str, replica: int) -> dict[str, Any]:
        """The `{"state": ..., "merged": ...}` of one routine, as far as records are applied; with the lock held."""
        tree = self.trees.get((routine, replica))
        if tree is None:
            tree = self.trees[routine, replica] = _new_tree({})
        return tree

    def set_initial(self, routine: str, replica: int, state: dict[str, Any]) -> None:
        """Give a routine its initial state, unless it has one."""
        with self.lock:
            if (routine, replica) not in self.trees:
                self.trees[routine, replica] = _new_tree(state)
                if state:
                    self.unrecorded.append(InitialState(routine, replica, copy.deepcopy(state)))

    def begin_states(self, blueprints: Iterable[Blueprint]) -> None:
        """Give each routine and replica of a job its initial state, unless it has one."""
        with self.lock:
            self.catch_up()
            for blueprint in blueprints:
                for owner in blueprint.owners:
                    if owner not in self.trees:
                        self.set_initial(*owner, blueprint.initial_state if owner[1] >= 0 else {})

    def take_unrecorded(self) -> tuple[InitialState, ...]:
        """The initial states that the next record has to tell of."""
        with self.lock:
            unrecorded, self.unrecorded = tuple(self.unrecorded), []
            return unrecorded

    def hand_over_merged(self, fingerprint: FlowFingerprint) -> None:
        """Let what slots have gathered stand where a routine of that concurrency looks for it."""
        with self.lock:
            for routine in fingerprint.routines:
                owner, other = (0, -1) if routine.concurrency == 1 else (-1, 0)
                gathered = self.trees.get((routine.id, other), {}).get("merged")
                if gathered:
                    self.tree(routine.id, owner)["merged"].update(gathered)
                    self.trees[routine.id, other]["merged"] = {}

    def state_of(self, routine: str) -> dict[str, Any] | None:
        """A copy of one routine's state, that of its replicas as one; None if it has none yet."""
        with self.lock:
            trees = [tree for (name, replica), tree in sorted(self.trees.items()) if name == routine and replica >= 0]
            states = copy.deepcopy([tree["state"] for tree in trees])
        if len(states) > 1:
            return _added_states(states)
        return states[0] if states else None

    def set_limits(self, max_history: int, max_outputs: int) -> None:
        """Remember that much from now on, and let go of what is more; a history of 0 is none."""
        with self.lock:
            self.max_history, self.max_outputs = max_history, max_outputs
            self._let_go_of_oldest()

    def add_listener(self, listener: Callable[[Record], None]) -> None:
        """Have `listener` called with each record from now on, in order, with the view's lock held."""
        with self.lock:
            self.listeners = (*self.listeners, listener)
            self.is_watched = True

    def remove_listener(self, listener: Callable[[Record], None]) -> None:
        """Call it no more; nothing happens if it is not there."""
        with self.lock:
            self.listeners = tuple(other for other in self.listeners if other != listener)
            self.is_watched = bool(self.listeners) or self.output_listener is not None

    def set_output_listener(self, listener: Callable[[Record], None] | None) -> None:
        """Have `listener`, in place of the one before, called with each record from now on."""
        with self.lock:
            self.output_listener = listener
            self.is_watched = bool(self.listeners) or listener is not None

    def catch_up(self) -> None:
        """Apply all records that have been committed; called by what is told of a record, it does nothing."""
        with self.lock:
            if self.is_applying:
                return
            self.is_applying = True
            try:
                self._apply_all()
            finally:
                self.is_applying = False

    def _apply_all(self) -> None:
        inbox, steps = self.inbox, list[StepCommitted]()
        while inbox:
            record = inbox.popleft()
            if type(record) is StepCommitted:
                steps.append(record)
                if not self.is_watched and len(steps) < _AT_ONCE:
                    continue
            if steps:
                self._apply_steps(steps)
                steps = []
            if type(record) is not StepCommitted:
                self.position = record.position
                self._apply_rare(record)
                self.tracker.apply(record)
                self._remember((record,))
            self._tell(record)
        if steps:
            self._apply_steps(steps)

    def _apply_steps(self, steps: list[StepCommitted]) -> None:
        """Apply several steps, at least one; what each costs is less than by itself."""
        by_routine: dict[str, list[StepCommitted]] = {}
        for step in steps:
            routine = step.routine
            if routine in by_routine:
                by_routine[routine].append(step)
            else:
                by_routine[routine] = [step]
            if step.state:
                apply(self.tree(routine, step.replica), step.state)
            for output in step.outputs:
                self._keep_output(step, output)
        for routine, own in by_routine.items():
            status, last = self.routine(routine), own[-1]
            status.calls += len(own)
            status.last_call = last.at - last.duration
            status.status = "completed" if last.is_final else "running"
        self.position = steps[-1].position
        self.tracker.apply_steps(steps, by_routine)
        self._remember(steps)

    def _tell(self, record: Record) -> None:
        for listener in self.listeners:
            listener(record)
        if self.output_listener is not None:
            self.output_listener(record)

    def _apply_rare(self, record: Record) -> None:
        if isinstance(record, StepFailed):
            routine = self.routine(record.routine)
            routine.errors += 1
            routine.last_error = record.error
            routine.status = "failed"
        elif isinstance(record, MessageGivenUp):
            routine = self.routine(record.routine)
            routine.dead_letters += 1
            routine.status = {"skip": "skipped", "continue": "error_continued"}.get(record.strategy, routine.status)
        elif isinstance(record, MessageMerged):
            apply(self.tree(record.routine, -1), record.state)
        elif isinstance(record, TimerFired):
            for output in record.outputs:
                self._keep_output(record, output)
        elif isinstance(record, JobMoved):
            self._job_moved(record)
        elif isinstance(record, JobStarted):
            self.status = JobStatus.RUNNING
            self._begin_with(record.initial)

    def _keep_output(self, record: StepCommitted | TimerFired, output: Output) -> None:
        if output.is_event:
            kept = self.outputs.setdefault(output.name, [])
            if len(kept) < self.max_outputs:
                kept.append(output.payload)
                return
        else:
            self.output_log.append((record.at, record.routine, output))
            if len(self.output_log) <= self.max_outputs:
                return
            self.output_log.popleft()
        self.outputs_dropped += 1
        if self.outputs_dropped == 1:
            logger.warning(
                "Job %r has more than %d outputs; what exceeds the limit is counted and let go.",
                self.job_id,
                self.max_outputs,
                extra=about(self.job_id),
            )

    def _job_moved(self, record: JobMoved) -> None:
        self.status = JobStatus(record.status)
        self.reason = record.reason
        self.error = record.error
        self.failed_routine = record.routine
        self._begin_with(record.initial)
        if record.fingerprint is not None:
            self.hand_over_merged(record.fingerprint)
        self.is_live = self.status is JobStatus.RUNNING

    def _begin_with(self, initial: tuple[InitialState, ...]) -> None:
        for entry in initial:
            self.trees.setdefault((entry.routine, entry.replica), _new_tree(entry.state))

    def _remember(self, applied: Sequence[Record]) -> None:
        if not self.max_history:
            self.history_dropped += len(applied)
            return
        self.history.extend(applied)
        excess = self._let_go_of_oldest()
        if excess and self.history_dropped == excess:
            logger.warning(
                "Job %r has more than %d records; the oldest leave its history.",
                self.job_id,
                self.max_history,
                extra=about(self.job_id),
            )

    def _let_go_of_oldest(self) -> int:
        """Let go of what is more than may be remembered; how much that was."""
        past, history = self.past_history, self.history
        excess = max(0, len(past) + len(history) - self.max_history)
        for _ in range(excess):
            (past or history).popleft()
        self.history_dropped += excess
        return excess

    def entries(self) -> list[ExecutionRecord]:
        """The history, oldest first."""
        with self.lock:
            return [*self.past_history, *(entry for record in self.history for entry in execution_records(record))]

    def kept_outputs(self) -> dict[str, list[dict[str, Any]]]:
        """What events without a connection emitted, by name; copies."""
        with self.lock:
            return {name: [dict(payload) for payload in payloads] for name, payloads in self.outputs.items()}

    def sent_outputs(self) -> list[dict[str, Any]]:
        """What was sent by `send_output`, oldest first."""
        with self.lock:
            return [
                {"routine_id": routine, "output_type": output.name, "data": dict(output.payload), "at": at}
                for at, routine, output in self.output_log
            ]

    def routine(self, routine_id: str) -> RoutineStatus:
        """The facts about one routine, from now on."""
        found = self.routines.get(routine_id)
        if found is None:
            found = self.routines[routine_id] = RoutineStatus()
        return found


def _new_tree(state: dict[str, Any]) -> dict[str, Any]:
    return {"state": copy.deepcopy(state) if state else {}, "merged": {}}


def _added_states(states: list[dict[str, Any]]) -> dict[str, Any]:
    """The states of a routine's replicas as one: numbers are added, what is no number is gathered in a list."""
    keys = dict.fromkeys(key for state in states for key in state)
    gathered = {key: [state[key] for state in states if key in state] for key in keys}
    return {key: sum(values) if _are_numbers(values) else values for key, values in gathered.items()}


def _are_numbers(values: list[Any]) -> bool:
    return all(isinstance(value, int | float) and not isinstance(value, bool) for value in values)
