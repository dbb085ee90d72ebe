"""Flow: a graph that can be executed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from flowforge._engine.control import StillRunning
from flowforge.flow_graph import FlowGraph
from flowforge.job_errors import WaitInStepError
from flowforge.job_migration import JobMigration
from flowforge.job_state import JobState
from flowforge.job_steering import begin_to_pause
from flowforge.option_checks import check_whole_number
from flowforge.option_errors import OptionError
from flowforge.runtime import Runtime
from flowforge.runtime_checks import check_only_resumed
from flowforge.step_context import CURRENT_STEP

__all__ = ["Flow"]


class Flow(FlowGraph):
    """A graph of routines, as a template for any number of jobs.

    `execute` and `resume` run one job to its end on threads of their own; use a Runtime to run many side by side.
    """

    def execute(
        self,
        entry_routine_id: str | None = None,
        entry_params: dict[str, Any] | None = None,
        entry_slot: str | None = None,
        timeout: float | None = None,
    ) -> JobState:
        """Run one job until it rests, and return its JobState; `timeout` seconds fail it.

        Without an entry, every routine that nothing is connected to is entered. Raises for a wrong flow or entry; what
        handlers raise is answered by error handlers and told by the JobState.
        """
        _check_outside_a_step(f"a job of the flow {self.flow_id!r}")
        with Runtime(drains_at_exit=False) as runtime:
            job_state = runtime.exec(self, entry_routine_id, entry_params, entry_slot, timeout=timeout)
            job_state.wait()
        return job_state

    def resume(self, job_state: JobState) -> JobState:
        """Go on with a paused or failed job until it rests again; JobFinishedError for one that is over."""
        _check_outside_a_step("a job")
        check_only_resumed(job_state)
        with Runtime(drains_at_exit=False) as runtime:
            runtime.exec(self, job_state=job_state)
            job_state.wait()
        return job_state

    def migrate(self, from_version: int, hook: Callable[[JobMigration], object]) -> None:
        """Have `hook` lead jobs of that version, before they go on, to the next one.

        It is called once for each job, on the thread that resumes it or opens the store, and what it made of the job
        is kept. Versions without a hook are passed over. OptionError for a version that has one, or is not below the
        flow's own.
        """
        owner = f"The flow {self.flow_id!r}"
        check_whole_number(owner, "from_version", from_version, least=1)
        if from_version >= self.version:
            raise OptionError(owner, "from_version", from_version, f"Give one below its own, {self.version!r}.")
        if from_version in self.migrations:
            raise OptionError(owner, "from_version", from_version, "It has a hook for that one: do both in it.")
        if not callable(hook):
            raise OptionError(owner, "hook", hook, "Give a function of a JobMigration.")
        self.migrations[from_version] = hook
        self.revision += 1

    def pause(
        self, reason: str = "", checkpoint: Any = None, job_state: JobState | None = None, timeout: float | None = None
    ) -> list[StillRunning]:
        """Pause a job of this flow, or all that run: running steps finish, and each JobState holds what waits.

        Returns the steps that still run after `timeout` seconds; nothing if there is no live job.
        """
        jobs = self.live_jobs() if job_state is None else [job_state]
        for job in jobs:
            begin_to_pause(job, reason, checkpoint)
        return [step for job in jobs for step in job.pause(reason, checkpoint, timeout)]

    def cancel(self, reason: str = "", job_state: JobState | None = None) -> list[StillRunning]:
        """Cancel a job of this flow, or all that run; returns the steps that still run."""
        jobs = self.live_jobs() if job_state is None else [job_state]
        return [step for job in jobs for step in job.cancel(reason)]

    def live_jobs(self) -> list[JobState]:
        """The jobs of this flow that run at this moment."""
        return [job for job in list(self.jobs) if isinstance(job, JobState) and not job.is_resting]


def _check_outside_a_step(what: str) -> None:
    if CURRENT_STEP.get() is not None:
        raise WaitInStepError(what)
