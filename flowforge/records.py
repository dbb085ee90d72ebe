"""What can happen in a job, as data: messages and the numbered records of its log.

A record is a fact, written once, in the critical section in which it takes effect. Folding a job's records from the
first on gives all that is known about it; no user code is called for that.
"""

from collections.abc import Mapping
from typing import Any, ClassVar

from flowforge.structs import Struct

__all__ = [
    "RECORD_VERSION",
    "DeadLetterPurged",
    "DeadLetterRequeued",
    "Delivery",
    "Destination",
    "ErrorInfo",
    "FlowFingerprint",
    "InitialState",
    "JobClosed",
    "JobMoved",
    "JobReplaced",
    "JobStarted",
    "Message",
    "MessageGivenUp",
    "MessageMerged",
    "MessagePosted",
    "MessageSuspected",
    "Output",
    "PauseRequested",
    "Record",
    "RetryScheduled",
    "RoutineFingerprint",
    "RoutineRestarted",
    "SharedChange",
    "SharedWritten",
    "StepCommitted",
    "StepFailed",
    "Timer",
    "TimerFired",
]

RECORD_VERSION = 1
"""Raised whenever a record changes its shape."""


class Message(Struct, frozen=True):
    """One payload on its way to one slot."""

    id: int
    """Derived from the message that caused it, so a step that runs again emits the same ids."""
    job: str
    source: str
    """`routine.event`, or `""` for what comes from outside."""
    payload: dict[str, Any]
    at: float
    """Seconds since the epoch when it was committed."""
    correlation: int = 0
    """The id of the entry message it descends from; 0 for an entry itself."""
    causation: int = 0
    """The id of the message whose step emitted it; 0 for an entry."""
    attempt: int = 0
    """How many attempts at it have failed since it last made progress."""
    progress: int = 0
    """How many messages and yields steps called with it have committed: where the numbering of the next goes on."""
    trace: str | None = None
    key: str | None = None
    """The sender's key of a message posted from outside."""
    is_merged: bool = False
    """Whether the payload already holds what its slot had gathered."""

    @property
    def headers(self) -> Mapping[str, int | str | None]:
        """Correlation, causation and trace, as a mapping."""
        return {"correlation": self.correlation, "causation": self.causation, "trace": self.trace}


class Destination(Struct, frozen=True, cache_hash=True):
    """A slot of a routine."""

    routine: str
    slot: str


class Delivery(Struct, frozen=True):
    """A message put into a slot."""

    to: Destination
    message: Message


class Output(Struct, frozen=True):
    """A payload that left the job: by an event without a connection, or by `send_output`."""

    name: str
    """`routine.event`, or the output type given to `send_output`."""
    payload: dict[str, Any]
    is_event: bool = True


class Timer(Struct, frozen=True):
    """A payload that an event is to send at some instant; exactly one of `delivery` and `output` is given."""

    id: int
    """The id of the message, or, for an output, the one that a message would have."""
    routine: str
    due: float
    """Seconds since the epoch."""
    delay: float
    """Seconds from the commit to the instant; it never waits longer, whatever the clock is set to."""
    delivery: Delivery | None = None
    output: Output | None = None


class SharedChange(Struct, frozen=True):
    """The value that a step left under one key of `shared_data`."""

    key: str
    value: Any = None
    is_deleted: bool = False


class InitialState(Struct, frozen=True):
    """The state that a routine, or one of its replicas, began with."""

    routine: str
    replica: int
    state: dict[str, Any]


class ErrorInfo(Struct, frozen=True):
    """An exception as text; never the object."""

    type: str
    text: str
    traceback: str
    cause: str | None = None


class RoutineFingerprint(Struct, frozen=True, array_like=True, gc=False):
    """A routine, as far as it matters to a job at rest."""

    id: str
    slots: tuple[str, ...]
    events: tuple[str, ...]
    concurrency: int


class FlowFingerprint(Struct, frozen=True, array_like=True):
    """A flow, as far as it matters to a job at rest; equal for flows that differ in the order of building alone."""

    version: int
    """The one that its user gave it."""
    routines: tuple[RoutineFingerprint, ...]
    connections: tuple[tuple[str, str, tuple[tuple[str, str], ...]], ...]
    """The source, the target and the mapping of each."""


class Record(Struct, frozen=True, tag=True):
    """A fact in a job's log."""

    version: ClassVar[int] = RECORD_VERSION

    position: int
    """1 for the job's first record, then without a gap."""
    at: float
    """Seconds since the epoch."""
    epoch: int
    """The job's control epoch in which it was committed."""


class StepCommitted(Record, frozen=True, tag=True):
    """A step returned, or reached a yield: all its effects, taken together.

    Its fields may be given by position: keywords would take four times as long, once for each step.
    """

    routine: str
    replica: int
    slot: str
    messages: tuple[Message, ...]
    """What the step was called with; one, but for an activation of a policy."""
    is_final: bool
    """Whether the messages are consumed; False for the yield of a generator."""
    duration: float
    queued: float
    """Seconds between the first message's commit and the call."""
    deliveries: tuple[Delivery, ...] = ()
    outputs: tuple[Output, ...] = ()
    state: tuple[Any, ...] = ()
    """Changes of the routine's own state, as the tracked containers report them."""
    shared: tuple[SharedChange, ...] = ()
    shared_log: tuple[Any, ...] = ()
    timers: tuple[Timer, ...] = ()
    """What it emits later."""


class TimerFired(Record, frozen=True, tag=True, kw_only=True):
    """The instant of a timer has come: its message is on its way, or its output has left the job."""

    timer: int
    routine: str
    deliveries: tuple[Delivery, ...] = ()
    outputs: tuple[Output, ...] = ()


class StepFailed(Record, frozen=True, tag=True, kw_only=True):
    """An attempt raised; it left nothing but this."""

    routine: str
    replica: int
    slot: str
    messages: tuple[Message, ...]
    """With their attempts already raised by one."""
    duration: float
    queued: float
    error: ErrorInfo


class RetryScheduled(Record, frozen=True, tag=True, kw_only=True):
    """The supervisor answered a failed step with another attempt."""

    routine: str
    replica: int
    delay: float
    due: float


class MessageGivenUp(Record, frozen=True, tag=True, kw_only=True):
    """The supervisor answered a failed step with SKIP or CONTINUE, or a join was drained: a dead letter."""

    letter: str
    """The id of the dead letter."""
    routine: str
    slots: tuple[str, ...]
    """The slot of each message."""
    messages: tuple[Message, ...]
    strategy: str
    """`skip`, `continue`, `unmatched`, or `poison` for what the process died of."""
    error: ErrorInfo | None
    is_repeatable: bool = True
    """False for a generator that left no cursor."""

    @property
    def slot(self) -> str:
        """The slots, each once, as the record of a step names them."""
        return "+".join(dict.fromkeys(self.slots))


class MessageMerged(Record, frozen=True, tag=True, kw_only=True):
    """A message was merged with what its slot had gathered, before it was handed to a replica."""

    routine: str
    slot: str
    message: Message
    """With the merged payload."""
    state: tuple[Any, ...]


class MessageSuspected(Record, frozen=True, tag=True, kw_only=True):
    """The process has died again and again before anything else was done: this message is to be handled alone now."""

    routine: str
    slot: str
    suspect: int
    """The id of the message; 0 if the one before waits still, and the process lives."""


class MessagePosted(Record, frozen=True, tag=True, kw_only=True):
    """Input from outside, or from a handler's `post`."""

    delivery: Delivery


class SharedWritten(Record, frozen=True, tag=True, kw_only=True):
    """Shared data was changed from outside of steps."""

    shared: tuple[SharedChange, ...] = ()
    shared_log: tuple[Any, ...] = ()


class DeadLetterRequeued(Record, frozen=True, tag=True, kw_only=True):
    """A dead letter went back to its slot."""

    letter: str
    deliveries: tuple[Delivery, ...]


class DeadLetterPurged(Record, frozen=True, tag=True, kw_only=True):
    """A dead letter was thrown away on request."""

    letter: str


class RoutineRestarted(Record, frozen=True, tag=True, kw_only=True):
    """The supervisor gave a broken actor a fresh instance with the committed state."""

    routine: str
    replica: int
    error: ErrorInfo


class JobStarted(Record, frozen=True, tag=True, kw_only=True):
    """The job exists, with its entry messages."""

    flow: str
    deliveries: tuple[Delivery, ...]
    is_kept_alive: bool = False
    timeout: float | None = None
    """Seconds that it may run, if it was started with a limit of its own."""
    initial: tuple[InitialState, ...] = ()
    fingerprint: FlowFingerprint | None = None
    """Of its flow; None in the records of older versions, which stands for version 1."""


class JobMoved(Record, frozen=True, tag=True, kw_only=True):
    """The job changed its status: paused, running again, completed, failed or cancelled."""

    status: str
    reason: str = ""
    error: ErrorInfo | None = None
    routine: str | None = None
    checkpoint: Any = None
    """What a pause was given to keep."""
    elapsed: float = 0.0
    """Seconds that the job had run when a run of it ended."""
    goes_on: bool = False
    """Whether it is paused because its runtime was shut down, so that the next one goes on with it."""
    initial: tuple[InitialState, ...] = ()
    """Of routines and replicas that came with the resume."""
    fingerprint: FlowFingerprint | None = None
    """Of the flow that it runs with from now on, if that has changed."""


class JobReplaced(Record, frozen=True, tag=True, kw_only=True):
    """The job was migrated, or came from outside of the log: it is what `base` says, whatever was before."""

    flow: str
    status: str
    base: bytes
    """All of the resting job; empty in a log that keeps nothing."""


class PauseRequested(Record, frozen=True, tag=True, kw_only=True):
    """The job is to pause as soon as the steps that run have ended."""

    reason: str
    checkpoint: Any = None


class JobClosed(Record, frozen=True, tag=True, kw_only=True):
    """Nobody keeps the job open for posts any more."""
