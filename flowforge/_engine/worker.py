"""An actor that runs one routine of one job: it takes work, calls the handler as a step, and has the step committed.

Guarantees:

- One step at a time, on the thread of the turn or, for async handlers, on the event loop; none after it stopped.
- Everything but the handler itself runs with the job's lock held, which is the mailbox's lock too.
- A step that raises is rolled back before anything else can see its state; its message stays first.
- After an error it hands out no data until the supervisor has answered.
- Its instance is made in its first turn that has something to do, without the lock.
- Whatever a handler raises fails its step alone; what breaks outside of handlers is reported to the supervisor.
"""

from __future__ import annotations

import contextvars
from collections.abc import AsyncGenerator, Generator, Sequence
from typing import TYPE_CHECKING, Any

from actors.dispatcher import AsyncTask, Timer, TurnLimits
from actors.mailbox_status import MailboxStatus
from flowforge._engine.after_commit import AfterCommit
from flowforge._engine.barrier import is_stalled
from flowforge._engine.failures import act_on, fail_step
from flowforge._engine.handler_call import call_handler
from flowforge._engine.hooks import run_hook, tidy_up
from flowforge._engine.instance_actor import InstanceActor
from flowforge._engine.logs import about, logger
from flowforge._engine.orders import (
    ActOn,
    ActorBroke,
    Drain,
    Renew,
    Restart,
    RetryDue,
    StartUp,
    StopDown,
)
from flowforge._engine.step import Step
from flowforge._engine.timeouts import time_out
from flowforge._engine.work import Work
from flowforge.error_texts import error_info

if TYPE_CHECKING:
    from flowforge._engine.job_data import Retry

__all__ = ["Worker"]

# What a turn does next when a commit left something to do without the lock, before another step may begin.
_TIDY_UP = object()
# What it does before its first step.
_SETTLE_IN = object()


class Worker(InstanceActor):
    """The turn, the step and the answer to errors; where work comes from is the matter of two subclasses."""

    # On the class, for most workers never set most of them, and there may be many thousands.
    step: Step | None = None
    stream: Generator[Any, Any, Any] | AsyncGenerator[Any, Any] | None = None
    stream_context: contextvars.Context | None = None
    lacks_cursor = False
    stale_streams: Sequence[tuple[Any, Any]] = ()
    is_starting = False
    is_stopped = False
    has_begun = False
    is_over_already = False
    retries = 0
    retry: tuple[int, Retry] | None = None
    unfinished: Step | None = None
    task: AsyncTask | None = None
    after_commit: AfterCommit | None = None
    timer: Timer | None = None

    # Where work comes from

    def available_work(self) -> Work | None:
        """The work to call the handler with now: what it has begun, else the next; with the job's lock held."""
        return self.work or self.next_work()

    def next_work(self) -> Work | None:
        """What to do next, left where it is; with the job's lock held."""
        raise NotImplementedError

    def consume(self, work: Work) -> None:
        """Take the work's messages out of where they wait; with the job's lock held."""
        raise NotImplementedError

    def put_back(self, work: Work, attempt: int, progress: int) -> None:
        """Give the work's messages, which stay where they wait, those counts; with the job's lock held."""
        raise NotImplementedError

    def merged(self, work: Work) -> Any:
        """What the handler gets once the payload is merged into the slot's gathered one; inside the step."""
        raise NotImplementedError

    def drain(self) -> None:
        """Release or give up what waits for company; with the job's lock held."""

    def slots_of(self, work: Work) -> tuple[str, ...]:
        """The slot of each of the work's messages."""
        return tuple(self.plan.slots[lane].name for lane, count in work.taken() for _ in range(count))

    def dispose(self) -> None:
        """Break the cycles that it is part of, so that it is freed at once and not by the garbage collector."""
        super().dispose()
        if self.has_instance:
            for name, nothing in (("slots", {}), ("logic", None)):
                object.__setattr__(self.instance, name, nothing)
            self.calls = []
        self.work = self.step = None

    # The turn

    def run_turn(self, limits: TurnLimits) -> None:
        """Take orders and steps until the limits are reached or nothing is left; called by the dispatcher only."""
        try:
            self._run_steps(limits)
        except BaseException as error:  # noqa: BLE001 - a defect outside of handlers is the supervisor's to answer
            with self.job.lock:
                self._break(error)

    def _run_steps(self, limits: TurnLimits) -> None:
        job = self.job
        monotonic = job.clock.monotonic
        with job.lock:
            if not self.mailbox.start_turn():
                return
            if limits.splits_steps and self.has_split():
                return
            item = self.take_next(may_go_on=True)
        left = limits.max_messages
        deadline = monotonic() + limits.max_seconds
        while item is not None:
            is_step = type(item) is Step
            left -= 1
            if is_step:
                is_pending = call_handler(self, item)
            elif item is _SETTLE_IN:
                is_pending = self.settle_in()
                left += 1
            else:
                is_pending = tidy_up(self) if item is _TIDY_UP else run_hook(self, item)
            with job.lock:
                if is_step and item.is_abandoned:
                    job.stuck.pop(item, None)
                    return
                if is_pending:
                    self._await_end()
                    return
                if is_step:
                    if limits.splits_steps:
                        self.unfinished = item
                        self.requeue()
                        return
                    self.settle(item)
                item = self.take_next(may_go_on=left > 0 and (item.ended if is_step else monotonic()) < deadline)

    def has_split(self) -> bool:
        """Whether this turn was for the commit of the step before; what comes next has a turn of its own."""
        if self.unfinished is None or self.after_commit or self.stale_streams:
            return False
        step, self.unfinished = self.unfinished, None
        self.settle(step)
        if self.mailbox.control or self.after_commit or self.stale_streams or self.may_have_work:
            self.requeue()
        else:
            self.mailbox.rest_turn()
            self.job.note_idle()
        return True

    @property
    def may_have_work(self) -> bool:
        """Whether a turn might find a step to begin; with the job's lock held."""
        return not self.mailbox.holds and (self.work is not None or self.has_data)

    def take_next(self, *, may_go_on: bool) -> Any:
        """The next step or hook to carry out without the lock; None when the turn is over."""
        mailbox = self.mailbox
        if self.after_commit or self.stale_streams:
            return _TIDY_UP
        if not may_go_on:
            self.requeue()
            return None
        item = None
        if mailbox.control or self.unfinished is not None:
            item = self._next_order()
        if item is None:
            item = self._next_step()
            if item is None:
                mailbox.rest_turn()
                self.job.note_idle()
        return item

    def _next_order(self) -> object:
        """Settle what ended while no turn ran, and obey orders; what they leave to do without the lock."""
        control = self.mailbox.control
        if self.unfinished is not None:
            step, self.unfinished = self.unfinished, None
            self.settle(step)
        if self.stream is not None and control and isinstance(control[0], StopDown):
            # What a generator's own clean-up uses is there until `on_stop` closes it.
            self.drop_stream()
        if self.after_commit or self.stale_streams:
            return _TIDY_UP
        item = self._next_hook()
        if self.after_commit or self.stale_streams:
            # An order has let other steps commit.
            if item is not None:
                self.mailbox.put_control_first(item)
            return _TIDY_UP
        return item

    def _next_hook(self) -> object:
        control = self.mailbox.control
        while control:
            order = control.popleft()
            if isinstance(order, StopDown):
                return order
            if not isinstance(order, StartUp | Restart | Renew):
                self._obey_order(order)
            elif not self.job.is_over:
                return order
        return None

    def _next_step(self) -> object:
        job = self.job
        if self.mailbox.holds or self.is_stopped or job.is_over:
            return None
        if job.log.is_full and is_stalled(job, self):
            return None
        if not self.has_instance:
            return _SETTLE_IN
        work = self.available_work()
        if work is None:
            return None
        self.work = work
        step = self.step = self.new_step(work)
        timeout = step.routine.step_timeout
        if timeout is not None:
            self.timer = job.dispatcher.call_later(timeout, lambda: time_out(self, step))
        return step

    def requeue(self) -> None:
        """Have another turn; with the job's lock held."""
        if self.mailbox.resume_turn():
            self.job.submit(self)

    def _await_end(self) -> None:
        self.mailbox.suspend_turn()
        if self.is_over_already:
            self.requeue()
        self.is_over_already = False

    def note_end(self) -> None:
        """What was awaited has ended; it may have done so before the turn did."""
        if self.mailbox.status is MailboxStatus.AWAITING:
            self.requeue()
        else:
            self.is_over_already = True

    def _break(self, error: BaseException) -> None:
        info = error_info(error)
        extra = about(self.job.id, self.plan.id)
        logger.error("The actor of %r in job %r broke.", self.plan.id, self.job.id, exc_info=error, extra=extra)
        self.rollback()
        self.drop_stream()
        self.suspend_for(ActorBroke(self.plan.index, self.replica, error, info, self.job.epoch))
        if self.mailbox.status is MailboxStatus.RUNNING:
            self.requeue()

    def new_step(self, work: Work) -> Step:
        """A step that begins now."""
        job, instance = self.job, self.instance
        clock = job.clock
        progress = work.messages[0].progress
        return Step(self, work, job.epoch, clock.monotonic(), clock.now(), instance, self.user_state, progress, [])

    # The step

    def end(self, step: Step) -> None:
        step.is_open = False
        step.ended = self.job.clock.monotonic()

    def rollback(self) -> None:
        """Put back what the step that has begun did to the state."""
        if self.has_begun:
            self.has_begun = False
            self.tracked.rollback()

    def refuse(self, step: Step) -> None:
        """Put back all that a step did; with the job's lock held."""
        self.rollback()
        self.drop_stream()
        if step.after_commit:
            self.actions.add(undo for _, undo in step.after_commit if undo is not None)

    @property
    def actions(self) -> AfterCommit:
        """What is to be done once the job's lock is not held; from now on there is a place for it."""
        if self.after_commit is None:
            self.after_commit = AfterCommit(self.job.lock)
        return self.after_commit

    def settle(self, step: Step) -> None:
        """Commit a step that has ended, or put everything back; with the job's lock held."""
        job = self.job
        self.step = None
        if self.timer is not None:
            self.timer.cancel()
            self.timer = None
        if step.epoch != job.epoch or job.is_over:
            job.stuck.pop(step, None)
            self.refuse(step)
            return
        if step.error is None:
            try:
                job.commit(self, step)
            except BaseException as error:  # noqa: BLE001 - a value that cannot be kept, or the user's code for shared data
                step.error = error
        if step.error is not None:
            fail_step(self, step, step.error)
            return
        self.has_begun = False
        if step.is_final:
            self.work = None
            if self.stream is not None:
                self.stream = self.stream_context = None
                self.lacks_cursor = False

    # Orders

    def _obey_order(self, order: object) -> None:
        epoch = getattr(order, "epoch", self.job.epoch)
        if epoch != self.job.epoch or self.job.is_over:
            return
        if isinstance(order, ActOn):
            act_on(self, order)
        elif isinstance(order, RetryDue):
            if order.number == self.retries:
                self.retry = None
                self.release()
        elif isinstance(order, Drain) and not self.mailbox.holds:
            # What came since may be just what was missing.
            self.work = self.available_work()
            if self.work is None:
                self.drain()

    def note_given_up(self) -> None:
        """The failed work was made a dead letter; with the job's lock held."""

    @property
    def needs_stop(self) -> bool:
        """Whether something must be closed when it stops."""
        has_opened = self.has_stop and (self.is_started or self.is_starting)
        return has_opened or self.stream is not None or bool(self.after_commit or self.stale_streams)

    def drop_stream(self) -> None:
        """Give up a generator; it is closed as soon as the lock is not held."""
        if self.stream is not None:
            self.stale_streams = (*self.stale_streams, (self.stream, self.stream_context))
            self.stream = self.stream_context = None
