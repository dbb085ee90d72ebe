"""Runtime: runs any number of jobs side by side, on a pool of threads that it owns.

Guarantees:

- `exec` returns once the job exists; jobs share nothing but the pool, and two runtimes share nothing.
- A job is known to `get_job` from before its first step until it is let go as one of too many finished ones.
- After `shutdown` no thread of the runtime is left, unless a handler still held one at the deadline; nor is one soon
  after a runtime that nobody holds, and whose jobs all rest, was collected as garbage. A flow does not hold it.
"""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING, Any, ClassVar, Self, cast

from actors.pooled_dispatcher import PooledDispatcher
from actors.process_life import run_at_exit, run_in_forked_child
from flowforge._engine.halting import halt_all, stop_dead
from flowforge._engine.job import Job
from flowforge._engine.tracked_convert import Codec as StateCodec
from flowforge.durable_jobs import DurableJobs, bases_for, checked_flows, let_end
from flowforge.feeding import feed
from flowforge.flow_graph import FlowGraph
from flowforge.flow_registry import FlowRegistry
from flowforge.job_actors import JobActors
from flowforge.job_launcher import JobLauncher
from flowforge.job_state import JobState
from flowforge.job_table import JobTable
from flowforge.options import RuntimeOptions
from flowforge.output_handler import InlineOutputPump, OutputHandler, OutputPump
from flowforge.output_pumps import OutputPumps
from flowforge.runtime_checks import (
    check_outside_a_step,
    check_wait,
    checked_options,
    checked_registry,
    drain,
    end_soon,
    known_registry,
    note_failure,
)
from flowforge.stores.opening import codec_for, opened
from flowforge.stores.store_errors import StoreClosedError

if TYPE_CHECKING:
    from collections.abc import Iterable
    from types import TracebackType

    from actors.dispatcher import Dispatcher
    from flowforge.stores.codec import Codec
    from flowforge.stores.store import Log, Store

__all__ = ["Runtime"]


# What a shutdown that did not end cleanly still gives to hooks and outputs, in seconds.
_GRACE = 1.0


class Runtime(JobLauncher):
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
        self.options = checked_options(thread_pool_size, options, store)
        given = checked_flows(flows)
        pool = None if dispatcher else PooledDispatcher(self.options.thread_pool_size, drains_at_exit=False)
        self.dispatcher: Dispatcher = dispatcher or cast("Dispatcher", pool)
        self.codec = codec = codec_for(store, codec)
        self.state_codec = StateCodec(codec.check, codec.encode, codec.decode)
        self._bases = bases_for(self.codec, self.options)
        self.log: Log = opened(store, self.codec)
        self._owned_store = cast("Store", self.log) if isinstance(store, str) else None
        # One that is dropped without a shutdown must leave no thread, and not keep its store locked.
        self._if_dropped = weakref.finalize(self, end_soon, pool, self._owned_store)
        # At the end of the process they go by themselves.
        self._if_dropped.atexit = False
        self.records_per_look = 64
        self._flows = checked_registry(registry)
        self._table = JobTable(self.options.max_finished_jobs)
        self.registry = JobActors(self._table)
        """The actors of its jobs, as pykka knows actors."""
        self._outputs = OutputPumps(self.make_pump)
        self._is_closed = False
        run_in_forked_child(self._give_up_in_child)
        # A bound method would keep every runtime alive until the process ends.
        me = weakref.ref(self)
        self._exit_call = run_at_exit(lambda: drain(me)) if drains_at_exit else None
        if self.log.is_durable:
            facts = self.codec, self._bases, self.dispatcher.clock, known_registry(self._flows)
            self._durable = DurableJobs(cast("Store", self.log), *facts, keeps_records=self.options.history == "full")
            cast("Store", self.log).call_when_failed(lambda: note_failure(me))
            try:
                self._take_store()
                self._durable.open(given, self._take_recovered)
            except BaseException:
                self.shutdown(wait=False)
                raise

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
        self._if_dropped.detach()
        if self._exit_call is not None:
            self._exit_call.cancel()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.shutdown(timeout=self.options.shutdown_timeout)

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
        outputs. False if some step still held its thread at the end, or outputs were left. It may be called again,
        to go on with what is left when it was interrupted, or to wait for what still ran.
        """
        check_outside_a_step("all jobs")
        check_wait(timeout)
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
            self._durable.give_store_back(self._table.all_and_held())
        if self._owned_store is not None:
            self._owned_store.close()
        self._if_dropped.detach()
        return is_clean

    # For its jobs

    def note_rest(self, state: JobState, run: Job) -> None:
        """A job's run has ended."""
        self._outputs.note_rest(run)
        self._table.note_rest(state, run)

    def note_changed(self, state: JobState) -> None:
        """Something was done to a job that rests."""
        self._table.note_changed(state)

    def note_finished(self, state: JobState) -> None:
        """A job has finished while it rested."""
        self._table.note_finished(state)

    def attach_output_handler(self, job: Job, handler: OutputHandler | None) -> None:
        """Have the outputs of a job handled on a thread of their own."""
        self._outputs.attach(job, handler)
