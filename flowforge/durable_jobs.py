"""The jobs that a runtime finds in its store: recovered when their flow is known, else left and listed."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import contextmanager
from functools import partial
from threading import Event, Lock, RLock
from typing import TYPE_CHECKING

from flowforge._engine import control
from flowforge._engine.bases import Bases
from flowforge._engine.logs import about, logger
from flowforge._engine.plan import FlowPlan, plan_of
from flowforge.errors import FlowForgeError
from flowforge.execution_record import ExecutionRecord, execution_records
from flowforge.flow_graph import FlowGraph
from flowforge.graph_errors import FlowNotRegisteredError
from flowforge.job_errors import RuntimeOptionError
from flowforge.job_state import JobState
from flowforge.job_state_file import binary_values, restore, tree_of
from flowforge.job_status import FINISHED, JobStatus
from flowforge.stores.store import FoldingStore, History, KnownJob, PrunableStore
from flowforge.stores.uninterrupted import uninterrupted
from flowforge.subscription import Lagged

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from actors.clock import Clock
    from flowforge._engine.job import Job
    from flowforge.flow_registry import FlowRegistry
    from flowforge.options import RuntimeOptions
    from flowforge.records import Record
    from flowforge.stores.codec import Codec
    from flowforge.stores.store import LetGo, Store

    Take = Callable[[Iterable[tuple[JobState, FlowGraph, bool]]], None]

__all__ = ["DurableJobs", "bases_for", "checked_flow", "checked_flows", "how_to_resume", "let_end", "logged_and_left"]


_AT_ONCE = 256
"""Jobs that are read together."""


class DurableJobs:
    """What one runtime knows of its store; used by the threads that open and register."""

    def __init__(
        self, store: Store, codec: Codec, bases: Bases, clock: Clock, registry: FlowRegistry, *, keeps_records: bool
    ) -> None:
        self.store = store
        self._registry = registry
        self._codec = codec
        self._bases = bases
        self._keeps_records = keeps_records
        self._clock = clock
        self._flows: dict[str, FlowGraph] = {}
        self._has_store = False
        self._may_fold = Event()
        """Set once it has opened: what that reads is not to wait for what can be done later."""
        self._giving_back = Lock()
        self.starting = RLock()
        """Held while a job of a given id is looked up and started, or let go, so that an id is one job."""
        self.left: dict[str, KnownJob] = {}
        """The unfinished jobs whose flows are not known, or have changed so that they do not fit, by id."""

    def take_store(self, let_go: LetGo) -> None:
        """Have the store shorten long jobs, and delete by way of `let_go`; StoreInUseError if another has it."""
        if isinstance(self.store, FoldingStore):
            self.store.fold_with(self._fold, keeps_records=self._keeps_records)
        if isinstance(self.store, PrunableStore):
            self.store.let_go_with(let_go)
        self._has_store = True

    def _fold(self, job_id: str, history: History) -> bytes:
        self._may_fold.wait()
        return self._bases.fold(job_id, history)

    def give_store_back(self, jobs: Iterable[JobState]) -> None:
        """Let another runtime take the store, if this one still has it; nothing more is done to these jobs of its."""
        # Also of one that was interrupted while it took the store: whoever closes that waits for the fold.
        self._may_fold.set()
        with self.starting:
            if not self._has_store:
                return
            for job in jobs:
                with job.control_lock:
                    job.is_stale = True
            # Whole: one that is interrupted is asked again, perhaps when another runtime has the store.
            uninterrupted(self._give_back)

    def _give_back(self) -> None:
        with self._giving_back:
            if not self._has_store:
                return
            if isinstance(self.store, PrunableStore):
                self.store.let_go_with(None)
            if isinstance(self.store, FoldingStore):
                self.store.fold_with(None)
            self._has_store = False

    def open(self, flows: Iterable[FlowGraph], take: Take) -> None:
        """Recover the unfinished jobs of these flows and of the registry's; `take` gets all of them at once."""
        self.left = {job.id: job for job in self.store.jobs() if JobStatus(job.status) not in FINISHED}
        given = {flow.flow_id: flow for flow in flows}
        known = {name: self._registry.get(name) for name in self._registry.list() if name not in given}
        self.register(given | known, take)
        self._may_fold.set()

    def register(self, flows: Mapping[str, FlowGraph], take: Take) -> None:
        """Know flows from now on, and recover their jobs that were left; a job that does not fit stays left.

        `take` gets each job with its flow, and whether it is to go on at once.
        """
        self._flows |= flows
        with self.starting:
            take(self._found(flows))

    def _found(self, flows: Mapping[str, FlowGraph]) -> Iterator[tuple[JobState, FlowGraph, bool]]:
        jobs = [job for job in self.left.values() if job.flow in flows]
        for job, history in self._histories(jobs):
            with logged_and_left(job):
                if not isinstance(history, History):
                    raise history
                state, goes_on = self._recovered(job.id, history)
                if not goes_on:
                    self.left.pop(job.id)
                yield state, flows[job.flow], goes_on

    def flow(self, flow_id: str) -> FlowGraph | None:
        """The flow of that id, if it is known."""
        return self._flows.get(flow_id)

    def check_known(self, flow: FlowGraph) -> None:
        """Raise FlowNotRegisteredError for a flow that a later process could not find by its name."""
        if self._flows.get(flow.flow_id) is flow:
            return
        if flow.flow_id not in self._registry.list() or self._registry.get(flow.flow_id) is not flow:
            raise FlowNotRegisteredError(flow.flow_id)
        self._flows[flow.flow_id] = flow

    def known_jobs(self) -> list[KnownJob]:
        """All jobs in the store, oldest first."""
        return self.store.jobs()

    def load(self, job_id: str) -> JobState | None:
        """A finished or left job, from its records; None if there is none of that id."""
        history = self._history(job_id)
        return self._recovered(job_id, history)[0] if history.records or history.base is not None else None

    def read_history(self, job_id: str, first: int, last: int) -> Iterator[ExecutionRecord | Lagged]:
        """The history from one position on, where all up to `last` is safe; what the store let go is a `Lagged`."""
        due = first
        for record in self._records(job_id, first):
            if record.position > due:
                yield Lagged(due, record.position - 1)
            due = record.position + 1
            yield from execution_records(record)
        if due <= last:
            yield Lagged(due, last)

    def _records(self, job_id: str, first: int) -> Iterator[Record]:
        if isinstance(self.store, FoldingStore):
            return self.store.every_record(job_id, first)
        return (record for record in self.store.records(job_id) if record.position >= first)

    def _histories(self, jobs: Sequence[KnownJob]) -> Iterator[tuple[KnownJob, History | FlowForgeError]]:
        for start in range(0, len(jobs), _AT_ONCE):
            part = jobs[start : start + _AT_ONCE]
            if isinstance(self.store, FoldingStore):
                yield from zip(part, self.store.histories([job.id for job in part]), strict=True)
            else:
                yield from ((job, History(None, self.store.records(job.id))) for job in part)

    def _history(self, job_id: str) -> History:
        if isinstance(self.store, FoldingStore):
            return self.store.history(job_id)
        return History(None, self.store.records(job_id))

    def _recovered(self, job_id: str, history: History) -> tuple[JobState, bool]:
        data, view, goes_on = self._bases.recover(job_id, history)
        state = JobState(data, view, self._codec)
        state.clock, state.log, state.is_stale = self._clock, self.store, not self._has_store
        return state, goes_on


def checked_flow(flow: object) -> FlowGraph:
    """`flow` if it is one; else RuntimeOptionError."""
    if not isinstance(flow, FlowGraph):
        raise RuntimeOptionError("flow", flow, "Give a Flow.")
    return flow


def checked_flows(flows: object) -> list[FlowGraph]:
    """`flows` if they are flows, no two of one id; else RuntimeOptionError."""
    if isinstance(flows, FlowGraph) or not isinstance(flows, Iterable):
        raise RuntimeOptionError("flows", flows, "Give a list of flows, as in flows=[flow].")
    found: dict[str, FlowGraph] = {}
    for flow in flows:
        if found.setdefault(checked_flow(flow).flow_id, flow) is not flow:
            raise RuntimeOptionError("flows", flow, f"Two of them have the id {flow.flow_id!r}; give each its own.")
    return list(found.values())


@contextmanager
def logged_and_left(job: JobState | KnownJob) -> Iterator[None]:
    """One job that cannot go on, or whose routines cannot be made, must not keep the others from it."""
    job_id = job.job_id if isinstance(job, JobState) else job.id
    try:
        yield
    except Exception:  # noqa: BLE001 - constructors of users' routines may raise anything, and it is logged
        logger.exception("The job %r was left as it is, for it cannot go on.", job_id, extra=about(job_id))


def bases_for(codec: Codec, options: RuntimeOptions) -> Bases:
    """What makes bases for a runtime with those options."""
    form = binary_values(codec)
    limits = options.remembered, options.max_outputs
    return Bases(codec, *limits, partial(tree_of, form=form), partial(restore, form=form))


def how_to_resume(
    state: JobState, flow: FlowGraph | None, durable: DurableJobs | None
) -> tuple[FlowPlan, float | None]:
    """The plan and the timeout that a resting job goes on with: of `flow`, else of its last run, else of its store."""
    if flow is None:
        if state.live is not None:
            return state.live.plan, state.live.timeout
        assert durable is not None, "a job that has not run in this runtime came from its store"
        flow = durable.flow(state.flow_id)
        if flow is None:
            raise FlowNotRegisteredError(state.flow_id)
    return plan_of(flow), flow.timeout if state.data.timeout is None else state.data.timeout


def let_end(run: Job) -> None:
    """At a shutdown: a job in memory is closed and drained, a durable one is paused until the next start."""
    if run.is_durable:
        control.request_pause(run, "shutdown", run.data.checkpoint, goes_on=True)
    else:
        control.close(run)
