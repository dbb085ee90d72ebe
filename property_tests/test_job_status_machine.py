from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from flowforge.job_status import FINISHED, RESTING, JobStatus, may_move


class JobLife(RuleBasedStateMachine):
    """A job as its user knows it, in plain flags, beside the status that the table lets it have."""

    def __init__(self) -> None:
        super().__init__()
        self.status = JobStatus.PENDING
        self.was_entered = self.is_held = self.is_cancelled = False
        self.is_over = False

    def move(self, new: JobStatus) -> None:
        assert may_move(self.status, new)
        self.status = new

    @precondition(lambda self: not (self.was_entered or self.is_held or self.is_over))
    @rule()
    def enter(self) -> None:
        self.was_entered, self.is_held = True, False
        self.move(JobStatus.RUNNING)

    @precondition(lambda self: not self.is_over and not self.is_held)
    @rule()
    def pause(self) -> None:
        self.is_held = True
        self.move(JobStatus.PAUSED)

    @precondition(lambda self: self.is_held and not self.is_over)
    @rule()
    def resume(self) -> None:
        self.is_held, self.was_entered = False, True
        self.move(JobStatus.RUNNING)

    @precondition(lambda self: self.was_entered and not self.is_held and not self.is_over)
    @rule()
    def complete(self) -> None:
        self.is_over = True
        self.move(JobStatus.COMPLETED)

    @precondition(lambda self: not self.is_over)
    @rule(is_cancel=st.booleans())
    def end_early(self, is_cancel: bool) -> None:
        self.is_over, self.is_held, self.is_cancelled = True, False, is_cancel
        self.move(JobStatus.CANCELLED if is_cancel else JobStatus.FAILED)

    @precondition(lambda self: self.is_over and not self.is_cancelled)
    @rule()
    def reopen(self) -> None:
        self.is_over, self.was_entered = False, True
        self.move(JobStatus.RUNNING)

    @invariant()
    def a_status_says_what_the_flags_say(self) -> None:
        is_running = self.was_entered and not self.is_held and not self.is_over
        assert (self.status == "running") == is_running
        assert (self.status in FINISHED) == self.is_over
        assert (self.status in RESTING) == (self.is_over or self.is_held)

    @precondition(lambda self: self.is_cancelled)
    @rule(new=st.sampled_from(JobStatus))
    def try_to_revive(self, new: JobStatus) -> None:
        assert not may_move(self.status, new)

    @invariant()
    def nothing_completes_without_running(self) -> None:
        assert may_move(self.status, JobStatus.COMPLETED) == (self.status == "running")


TestJobLife = JobLife.TestCase
