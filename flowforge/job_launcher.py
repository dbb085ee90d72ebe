"""The side of a runtime that jobs begin on: new ones, resumed ones, and those that it finds in its store."""

from __future__ import annotations

import contextvars
from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from functools import partial
from typing import TYPE_CHECKING, Any, cast

from actors.turn_context import TURN_DEPTH
from flowforge._engine.halting import stop_dead
from flowforge._engine.job import Job
from flowforge._engine.job_data import JobData
from flowforge._engine.view import JobView
from flowforge.at_rest import in_one_frame, wait_until_safe
from flowforge.durable_jobs import checked_flow, how_to_resume, logged_and_left
from flowforge.held_interrupts import HeldInterrupts
from flowforge.job_directory import JobDirectory
from flowforge.job_errors import JobForkedError, RuntimeClosedError, RuntimeOptionError
from flowforge.job_starts import JobStart, Opening, Starting, leave_for_next_start, open_step, opening_of
from flowforge.job_state import JobState
from flowforge.job_status import JobStatus
from flowforge.job_versions import check_can_resume, make_ready
from flowforge.runtime_checks import (
    check_only_resumed,
    check_outside_a_step,
    checked_id,
    registered_flow,
    warn_of_concurrency,
)
from flowforge.step_context import CURRENT_STEP, MAY_WAIT

if TYPE_CHECKING:
    from collections.abc import Callable

    from flowforge._engine.bases import Bases
    from flowforge._engine.host import JobHost
    from flowforge._engine.plan import FlowPlan
    from flowforge.flow_graph import FlowGraph
    from flowforge.flow_registry import FlowRegistry
    from flowforge.options import RuntimeOptions
    from flowforge.output_pumps import OutputPumps
    from flowforge.records import Delivery
    from flowforge.stores.codec import Codec
    from flowforge.stores.store import Log

__all__ = ["JobLauncher"]


class JobLauncher(JobDirectory):
    """What begins jobs; every method may be called from any thread."""

    options: RuntimeOptions
    codec: Codec
    log: Log
    records_per_look: int
    _bases: Bases
    _flows: FlowRegistry | None
    _outputs: OutputPumps
    _is_closed: bool

    def exec(  # noqa: PLR0917 - as users type it
        self,
        flow_or_name: FlowGraph | str,
        entry_routine_id: str | None = None,
        entry_params: dict[str, Any] | None = None,
        entry_slot: str | None = None,
        job_state: JobState | None = None,
        job_id: str | None = None,
        keep_alive: bool = False,  # noqa: FBT001, FBT002 - as users type it
        *,
        timeout: float | None = None,
    ) -> JobState:
        """Start a job and return at once, with a store once it is on disk; given a job state, go on with that job.

        `keep_alive` keeps it open for posts until its `close`; without an entry and parameters it waits for the first.
        `timeout` seconds fail it, pauses not counted; the flow's own by default. Raises what is wrong with the flow,
        the entry or the parameters before anything runs.
        """
        flow = registered_flow(self._flows, flow_or_name)
        if job_state is None:
            start = JobStart(entry_routine_id, entry_params, entry_slot, job_id, keep_alive, timeout)
            state = self._start(flow, self._opening(flow, start))
        else:
            check_only_resumed(job_state, entry_routine_id, entry_params, entry_slot, job_id, timeout)
            state = self._resume(job_state, flow) if job_state.log is self.log else self._take_in(job_state, flow)
        wait_until_safe(state)
        return state

    def exec_many(
        self,
        flow_or_name: FlowGraph | str,
        entry_params: Iterable[dict[str, Any]],
        *,
        entry_routine_id: str | None = None,
        entry_slot: str | None = None,
        timeout: float | None = None,
    ) -> list[JobState]:
        """`exec` for each of these parameters; with a store it waits for the disk once, not for each.

        If one of them is wrong, none is started.
        """
        flow = registered_flow(self._flows, flow_or_name)
        if isinstance(entry_params, Mapping) or not isinstance(entry_params, Iterable):
            raise RuntimeOptionError("entry_params", entry_params, "Give a list of dicts, one for each job.")
        starts = [JobStart(entry_routine_id, params, entry_slot, timeout=timeout) for params in entry_params]
        openings = [self._opening(flow, start) for start in starts]
        states = [self._start(flow, opening) for opening in openings]
        for state in reversed(states):
            wait_until_safe(state)
        return states

    def _opening(self, flow: FlowGraph, start: JobStart) -> Opening:
        """What a new job begins with, as it will be kept; raises what is wrong with it."""
        if open_step() is None or self._durable is None:
            self._check_open("start a job")
        if self._durable is not None:
            self._durable.check_known(flow)
        opening = opening_of(flow, start)
        if opening.plan.is_isolated or self.log.is_durable:
            opening = opening._replace(payload=self.codec.copy(opening.payload, "entry_params"))
        return opening

    def _start(self, flow: FlowGraph, opening: Opening) -> JobState:
        start, step = opening.start, open_step()
        if self._durable is None:
            return self._start_new(flow, opening, start.job_id)
        while True:
            with self._durable.starting:
                known = None if start.job_id is None else self.get_job(start.job_id)
                if known is None or known.flow_id != flow.flow_id:
                    with HeldInterrupts():
                        return self._start_new(flow, opening, start.job_id)
                starting = known.starting
                if starting is None:
                    return known
                if step is not None:
                    if starting.claim(step, partial(self._open, starting.job, flow, opening)):
                        return known
                    continue
            # Whether there will be such a job is known when the steps that have asked for it have ended.
            if not self.dispatcher.wait_for(starting.settled):
                raise RuntimeClosedError("start a job")

    def _start_new(self, flow: FlowGraph, opening: Opening, job_id: str | None) -> JobState:
        data = JobData(checked_id(job_id), flow.flow_id)
        state = JobState(data, JobView(data.job_id, self.options.remembered, self.options.max_outputs), self.codec)
        try:
            self._table.reserve(state, is_left=self.log.is_durable and open_step() is not None)
            job = self._build(state, opening.plan, opening.limit)
            self._begin(job, partial(self._open, job, flow, opening))
        except BaseException:
            self._table.release(state)
            raise
        return state

    def _open(self, job: Job, flow: FlowGraph, opening: Opening) -> None:
        self._begin_now(job, flow, opening.apply(job))

    def resume_job(self, job: JobState | str) -> JobState:
        """Go on with a paused or failed job of this runtime; return at once, with a store once that is on disk."""
        state = self._resume(self._state(job), None)
        wait_until_safe(state)
        return state

    def _resume(self, state: JobState, flow: FlowGraph | None) -> JobState:
        self._check_open("resume a job")
        self._go_on(state, flow)
        return state

    def _take_in(self, state: JobState, flow: FlowGraph) -> JobState:
        """Go on with a job that was loaded, or that rests in another runtime."""
        if self._durable is None:
            return self._resume(state, flow)
        check_outside_a_step(f"the job {state.job_id!r} to be in the store")
        self._durable.check_known(flow)
        with self._durable.starting:
            if self.get_job(state.job_id) is not None:
                remedy = "Go on with that one by resume_job, or delete it from the store first."
                raise JobForkedError(state.job_id, "the store already", remedy)
            return self._resume(state, flow)

    def _go_on(self, state: JobState, flow: FlowGraph | None, keep: Callable[[], None] | None = None) -> None:
        """Let a job go on that may be resumed, or a completed one, with `keep` called before the record of that."""
        is_reserved = False
        try:
            with HeldInterrupts():
                self._table.reserve(state)
                is_reserved = True
            if keep is None:
                check_can_resume(state)
            # Apart from what is whole: Ctrl-C ends a hook of the user's that does not.
            plan, timeout = self._made_ready(state, flow)
            with HeldInterrupts():
                self._go_on_now(self._build(state, plan, timeout), state, flow, keep)
        except BaseException:
            if is_reserved:
                self._table.release(state)
            raise

    def _go_on_now(self, job: Job, state: JobState, flow: FlowGraph | None, keep: Callable[[], None] | None) -> None:
        begin = partial(self._begin_now, job, flow, None)
        if keep is None:
            self._begin(job, begin)
        else:
            with in_one_frame(self.log):
                keep()
                self._begin(job, begin)
        if self._durable is not None:
            self._durable.left.pop(state.job_id, None)

    def _made_ready(self, state: JobState, flow: FlowGraph | None) -> tuple[FlowPlan, float | None]:
        plan, timeout = how_to_resume(state, flow, self._durable)
        make_ready(state, plan, self._bases, self.log, self.dispatcher.clock)
        return plan, timeout

    def reopen(self, state: JobState, keep: Callable[[], None]) -> bool:
        """Run a completed job again, to which a dead letter was given back; False after shutdown.

        `keep` is called before the record of that, once it is known that the job can go on.
        """
        if self._is_closed:
            return False
        self._go_on(state, None, keep)
        return True

    def _build(self, state: JobState, plan: FlowPlan, timeout: float | None) -> Job:
        context = contextvars.copy_context()
        context.run(CURRENT_STEP.set, None)
        context.run(TURN_DEPTH.set, 1)
        context.run(MAY_WAIT.set, True)  # noqa: FBT003 - a value
        warn_of_concurrency(plan, self.options.thread_pool_size)
        state.clock, state.log = self.dispatcher.clock, self.log
        return Job(
            cast("JobHost", self), plan, state.data, state.view, job_state=state, context=context, timeout=timeout
        )

    def _begin(self, job: Job, begin: Callable[[], None]) -> None:
        """Have a job begin; one that a step asks for, when that commits."""
        step = open_step()
        if step is None:
            begin()
        else:
            Starting(job, self._table.release).claim(step, begin)

    def _begin_now(self, job: Job, flow: FlowGraph | None, deliveries: tuple[Delivery, ...] | None) -> None:
        state = job.job_state
        assert isinstance(state, JobState)
        if state.status is JobStatus.CANCELLED:
            # It was cancelled between its exec in a step and the step's commit.
            self._table.release(state)
            return
        try:
            with job.lock:
                try:
                    self._make_known(job, flow)
                    job.begin(deliveries)
                except (KeyboardInterrupt, SystemExit):
                    if deliveries is not None and not self.log.is_durable:
                        self._undo(job)
                    raise
        except RuntimeClosedError:
            if state.starting is None or not self.log.is_durable:
                raise
            # The step that asks for it has committed.
            leave_for_next_start(job, deliveries)
            self._table.release(state)

    def _undo(self, job: Job) -> None:
        """Know a new job no more that was cut off while it began; with its lock held, so none of its steps has begun.

        One of a store, or that goes on, is not cut off: Ctrl-C waits meanwhile, which would be dear for each new job.
        """
        stop_dead(job)
        self._table.withdraw(job.id)

    def _make_known(self, job: Job, flow: FlowGraph | None) -> None:
        state = job.job_state
        assert isinstance(state, JobState)
        self._table.note_start(state, job)
        # Of the view alone: a flow must not keep the job's runtime alive.
        read_state = partial(_committed_state, state.view)
        for routine in job.plan.routines:
            routine.template.__dict__["_latest_state"] = read_state, routine.id
        if flow is not None:
            flow.note_job(state)
        state.view.is_live = True
        state.view.set_limits(self.options.remembered, self.options.max_outputs)
        state.live = job
        if state.output_handler is not None:
            self._outputs.attach(job, state.output_handler)

    def _check_open(self, asked: str) -> None:
        self.check_process(asked)
        if self._is_closed:
            raise RuntimeClosedError(asked)

    # From the store

    def register(self, flow: FlowGraph) -> None:
        """Know a flow by its id, and go on with its unfinished jobs that are in the store.

        RuntimeOptionError without a store, which has no use for it.
        """
        self._check_open("register a flow")
        if self._durable is None:
            raise RuntimeOptionError("flow", flow, "Only a runtime with a store registers flows; give it one.")
        self._durable.register({checked_flow(flow).flow_id: flow}, self._take_recovered)

    def _take_recovered(self, found: Iterable[tuple[JobState, FlowGraph, bool]]) -> None:
        """Know jobs of the store, and let those that are to go on do so, none of their steps before all are known."""
        assert self._durable is not None, "jobs are recovered from a store"
        runs: list[Job] = []
        with ExitStack() as held:
            try:
                for state, flow, goes_on in found:
                    known = self._table.get(state.job_id) or state
                    known.host = cast("JobHost", self)
                    if not goes_on or known.committed_status is not JobStatus.PAUSED:
                        self._table.add_resting(known)
                        continue
                    with logged_and_left(known):
                        runs.append(self._made_known(known, flow, held))
            finally:
                # Whatever ends this: what is known to run does run.
                for run in runs:
                    run.begin(None)
                    self._durable.left.pop(run.id, None)

    def _made_known(self, state: JobState, flow: FlowGraph, held: ExitStack) -> Job:
        self._table.reserve(state)
        try:
            run = self._build(state, *self._made_ready(state, flow))
            held.enter_context(run.lock)
            self._make_known(run, flow)
        except BaseException:
            self._table.release(state)
            raise
        return run


def _committed_state(view: JobView, routine_id: str, default: dict[str, Any]) -> dict[str, Any]:
    view.catch_up()
    return view.state_of(routine_id) or default
