"""Runtime: runs any number of jobs side by side, on a pool of threads that it owns.

Guarantees:

- `exec` returns once the job exists; jobs share nothing but the pool, and two runtimes share nothing.
- A job is known to `get_job` from before its first step until it is let go as one of too many finished ones.
- After `shutdown` no thread of the runtime is left, unless a handler still held one at the deadline.
"""

from __future__ import annotations

import contextvars
import weakref
from typing import TYPE_CHECKING, Any, ClassVar, Self, cast

from actors.pooled_dispatcher import PooledDispatcher
from actors.process_life import run_at_exit, run_in_forked_child
from actors.registry import Registry
from actors.turn_context import TURN_DEPTH
from flowforge._engine import control
from flowforge._engine.halting import halt_all, stop_dead
from flowforge._engine.job import Job
from flowforge._engine.job_data import JobData
from flowforge._engine.plan import FlowPlan, plan_of
from flowforge._engine.view import JobView
from flowforge.at_rest import wait_until_safe
from flowforge.durable_jobs import DurableJobs, bases_for, how_to_resume, let_end
from flowforge.feeding import feed
from flowforge.flow_graph import FlowGraph
from flowforge.flow_registry import FlowRegistry
from flowforge.job_directory import JobDirectory
from flowforge.job_errors import JobForkedError, RuntimeClosedError, RuntimeOptionError
from flowforge.job_state import JobState
from flowforge.job_status import JobStatus
from flowforge.job_table import JobTable
from flowforge.job_versions import check_can_resume, make_ready
from flowforge.options import RuntimeOptions
from flowforge.output_handler import InlineOutputPump, OutputHandler, OutputPump
from flowforge.output_pumps import OutputPumps
from flowforge.records import Delivery, Destination
from flowforge.runtime_checks import (
    JobStart,
    begin_now_or_after_commit,
    check_only_resumed,
    check_outside_a_step,
    checked_entry,
    checked_id,
    checked_options,
    checked_registry,
    checked_timeout,
    drain,
    entries_of,
    known_registry,
    note_failure,
    registered_flow,
    state_reader,
    warn_of_concurrency,
)
from flowforge.step_context import CURRENT_STEP
from flowforge.stores.codec import Codec
from flowforge.stores.opening import opened
from flowforge.stores.store_errors import StoreClosedError

if TYPE_CHECKING:
    from collections.abc import Iterable
    from types import TracebackType

    from actors.dispatcher import Dispatcher
    from flowforge.stores.store import Log, Store

__all__ = ["Runtime"]


# What a shutdown that did not end cleanly still gives to hooks and outputs, in seconds.
_GRACE = 1.0


class Runtime(JobDirectory):
    """Where jobs live: create one, `exec` flows on it, and shut it down, or use it in a `with` block.

    Every method may be called from any thread; those that wait may not be called inside handlers. A handler may call
    `exec` and `post`: they take effect when its step commits.
    """

    make_pump: ClassVar[type[OutputPump | InlineOutputPump]] = OutputPump
    """What outputs are handled by; the engine's."""

    def __init__(
        self,
        thread_pool_size: int | None = None,
        registry: FlowRegistry | None = None,
        *,
        options: RuntimeOptions | None = None,
        dispatcher: Dispatcher | None = None,
        codec: Codec | None = None,
        store: Log | str | None = None,
        flows: Iterable[FlowGraph] = (),
        drains_at_exit: bool = True,
    ) -> None:
        self.options = checked_options(thread_pool_size, options)
        self.dispatcher: Dispatcher = dispatcher or PooledDispatcher(
            self.options.thread_pool_size, drains_at_exit=False
        )
        self.codec = codec or Codec()
        self._bases = bases_for(self.codec, self.options)
        self.registry = Registry()
        self.log: Log = opened(store, self.codec)
        self._owns_log = isinstance(store, str)
        if self._owns_log:
            # One that is dropped without a shutdown must not keep its store locked.
            weakref.finalize(self, cast("Store", self.log).close)
        self.records_per_look = 64
        self._flows = checked_registry(registry)
        self._table = JobTable(self.options.max_finished_jobs)
        self._outputs = OutputPumps(self.make_pump)
        self._is_closed = False
        run_in_forked_child(self._give_up_in_child)
        # A bound method would keep every runtime alive until the process ends.
        me = weakref.ref(self)
        self._exit_call = run_at_exit(lambda: drain(me)) if drains_at_exit else None
        if self.log.is_durable:
            facts = self.codec, self._bases, self.dispatcher.clock, known_registry(self._flows)
            self._durable = DurableJobs(cast("Store", self.log), *facts)
            cast("Store", self.log).call_when_failed(lambda: note_failure(me))
            try:
                self._durable.open(flows, self._take_recovered)
            except BaseException:
                self.shutdown(wait=False)
                raise

    def _take_recovered(self, state: JobState, flow: FlowGraph, goes_on: bool) -> None:  # noqa: FBT001 - a callback's
        known = self._table.get(state.job_id) or state
        known.host = self
        if goes_on and known.committed_status is JobStatus.PAUSED:
            self._resume(known, flow)
        else:
            self._table.add_resting(known)

    def register(self, flow: FlowGraph) -> None:
        """Know a flow by its id, and go on with its unfinished jobs that are in the store.

        RuntimeOptionError without a store, which has no use for it.
        """
        self._check_open("register a flow")
        if self._durable is None:
            raise RuntimeOptionError("flow", flow, "Only a runtime with a store registers flows; give it one.")
        self._durable.register(flow, self._take_recovered)

    def stop_dead(self) -> None:
        """Called when the store keeps nothing any more: its jobs end where they stand, and nothing else begins."""
        self._is_closed = True
        self._table.close()
        for job in self._table.all():
            if job.live is not None and not job.is_resting:
                stop_dead(job.live)

    def _give_up_in_child(self) -> None:
        self._table.forget_lock()
        self._is_closed = self._is_forked = True
        if self._exit_call is not None:
            self._exit_call.cancel()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.shutdown(timeout=self.options.shutdown_timeout)

    # Starting

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
        """Start a job and return at once; given a job state, go on with that job.

        `keep_alive` keeps it open for posts until its `close`; without an entry and parameters it waits for the first.
        `timeout` seconds fail it, pauses not counted; the flow's own by default. Raises what is wrong with the flow,
        the entry or the parameters before anything runs.
        """
        flow = registered_flow(self._flows, flow_or_name)
        if job_state is not None:
            check_only_resumed(job_state, entry_routine_id, entry_params, entry_slot, job_id, timeout)
            return self._resume(job_state, flow) if job_state.log is self.log else self._take_in(job_state, flow)
        start = JobStart(entry_routine_id, entry_params, entry_slot, job_id, keep_alive, timeout)
        state = self._start(flow, start)
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
        """`exec` for each of these parameters; with a store it waits for the disk once, not for each."""
        flow = registered_flow(self._flows, flow_or_name)
        starts = [JobStart(entry_routine_id, params, entry_slot, timeout=timeout) for params in entry_params]
        states = [self._start(flow, start) for start in starts]
        for state in reversed(states):
            wait_until_safe(state)
        return states

    def _start(self, flow: FlowGraph, start: JobStart) -> JobState:
        self._check_open("start a job")
        if self._durable is None:
            return self._start_new(flow, start)
        self._durable.check_known(flow)
        with self._durable.starting:
            known = None if start.job_id is None else self.get_job(start.job_id)
            if known is not None and known.flow_id == flow.flow_id:
                return known
            return self._start_new(flow, start)

    def _start_new(self, flow: FlowGraph, start: JobStart) -> JobState:
        plan = plan_of(flow)
        is_fed_by_posts = start.keep_alive and start.routine_id is None and start.params is None
        entries = [] if is_fed_by_posts else entries_of(plan, start.routine_id, start.slot)
        payload = checked_entry(plan, entries, start.params)
        if plan.is_isolated or self.log.is_durable:
            payload = self.codec.copy(payload, "entry_params")
        limit = checked_timeout(flow.timeout if start.timeout is None else start.timeout)
        data = JobData(checked_id(start.job_id), flow.flow_id, is_kept_alive=start.keep_alive, timeout=start.timeout)
        state = JobState(data, JobView(data.job_id, self.options.max_history, self.options.max_outputs), self.codec)
        self._table.reserve(state)
        try:
            job = self._build(state, plan, limit)
            at = self.dispatcher.clock.now()
            deliveries = tuple(
                Delivery(Destination(entry.id, entry.slots[lane].name), control.new_message(data, dict(payload), at))
                for entry, lane in entries
            )
            self._begin(job, flow, deliveries)
        except BaseException:
            self._table.release(state)
            raise
        return state

    def resume_job(self, job: JobState | str) -> JobState:
        """Go on with a paused or failed job of this runtime, and return at once."""
        return self._resume(self._state(job), None)

    def _resume(self, state: JobState, flow: FlowGraph | None) -> JobState:
        self._check_open("resume a job")
        self._table.reserve(state)
        try:
            check_can_resume(state)
            self._go_on(state, flow)
        except BaseException:
            self._table.release(state)
            raise
        if self._durable is not None:
            self._durable.left.pop(state.job_id, None)
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
            self._resume(state, flow)
        wait_until_safe(state)
        return state

    def _go_on(self, state: JobState, flow: FlowGraph | None) -> None:
        plan, timeout = how_to_resume(state, flow, self._durable)
        make_ready(state, plan, self._bases, self.log, self.dispatcher.clock)
        self._begin(self._build(state, plan, timeout), flow, None)

    def reopen(self, state: JobState) -> bool:
        """Run a completed job again, to which a dead letter was given back; False after shutdown."""
        if self._is_closed:
            return False
        self._table.reserve(state)
        try:
            self._go_on(state, None)
        except BaseException:
            self._table.release(state)
            raise
        return True

    def _build(self, state: JobState, plan: FlowPlan, timeout: float | None) -> Job:
        context = contextvars.copy_context()
        context.run(CURRENT_STEP.set, None)
        context.run(TURN_DEPTH.set, 1)
        warn_of_concurrency(plan, self.options.thread_pool_size)
        state.clock, state.log = self.dispatcher.clock, self.log
        return Job(self, plan, state.data, state.view, job_state=state, context=context, timeout=timeout)

    def _begin(self, job: Job, flow: FlowGraph | None, deliveries: tuple[Delivery, ...] | None) -> None:
        begin_now_or_after_commit(job, lambda: self._begin_now(job, flow, deliveries), self._table.release)

    def _begin_now(self, job: Job, flow: FlowGraph | None, deliveries: tuple[Delivery, ...] | None) -> None:
        state = job.job_state
        assert isinstance(state, JobState)
        if state.status is JobStatus.CANCELLED:
            # It was cancelled between its exec in a step and the step's commit.
            self._table.release(state)
            return
        self._table.note_start(state, job)
        for routine in job.plan.routines:
            routine.template.__dict__["_latest_state"] = state_reader(state, routine.id)
        if flow is not None:
            flow.note_job(state)
        state.view.is_live = True
        state.view.set_limits(self.options.max_history, self.options.max_outputs)
        state.live = job
        if state.output_handler is not None:
            self._outputs.attach(job, state.output_handler)
        with job.lock:
            job.begin(deliveries)

    def _check_open(self, asked: str) -> None:
        self.check_process(asked)
        if self._is_closed:
            raise RuntimeClosedError(asked)

    # Feeding

    def post(
        self,
        job: JobState | str,
        routine: str,
        slot: str | None,
        payload: dict[str, Any],
        *,
        key: str | None = None,
        timeout: float | None = None,
    ) -> None:
        """Put a message into a slot of a running job; of several posts with one key, one is taken.

        A full slot is waited for, at most `timeout` seconds, then SlotQueueFullError. Inside a handler it is buffered
        and does not wait. JobFinishedError if the job rests.
        """
        feed(self._state(job), routine, slot, payload, key, timeout)

    # Ending

    def shutdown(self, wait: bool = True, timeout: float | None = None) -> bool:  # noqa: FBT001, FBT002 - the issue's signature
        """Take no more jobs, close those that are kept alive, and wait for all to rest; then end the threads.

        What still runs after `timeout` seconds, or at once if `wait` is false, is paused where it stands: nothing of
        it is lost, and its steps' late results are refused. It takes up to a second more for `on_stop` hooks and
        outputs. False if some step still held its thread at the end, or outputs were left.
        """
        check_outside_a_step("all jobs")
        self.check_process("be shut down")
        self._is_closed = True
        self._table.close()
        if self._exit_call is not None:
            self._exit_call.cancel()
        running = [job.live for job in self._table.all() if job.live is not None and not job.is_resting]
        for job in running:
            let_end(job)
        if wait:
            self.dispatcher.wait_for(self._table.idle, timeout)
        is_clean = halt_all(running, self.dispatcher, _GRACE)
        is_clean &= self._outputs.close(timeout if is_clean and wait else _GRACE)
        is_clean &= self.dispatcher.shutdown(timeout=timeout if is_clean and wait else _GRACE)
        if self._durable is not None:
            failure = cast("Store", self.log).failure
            is_clean &= failure is None or isinstance(failure, StoreClosedError)
        if self._owns_log:
            cast("Store", self.log).close()
        return is_clean

    # For its jobs

    def note_rest(self, state: JobState, run: Job) -> None:
        """A job's run has ended."""
        self._outputs.note_rest(run)
        self._table.note_rest(state, run)

    def note_finished(self, state: JobState) -> None:
        """A job has finished while it rested."""
        self._table.note_finished(state)

    def attach_output_handler(self, job: Job, handler: OutputHandler | None) -> None:
        """Have the outputs of a job handled on a thread of their own."""
        self._outputs.attach(job, handler)
