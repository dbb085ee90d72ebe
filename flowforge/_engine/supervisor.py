"""The supervisor of one job: it answers errors and failures with orders, and keeps the job's view up to date.

Guarantees:

- Every report is answered by exactly one order, unless the job was cancelled or ended in between.
- The record that ends a run is in the view before a waiter wakes.
- A broken actor is restarted within the restart budget, with back-off; beyond it the job fails.
"""

from __future__ import annotations

import random
import weakref
from typing import TYPE_CHECKING

from actors.mailbox import Mailbox
from actors.supervision import RestartBudget
from flowforge._engine.failures import record_restart
from flowforge._engine.job_actor import JobActor
from flowforge._engine.logs import about, logger
from flowforge._engine.message_ids import child_id
from flowforge._engine.orders import ActOn, ActorBroke, ErrorReported, Restart
from flowforge._engine.rest import announce_rest
from flowforge.error_handler import Decision, ErrorHandler, ErrorStrategy
from flowforge.error_texts import error_info
from flowforge.job_errors import NoCursorError
from flowforge.step_context import call_with_lock

if TYPE_CHECKING:
    from actors.dispatcher import TurnLimits
    from flowforge._engine.job import Job

__all__ = ["JobSupervisor"]


_STOP = ErrorHandler(ErrorStrategy.STOP)


class JobSupervisor(JobActor):
    """Owns a job's directives and derived views; its mailbox shares the job's lock."""

    def __init__(self, job: Job, budget: RestartBudget) -> None:
        super().__init__(job, Mailbox((), job.lock))
        self.budget = budget
        self.is_called = False

    @property
    def label(self) -> str:
        return "supervisor"

    def report(self, report: ErrorReported | ActorBroke) -> None:
        """Take an actor's report; with the job's lock held."""
        if self.mailbox.put_control(report):
            self.job.wake(self)

    def look(self) -> None:
        """Bring the view up to date soon; with the job's lock held."""
        self.is_called = True
        if self.mailbox.wake():
            self.job.wake(self)

    def look_again(self) -> None:
        """`look`, without the lock: called by the log."""
        with self.job.lock:
            self.look()

    def run_turn(self, limits: TurnLimits) -> None:
        """Answer all reports, then apply all records; called by the dispatcher only."""
        job = self.job
        with job.lock:
            if not self.mailbox.start_turn():
                return
            self.is_called = False
            job.unlooked = 0
            while self.mailbox.control:
                self._try_to_answer(self.mailbox.control.popleft())
        try:
            job.view.catch_up()
        except Exception:  # noqa: BLE001 - a listener that raises must not keep the job from coming to rest
            logger.exception("The records of job %r could not all be applied.", job.id, extra=about(job.id))
        with job.lock:
            if self.is_called or self.mailbox.control:
                if self.mailbox.resume_turn():
                    job.submit(self)
                return
            self.mailbox.rest_turn()
            job.note_idle()
        announce_rest(job)

    def dispose(self) -> None:
        super().dispose()
        self.__dict__["job"] = weakref.proxy(self.job)

    def handler_of(self, routine: int) -> ErrorHandler:
        """Who answers a routine's errors: its own handler, else the flow's, else STOP."""
        job = self.job
        return job.worker(routine, -1).instance.error_handler or job.plan.error_handler or _STOP

    def decide(self, routine: int, error: BaseException, failures: int, draw: float = 0.0) -> Decision:
        """The answer to an error; pure but for `draw`, from 0 to 1, which jitter uses."""
        return call_with_lock(self.handler_of(routine).decide, error, failures, draw)

    def _try_to_answer(self, report: ErrorReported | ActorBroke) -> None:
        try:
            self.answer_report(report)
        except Exception as error:  # noqa: BLE001 - an error handler of the user's that raises answers STOP
            self.job.stop_for(error_info(error), self.job.plan.routines[report.routine].id)

    def _decision_on(self, report: ErrorReported) -> Decision:
        if isinstance(report.error, NoCursorError):
            return Decision(ErrorStrategy.STOP)
        # Jitter spreads messages, not runs: the same attempt at the same message waits as long in every run.
        draw = random.Random(child_id(report.message, report.failures)).random()
        return self.decide(report.routine, report.error, report.failures, draw)

    def answer_report(self, report: ErrorReported | ActorBroke) -> None:
        job = self.job
        if report.epoch != job.epoch or job.is_over:
            return
        worker = job.worker(report.routine, report.replica)
        if isinstance(report, ErrorReported):
            decision = self._decision_on(report)
            logger.info(
                "Job %r: the routine %r failed (%s); %s.",
                job.id,
                job.plan.routines[report.routine].id,
                report.info.text,
                decision.strategy.value,
                extra=about(job.id, job.plan.routines[report.routine].id),
            )
            worker.order(ActOn(decision, report.info, report.epoch))
            return
        delay = self.budget.next_delay(job.clock.monotonic())
        if delay is None:
            job.stop_for(report.info, worker.plan.id)
            return
        order = Restart(report.info, report.epoch)
        record_restart(job, worker, report.info)
        if delay:
            job.call_later(delay, lambda: worker.order(order))
        else:
            worker.order(order)
