"""The jobs of one runtime: looked up, listed, steered, and what they have given up on."""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING, Any, cast

from flowforge._engine.plan import plan_of
from flowforge.at_rest import last_number
from flowforge.graph_errors import IllegalNameError
from flowforge.job_errors import DeadLetterNotFoundError, RuntimeForkedError, RuntimeOptionError, UnknownJobError
from flowforge.job_state import JobState
from flowforge.job_status import FINISHED, JobStatus
from flowforge.names import is_encodable
from flowforge.runtime_checks import check_outside_a_step, check_wait
from flowforge.runtime_statistics import RuntimeStatistics, account_of
from flowforge.stores.store import PrunableStore

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from actors.dispatcher import Dispatcher
    from flowforge._engine.control import StillRunning
    from flowforge._engine.host import JobHost
    from flowforge._engine.job_data import DeadLetter
    from flowforge._engine.plan import FlowPlan
    from flowforge.durable_jobs import DurableJobs
    from flowforge.execution_record import ExecutionRecord
    from flowforge.job_table import JobTable
    from flowforge.stores.store import Delete, KnownJob
    from flowforge.subscription import Lagged

__all__ = ["JobDirectory"]


class JobDirectory:
    """The side of a runtime that needs no flow; every method may be called from any thread."""

    dispatcher: Dispatcher
    _table: JobTable
    _durable: DurableJobs | None = None
    _is_forked = False

    @property
    def store(self) -> PrunableStore:
        """Its store, to be pruned and vacuumed; one of your own as you gave it. RuntimeOptionError if it has none."""
        if self._durable is None:
            raise RuntimeOptionError(
                "store", None, 'Make the runtime with one, as in Runtime(store="sqlite:///jobs.db").'
            )
        return cast("PrunableStore", self._durable.store)

    def _take_store(self) -> None:
        """Have the store let no job go that is in use; StoreInUseError if another runtime has it."""
        assert self._durable is not None, "only a runtime with a store takes one"
        # A bound method would keep a runtime alive that nobody holds any more, and with it the store's lock.
        me = weakref.ref(self)
        self._durable.take_store(
            lambda jobs, delete: delete(jobs) if (runtime := me()) is None else runtime.let_go(jobs, delete)
        )

    def let_go(self, jobs: Sequence[str], delete: Delete) -> Sequence[str]:
        """Called by its store: `delete` those of these jobs that rest, and know them no more; gives what went."""
        assert self._durable is not None, "only a store lets jobs go"
        withdrawn: list[JobState] = []
        gone: Sequence[str] = ()
        with self._durable.starting:
            try:
                gone = delete([job_id for job_id in jobs if self._is_withdrawn(job_id, withdrawn)])
            finally:
                went = set(gone)
                for job in withdrawn:
                    if job.job_id not in went:
                        self._table.put_back(job)
            for job_id in gone:
                self._durable.left.pop(job_id, None)
        return gone

    def _is_withdrawn(self, job_id: str, withdrawn: list[JobState]) -> bool:
        """Whether nobody uses a job, nor will from now on."""
        assert self._durable is not None, "only a store lets jobs go"
        job = self._table.get(job_id)
        if job is None:
            job = self._table.held(job_id)
            if job is None:
                return True
            self._table.add_resting(job)
        with job.control_lock:
            if not self._table.withdraw(job_id):
                return False
            withdrawn.append(job)
        # What waits for the disk still would come behind the deletion, and before a new job of that id.
        self._durable.store.wait_until_safe(last_number(job))
        return True

    # Looking

    def check_process(self, asked: str) -> None:
        """Raise RuntimeForkedError in a child of the process that this runtime belongs to."""
        if self._is_forked:
            raise RuntimeForkedError(asked)

    def get_job(self, job_id: str) -> JobState | None:
        """The job of that id; None if this runtime has none, or has let it go and has no store that kept it.

        IllegalNameError for what is no text.
        """
        self.check_process("look up a job")
        if not isinstance(job_id, str):
            raise IllegalNameError("job id", job_id)
        if not is_encodable(job_id):
            return None
        state = self._table.get(job_id)
        if state is None and self._durable is not None:
            with self._durable.starting:
                state = self._table.held(job_id) or self._durable.load(job_id)
                if state is not None:
                    state.host = cast("JobHost", self)
                    self._table.add_resting(state)
                    state = self._table.get(job_id)
        return state

    def list_jobs(self, status: str | None = None, flow_id: str | None = None) -> list[JobState]:
        """The jobs that this runtime knows, oldest first, of one status or flow if given."""
        self.check_process("list jobs")
        if status is not None and status not in set(JobStatus):
            raise RuntimeOptionError("status", status, f"Give one of {[known.value for known in JobStatus]!r}.")
        return [job for job in self._table.all() if status in {None, job.status} and flow_id in {None, job.flow_id}]

    def left_jobs(self) -> list[KnownJob]:
        """The unfinished jobs in the store that cannot go on, oldest first.

        Their flow is not registered, or has changed so that they do not fit it: `resume_job` raises why.
        """
        if self._durable is None:
            return []
        finished = {job.job_id for job in self._table.all() if job.status in FINISHED}
        return [job for job in list(self._durable.left.values()) if job.id not in finished]

    def known_plan(self, state: JobState) -> FlowPlan | None:
        """The plan of a job's flow, if that is in the store's jobs' flows; the engine's."""
        flow = None if self._durable is None else self._durable.flow(state.flow_id)
        return None if flow is None else plan_of(flow)

    def read_history(self, job: JobState | str, from_position: int = 1) -> Iterator[ExecutionRecord | Lagged]:
        """What the store has of a job's history by now, oldest first; it is read as the iterator is advanced.

        A `Lagged` stands where records are not kept any more: the first ones of a long job, unless the runtime was
        made with `history="full"`. RuntimeOptionError without a store. Not to be called inside handlers.
        """
        if self._durable is None:
            raise RuntimeOptionError("job", job, "Only a store keeps a history to be read; see execution_history.")
        if type(from_position) is not int or from_position < 1:
            raise RuntimeOptionError("from_position", from_position, "Give a whole number, 1 or more.")
        state = self._state(job)
        with state.control_lock:
            last = state.data.position
        state.flush()
        return self._durable.read_history(state.job_id, from_position, last)

    def statistics(self) -> RuntimeStatistics:
        """A frozen account of what it holds."""
        return account_of(self.list_jobs(), self.dispatcher, None if self._durable is None else self._durable.store)

    # Steering

    def cancel_job(self, job: JobState | str, reason: str = "") -> list[StillRunning]:
        """End a job for good; returns its steps that still run, whose effects will be refused."""
        return self._state(job).cancel(reason)

    def pause_job(
        self, job: JobState | str, reason: str = "", checkpoint: Any = None, timeout: float | None = None
    ) -> list[StillRunning]:
        """Pause a job as `JobState.pause` does; returns its steps that still run."""
        return self._state(job).pause(reason, checkpoint, timeout)

    def wait_until_all_jobs_finished(self, timeout: float | None = None) -> bool:
        """Wait until every job rests; False after `timeout` seconds."""
        check_outside_a_step("all jobs")
        check_wait(timeout)
        self.check_process("wait for jobs")
        return self.dispatcher.wait_for(self._table.idle, timeout)

    # Dead letters

    def dead_letters(self, flow_id: str | None = None, job_id: str | None = None) -> list[DeadLetter]:
        """The dead letters of all jobs, or of one flow or job, the oldest job first; finished jobs included.

        With a store, jobs that this runtime has not looked at yet are read from it.
        """
        self.check_process("list dead letters")
        return [letter for job in self._chosen(flow_id, job_id) for letter in job.dead_letters]

    def requeue_dead_letter(self, letter_id: str) -> None:
        """Give a dead letter another try, as `JobState.requeue_dead_letter` does; DeadLetterNotFoundError."""
        self._owner_of(letter_id).requeue_dead_letter(letter_id)

    def purge_dead_letters(self, flow_id: str | None = None, job_id: str | None = None) -> int:
        """Throw the dead letters away that `dead_letters` would list; how many there were."""
        letters = [(job, letter) for job in self._chosen(flow_id, job_id) for letter in job.dead_letters]
        for job, letter in letters:
            job.purge_dead_letter(letter.id)
        return len(letters)

    def _owner_of(self, letter_id: str) -> JobState:
        if not isinstance(letter_id, str):
            raise RuntimeOptionError("letter_id", letter_id, "Give the id of a dead letter, which is a text.")
        job_id, mark, _ = letter_id.rpartition("-dl")
        job = self.get_job(job_id) if mark else None
        if job is None:
            raise DeadLetterNotFoundError(letter_id, job_id)
        return job

    def _chosen(self, flow_id: str | None, job_id: str | None) -> Iterator[JobState]:
        if job_id is not None:
            chosen = [self._state(job_id)]
        else:
            known = [] if self._durable is None else self._durable.known_jobs()
            found = [self.get_job(job.id) for job in known if flow_id in {None, job.flow}]
            jobs = {job.job_id: job for job in found if job is not None} | {j.job_id: j for j in self._table.all()}
            chosen = list(jobs.values())
        for job in chosen:
            if flow_id in {None, job.flow_id}:
                yield job

    def _state(self, job: object) -> JobState:
        job_id = job.job_id if isinstance(job, JobState) else job
        state = self.get_job(job_id) if isinstance(job_id, str) else None
        if state is None or (isinstance(job, JobState) and state is not job):
            raise UnknownJobError(job_id)
        return state
