"""One run of a job: the lock under which everything in it changes, and the commit.

Guarantees:

- `commit` is one critical section: a step's position, record, messages, consumption and counters take effect together,
  or, if it raises, not at all.
- A step that was called in an earlier control epoch commits nothing.
- The job is completed in the commit that leaves nothing in flight; completion is decided once per epoch.
- When nothing runs and nothing can, `at_rest` decides what follows; waiting never polls.
- A routine that gets no message and has no hooks has no actor.
- Lock order: a job's lock, then its view's, then the dispatcher's.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

from actors.dispatcher import Group
from actors.errors import DispatcherClosedError
from actors.lazy_event import LazyEvent
from actors.supervision import RestartBudget
from flowforge._engine.barrier import Barrier, put_when_safe
from flowforge._engine.bounds import note_put
from flowforge._engine.control import write_shared
from flowforge._engine.crew import Crew
from flowforge._engine.engage import engage
from flowforge._engine.job_data import RESTART_SECONDS, RESTARTS
from flowforge._engine.later import set_timers
from flowforge._engine.poison import release_pending
from flowforge._engine.rest import decide_at_rest, finish, interrupt, let_go
from flowforge._engine.supervisor import JobSupervisor
from flowforge.job_errors import NoCursorError
from flowforge.job_status import JobStatus
from flowforge.records import (
    Delivery,
    ErrorInfo,
    JobMoved,
    JobStarted,
    Record,
    SharedChange,
    StepCommitted,
)
from flowforge.step_context import call_with_lock

if TYPE_CHECKING:
    import contextvars
    from collections.abc import Callable, Iterator, Sequence

    from actors.dispatcher import Schedulable, Timer
    from flowforge._engine.host import JobHost
    from flowforge._engine.job_data import JobData
    from flowforge._engine.plan import FlowPlan, RoutinePlan
    from flowforge._engine.routine_actor import RoutineActor
    from flowforge._engine.step import Step
    from flowforge._engine.view import JobView
    from flowforge._engine.worker import Worker
    from flowforge.routine import Routine

__all__ = ["Job"]

# Nobody is told of these but by the views, which readers bring up to date themselves.
_LOOKED_AT_LATER = frozenset({JobStarted, StepCommitted})


class Job:
    """The live side of a job, from its start or resume until it rests.

    Its methods are called with `lock` held, but for `announce_rest` and `when_rested`.
    """

    def __init__(
        self,
        host: JobHost,
        plan: FlowPlan,
        data: JobData,
        view: JobView,
        *,
        job_state: object,
        context: contextvars.Context,
        timeout: float | None,
    ) -> None:
        self.host = host
        self.dispatcher = host.dispatcher
        self.clock = host.dispatcher.clock
        self.codec = host.codec
        self.state_codec = host.state_codec
        self.log = host.log
        self.records_per_look = host.records_per_look
        self.is_durable = host.log.is_durable
        self.is_isolated = plan.is_isolated or self.is_durable
        self.plan = plan
        self.data = data
        self.view = view
        self.job_state = job_state
        self.context = context
        self.timeout = timeout
        self.id = data.job_id
        self.shared = data.shared
        self.lock = threading.RLock()
        self.group = Group(data.job_id)
        self.epoch = data.epoch = data.epoch + 1
        self.in_flight = self.busy = 0
        self.timers: set[Timer] = set()
        self.barrier = Barrier()
        self.last_number = 0
        self.unlooked = 0
        """How many records the supervisor has not applied, or found applied."""
        self.is_over = self.is_stopping = self.is_gate_closed = False
        self.is_pausing = self.goes_on = False
        self.failure: tuple[ErrorInfo, str | None] | None = None
        self.pause_reason = ""
        self.stuck: dict[Step, str] = {}
        self.raised_bounds = 0
        self.to_stop: list[Worker] = []
        self.rested = LazyEvent()
        self.vacated = LazyEvent()
        """Set when the run has ended and none of its actors has anything left to do, stopping included."""
        self.before_rest: Callable[[], None] | None = None
        """What to do when the run has ended, before anybody is told."""
        self.rest_listeners: list[Callable[[], None]] = []
        self.space_waiters: list[tuple[RoutineActor, int, threading.Event]] = []
        self.deadline: Timer | None = None
        self.started_at = self.clock.monotonic()
        self.supervisor = JobSupervisor(self, self._restart_budget())
        self.workers: list[RoutineActor | None] = [None] * len(plan.routines)
        """The actor of each routine that has needed one so far."""
        self.blueprints = plan.blueprints()
        view.begin_states(self.blueprints)

    def _restart_budget(self) -> RestartBudget:
        """What is left of it after the restarts of earlier runs."""
        budget = RestartBudget(RESTARTS, RESTART_SECONDS, first_delay=0.05)
        now = self.clock.now()
        for at in self.data.restarts:
            budget.note(self.started_at - max(0.0, now - at))
        return budget

    def everyone(self) -> Iterator[Worker]:
        """All workers that there are, replicas before their front."""
        for worker in self.actors():
            if isinstance(worker, Crew):
                yield from worker.replicas
            yield worker

    def actors(self) -> Iterator[RoutineActor]:
        """The actors of the routines that have one."""
        return filter(None, self.workers)

    def actor_of(self, plan: RoutinePlan) -> RoutineActor:
        """The actor of a routine, which is made if there is none yet."""
        return self.workers[plan.index] or engage(self, plan)

    def new_instance(self, plan: RoutinePlan) -> Routine:
        """A fresh instance of a routine as it was when the job began; called without the lock."""
        instance: Routine = self.context.copy().run(self.blueprints[plan.index].build)
        return instance

    def worker(self, routine: int, replica: int) -> Worker:
        """The worker that a report came from."""
        worker = self.workers[routine]
        assert worker is not None, "who reports is there"
        return worker.replicas[replica] if isinstance(worker, Crew) and replica >= 0 else worker

    # Beginning

    def begin(self, deliveries: tuple[Delivery, ...] | None) -> None:
        """Start with these entry messages, or, given None, go on with what waits in the data."""
        self.busy += 1
        initial = self.view.take_unrecorded()
        data, fingerprint = self.data, self.plan.fingerprint
        before, data.fingerprint = data.fingerprint, fingerprint
        if deliveries is not None:
            self.append(
                JobStarted(
                    **self.next_position(),
                    flow=self.plan.flow_id,
                    deliveries=deliveries,
                    is_kept_alive=data.is_kept_alive,
                    timeout=data.timeout,
                    initial=initial,
                    fingerprint=fingerprint,
                )
            )
        else:
            changed = None if before == fingerprint else fingerprint
            status = JobStatus.RUNNING.value
            self.append(JobMoved(**self.next_position(), status=status, initial=initial, fingerprint=changed))
            data.lacks_cursor.clear()
        for plan in self.plan.routines:
            if plan.has_start or plan.has_stop:
                engage(self, plan)
        release_pending(self)
        self.deliver(deliveries or (), self.last_number)
        set_timers(self, tuple(self.data.timers.values()), is_paced=True)
        retries, self.data.retries = self.data.retries, {}
        for message, retry in retries.items():
            self.actor_of(self.plan.by_id[retry.routine]).await_retry(message, retry)
        if self.timeout is not None:
            self.deadline = self.dispatcher.call_later(max(0.0, self.timeout - self.data.elapsed), self._time_out)
        self.note_idle()

    def _time_out(self) -> None:
        with self.lock:
            if not self.is_over:
                text = f"The job {self.id!r} took longer than its timeout of {self.timeout!r} seconds."
                interrupt(self, JobStatus.FAILED, "timeout", ErrorInfo("JobTimeoutError", text, ""))

    # The commit

    def commit(self, worker: Worker, step: Step) -> None:
        """Let all effects of a step take place; raises, with nothing changed, what cannot be kept.

        NoCursorError, if the log is durable, for a yield that the handler could not be called again after.
        """
        shared = () if step.shared is None else call_with_lock(step.shared.changes)
        state = worker.tracked.commit()
        if self.is_durable and not step.is_final and step.emissions and not state:
            worker.has_begun = False
            raise NoCursorError(worker.plan.id, "kept")
        if step.posts:
            step.posts = [post for post in step.posts if self.take_key(post[2])]
        at = self.clock.now()
        step.seal(at)
        work, deliveries, is_final = step.work, step.deliveries, step.is_final
        messages = work.messages
        if deliveries:
            # Before what it consumes goes: at no moment is nothing in flight.
            self.in_flight += len(deliveries)
        if is_final:
            worker.consume(work)
            self.in_flight -= len(messages)
        else:
            worker.put_back(work, 0, step.index)
            if step.emissions and not state:
                worker.lacks_cursor = True
        if state:
            worker.note_state_changed()
        if shared or step.shared_log or step.after_commit:
            self._commit_rare(worker, step, shared)
        self.data.position = position = self.data.position + 1
        number = self.append(
            StepCommitted(
                position,
                at,
                self.epoch,
                worker.plan.id,
                worker.replica,
                work.slot,
                messages,
                is_final,
                step.ended - step.started,
                max(0.0, step.began - messages[0].at),
                deliveries,
                () if step.outputs is None else tuple(step.outputs),
                state,
                shared,
                () if step.shared_log is None else tuple(step.shared_log),
                step.timers,
            )
        )
        if step.timers:
            set_timers(self, step.timers)
        if deliveries:
            put_when_safe(self, deliveries, number)
        elif not self.in_flight:
            self.complete_if_done()

    def _commit_rare(self, worker: Worker, step: Step, shared: tuple[SharedChange, ...]) -> None:
        for change in shared:
            write_shared(self.shared, change)
        if step.shared_log:
            self.data.extend_log(step.shared_log, self.view.max_outputs)
        if step.after_commit:
            # What it asks of other jobs is on disk with it, or neither is.
            self.log.begin_group()
            worker.actions.add((action for action, _ in step.after_commit), self.log)

    def take_key(self, key: str | None) -> bool:
        """Whether a message posted under `key` is the first one; it counts as taken then."""
        keys = self.data.keys
        if key is None:
            return True
        if key in keys:
            return False
        keys.add(key)
        return True

    def next_position(self) -> dict[str, Any]:
        """Take the next position in the log, with the time and the epoch that go with it."""
        self.data.position += 1
        return {"position": self.data.position, "at": self.clock.now(), "epoch": self.epoch}

    def append(self, record: Record) -> int:
        """Write a record, and give its number in the log; the view applies it before anyone is told of a rest."""
        self.last_number = number = self.log.append(self.id, record)
        view = self.view
        view.inbox.append(record)
        # Counted apart from the view, which readers bring up to date too: who looks must not change what happens.
        self.unlooked += 1
        if view.is_watched or self.unlooked >= self.records_per_look or type(record) not in _LOOKED_AT_LATER:
            self.supervisor.look()
        return number

    def deliver(self, deliveries: Sequence[Delivery], number: int) -> None:
        """Count messages as in flight, and put them into their slots once the record of that number is safe."""
        self.in_flight += len(deliveries)
        put_when_safe(self, deliveries, number)

    def put(self, delivery: Delivery) -> None:
        """Put a message into its slot now."""
        plan, lane_index = self.plan.places[delivery.to]
        worker = self.workers[plan.index] or engage(self, plan)
        mailbox = worker.mailbox
        if mailbox.put(lane_index, delivery.message):
            self.wake(worker)
        lane = mailbox.lanes[lane_index]
        if len(lane.items) >= lane.high:
            note_put(self, worker, lane_index)

    # Errors

    def stop_for(self, error: ErrorInfo, routine: str | None) -> None:
        """Fail the job as soon as all steps that run have ended."""
        if self.failure is None and not self.is_over:
            self.failure = (error, routine)
            self.close_gate()

    def close_gate(self) -> None:
        """Let no further step start."""
        self.is_gate_closed = True
        for worker in self.everyone():
            worker.mailbox.hold()

    # Turns, timers, rest

    def wake(self, actor: Schedulable) -> None:
        """Submit an actor that has become ready."""
        self.busy += 1
        self.submit(actor)

    def submit(self, actor: Schedulable) -> None:
        """Have an actor given a turn; once the run is over and its runtime has gone, there are no more turns."""
        try:
            self.dispatcher.submit(actor)
        except DispatcherClosedError:
            if not self.is_over:
                raise

    def note_idle(self) -> None:
        """An actor has nothing to do for now; if no other has, decide what follows."""
        self.busy -= 1
        if not self.busy:
            if self.is_over:
                let_go(self)
            elif self.unlooked:
                self.supervisor.look()
            else:
                decide_at_rest(self)

    def call_later(self, delay: float, action: Callable[[], None]) -> None:
        """Do `action` with the lock held after `delay` seconds, unless the run is over by then."""

        def act() -> None:
            with self.lock:
                if self.is_over:
                    return
                self.timers.remove(timer)
                self.busy += 1
                action()
                self.note_idle()

        timer = self.dispatcher.call_later(delay, act)
        self.timers.add(timer)

    def cancel_timers(self) -> None:
        """Have nothing done later any more, for the run is over."""
        while self.timers:
            self.timers.pop().cancel()
        if self.deadline is not None:
            self.deadline.cancel()

    def complete_if_done(self) -> None:
        """Write the completion, if nothing is in flight and nobody keeps the job open."""
        if not self.in_flight and not self.data.is_kept_alive and not self.is_over and self.failure is None:
            finish(self, JobStatus.COMPLETED)

    def when_rested(self, listener: Callable[[], None]) -> None:
        """Called without the lock: have `listener` called once the run has come to its end; at once if it has."""
        with self.lock:
            if not self.rested.is_set():
                self.rest_listeners.append(listener)
                return
        listener()

    def forget_listener(self, listener: Callable[[], None]) -> None:
        """Called without the lock: the listener of `when_rested` is not to be called any more."""
        with self.lock:
            if listener in self.rest_listeners:
                self.rest_listeners.remove(listener)
