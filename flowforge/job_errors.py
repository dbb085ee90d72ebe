"""What goes wrong with jobs: starting, feeding, steering, waiting for, saving and resuming them."""

from collections.abc import Iterable

from flowforge.errors import FlowForgeError

__all__ = [
    "DeadLetterNotFoundError",
    "DuplicateJobError",
    "EntryError",
    "FlowChangedError",
    "JobFinishedError",
    "JobForkedError",
    "JobStateFileError",
    "MigrationFailedError",
    "MigrationTargetError",
    "NoCursorError",
    "PayloadTypeError",
    "RuntimeClosedError",
    "RuntimeForkedError",
    "RuntimeOptionError",
    "SlotQueueFullError",
    "StaleJobStateError",
    "StepTimeoutError",
    "UnknownJobError",
    "UnknownTargetError",
    "WaitInStepError",
    "WrongFlowError",
]

_NO_CURSOR = (
    "it yielded after emitting without having changed its state, so it cannot be repeated. "
    "Keep a cursor in self.state and change it before each yield."
)


class EntryError(FlowForgeError):
    """It is not clear, or not possible, where a job is to start."""

    def __init__(self, what: str, value: object, choices: Iterable[str]) -> None:
        self.choices = tuple(choices)
        super().__init__(f"{what} {value!r}. Give one of {list(self.choices)!r}.")
        self.value = value


class UnknownTargetError(FlowForgeError, LookupError):
    """A routine or slot was named that the job's flow does not have."""

    def __init__(self, kind: str, name: str, known: Iterable[str]) -> None:
        self.known = tuple(known)
        super().__init__(f"There is no {kind} {name!r}. Give one of {list(self.known)!r}.")
        self.kind = kind
        self.name = name


class PayloadTypeError(FlowForgeError, TypeError):
    """A payload is not a dict with string keys."""

    def __init__(self, payload: object, where: str) -> None:
        super().__init__(f"The payload for {where} is {payload!r:.200}. Give a dict whose keys are strings.")
        self.payload = payload


class JobFinishedError(FlowForgeError):
    """A job that has ended was asked for something that only a living one can do."""

    def __init__(self, job_id: str, status: str, asked: str, remedy: str) -> None:
        super().__init__(f"The job {job_id!r} is {status}, so it cannot {asked}. {remedy}")
        self.job_id = job_id
        self.status = status


class UnknownJobError(FlowForgeError, LookupError):
    """A runtime was asked about a job that is not its own, or that it has let go."""

    def __init__(self, job_id: object) -> None:
        super().__init__(
            f"The runtime has no job {job_id!r}. Use the runtime that started it; "
            "finished jobs are let go beyond max_finished_jobs, and by the prune of a store."
        )
        self.job_id = job_id


class DuplicateJobError(FlowForgeError):
    """A job id is in use."""

    def __init__(self, job_id: str) -> None:
        super().__init__(f"The runtime already has a job {job_id!r}. Leave job_id out, or choose another.")
        self.job_id = job_id


class WrongFlowError(FlowForgeError):
    """A job state belongs to another flow."""

    def __init__(self, job_id: str, expected: str, actual: str) -> None:
        super().__init__(
            f"The job {job_id!r} belongs to the flow {expected!r}, not to {actual!r}. Resume it with its own flow."
        )
        self.job_id = job_id


class FlowChangedError(FlowForgeError):
    """A job at rest does not fit its flow any more, and no hook has made it fit. It is left as it was."""

    def __init__(
        self, job_id: str, flow_id: str, from_version: int, to_version: int, difference: Iterable[str]
    ) -> None:
        self.difference = tuple(difference)
        """What does not fit, a phrase each."""
        if from_version > to_version:
            remedy = f"Go on with the flow of version {from_version!r}, or give this one a higher version."
        elif from_version < to_version:
            remedy = f"Give the flow back what is gone, or let flow.migrate({from_version!r}, hook) change the job."
        else:
            higher = f"version={from_version + 1}"
            remedy = f"Give the flow back what is gone, or {higher} and a hook: flow.migrate({from_version!r}, hook)."
        super().__init__(
            f"The job {job_id!r} of version {from_version!r} does not fit the flow {flow_id!r} as it is now, "
            f"in version {to_version!r}: {'; '.join(self.difference)}. {remedy}"
        )
        self.job_id = job_id
        self.flow_id = flow_id
        self.from_version = from_version
        self.to_version = to_version


class MigrationFailedError(FlowForgeError):
    """A hook that was given to `migrate` raised; the job is left as it was."""

    def __init__(self, job_id: str, flow_id: str, from_version: int, error: Exception) -> None:
        super().__init__(
            f"The hook of the flow {flow_id!r} for jobs of version {from_version!r} raised {error!r:.200} for the job "
            f"{job_id!r}. Correct it: the job is left as it was, and can be resumed."
        )
        self.job_id = job_id
        self.flow_id = flow_id
        self.from_version = from_version


class MigrationTargetError(FlowForgeError):
    """A hook would put what belongs to one routine or slot over what belongs to another."""

    def __init__(self, job_id: str, old: str, new: str) -> None:
        super().__init__(
            f"The job {job_id!r} has something of {new!r}, so {old!r} cannot be renamed to it. "
            "Move the messages with move_messages, and the state by hand."
        )
        self.job_id = job_id
        self.old = old
        self.new = new


class JobForkedError(FlowForgeError):
    """A job would go on in two places, so that its history would fork."""

    def __init__(self, job_id: str, place: str, remedy: str) -> None:
        super().__init__(f"The job {job_id!r} is kept in {place}, so it cannot go on here as well. {remedy}")
        self.job_id = job_id


class StaleJobStateError(FlowForgeError):
    """A JobState is of a runtime that was shut down and has given its store back, for another to take."""

    def __init__(self, job_id: str) -> None:
        super().__init__(
            f"This JobState of the job {job_id!r} is of a runtime that was shut down, so nothing more is kept of it. "
            f"Get the job from the runtime that has the store now: runtime.get_job({job_id!r})."
        )
        self.job_id = job_id


class SlotQueueFullError(FlowForgeError):
    """A post found the slot full, and its time to wait was over."""

    def __init__(self, slot: str, limit: int, timeout: float) -> None:
        super().__init__(
            f"The slot {slot!r} is full: {limit!r} messages wait in it, and none left within {timeout!r} seconds. "
            "Post later, give a longer timeout, or raise the slot's max_queue_length."
        )
        self.slot = slot
        self.limit = limit


class WaitInStepError(FlowForgeError):
    """A handler tried to wait for a job, which would hold a thread of the pool that the job may need."""

    def __init__(self, what: str) -> None:
        super().__init__(
            f"A handler cannot wait for {what}. Let the job's outputs be posted back, or wait outside of handlers."
        )
        self.what = what


class RuntimeClosedError(FlowForgeError):
    """A runtime that was shut down was asked to run something."""

    def __init__(self, asked: str) -> None:
        super().__init__(f"The runtime was shut down, so it cannot {asked}. Create a new Runtime.")


class RuntimeForkedError(FlowForgeError):
    """A runtime was used in a child of the process that it was created in."""

    def __init__(self, asked: str) -> None:
        super().__init__(
            f"The runtime belongs to the parent of this process, so it cannot {asked} here. "
            "Create a new Runtime in the child."
        )


class RuntimeOptionError(FlowForgeError, ValueError):
    """A runtime, or a call of it, was given an option that it cannot have."""

    def __init__(self, option: str, value: object, remedy: str) -> None:
        super().__init__(f"The option {option} cannot be {value!r}. {remedy}")
        self.option = option
        self.value = value


class StepTimeoutError(FlowForgeError, TimeoutError):
    """A step took longer than its routine allows."""

    def __init__(self, routine: str, timeout: float, *, still_runs: bool) -> None:
        end = " Its thread still runs and what it returns will be refused." if still_runs else ""
        super().__init__(f"A step of the routine {routine!r} took longer than {timeout!r} seconds.{end}")
        self.routine = routine
        self.timeout = timeout


class NoCursorError(FlowForgeError):
    """A generator cannot be called again, for it did not move a cursor in its state."""

    def __init__(self, routine: str, asked: str) -> None:
        super().__init__(f"The generator of the routine {routine!r} cannot be {asked}: {_NO_CURSOR}")
        self.routine = routine


class DeadLetterNotFoundError(FlowForgeError, LookupError):
    """No dead letter has the given id."""

    def __init__(self, letter: str, job_id: str) -> None:
        super().__init__(
            f"The job {job_id!r} has no dead letter {letter!r}. Take an id from its dead_letters; "
            "a requeued or purged one is gone."
        )
        self.letter = letter


class JobStateFileError(FlowForgeError):
    """A file does not hold a job state."""

    def __init__(self, path: str, problem: str, remedy: str) -> None:
        super().__init__(f"The file {path!r} does not hold a job state: {problem}. {remedy}")
        self.path = path
        self.problem = problem
