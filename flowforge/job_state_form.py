"""What a saved job looks like in JSON, field by field: format 1. `Any` is a value in the codec's JSON form."""

from typing import Annotated, Any, Literal

from flowforge.execution_record import ExecutionRecord
from flowforge.records import ErrorInfo
from flowforge.structs import Meta, Struct

__all__ = [
    "FORMAT",
    "KIND",
    "SavedConnection",
    "SavedFacts",
    "SavedFigures",
    "SavedFingerprint",
    "SavedJob",
    "SavedLetter",
    "SavedMessage",
    "SavedOutput",
    "SavedRoutine",
    "SavedSlot",
    "SavedStructure",
    "SavedTimer",
]

FORMAT = 1
"""The version of the format that is written."""

KIND = "flowforge job state"
"""What the file says it is."""

_Count = Annotated[int, Meta(ge=0)]
_Id = Annotated[str, Meta(min_length=1)]
_Hex = Annotated[str, Meta(pattern="^[0-9a-f]{1,32}$")]


class SavedMessage(Struct, frozen=True):
    """A message that waits, or that was given up on."""

    id: _Hex
    job: str
    source: str
    payload: Any
    at: float
    correlation: _Hex
    causation: _Hex
    attempt: _Count
    progress: _Count
    trace: str | None
    key: str | None
    is_merged: bool


class SavedSlot(Struct, frozen=True):
    """What waits in one slot, oldest first."""

    routine: _Id
    slot: _Id
    messages: list[SavedMessage]


class SavedLetter(Struct, frozen=True):
    """A dead letter."""

    id: _Id
    routine: _Id
    slots: tuple[str, ...]
    messages: Annotated[list[SavedMessage], Meta(min_length=1)]
    strategy: str
    error: ErrorInfo | None
    at: float
    is_repeatable: bool


class SavedRoutine(Struct, frozen=True):
    """The state of one routine, or of one of its replicas."""

    id: _Id
    replica: Annotated[int, Meta(ge=-1)]
    tree: Any


class SavedFacts(Struct, frozen=True):
    """System facts about one routine."""

    status: str
    calls: _Count
    errors: _Count
    dead_letters: _Count
    last_error: ErrorInfo | None
    last_call: float | None = None


class SavedOutput(Struct, frozen=True):
    """An entry of the output log."""

    at: float
    routine: _Id
    name: str
    payload: Any


class SavedTimer(Struct, frozen=True):
    """What is to be emitted later: into a slot, or as an output."""

    id: _Hex
    routine: _Id
    due: float
    delay: Annotated[float, Meta(ge=0)]
    to: tuple[str, str] | None = None
    message: SavedMessage | None = None
    output: SavedOutput | None = None


class SavedStructure(Struct, frozen=True):
    """A routine of its flow."""

    id: _Id
    slots: tuple[str, ...]
    events: tuple[str, ...]
    concurrency: Annotated[int, Meta(ge=1)]


class SavedConnection(Struct, frozen=True):
    """A connection of its flow."""

    source: _Id
    target: _Id
    mapping: dict[str, str]


class SavedFingerprint(Struct, frozen=True):
    """Its flow, as it was when the job last ran."""

    version: Annotated[int, Meta(ge=1)]
    routines: list[SavedStructure]
    connections: list[SavedConnection]


class SavedFigures(Struct, frozen=True):
    """What the tracker has counted."""

    first_at: float | None
    last_at: float
    routines: dict[
        _Id, tuple[_Count, _Count, _Count, _Count, _Count, float, float, float, float | None, float, list[list[_Count]]]
    ]
    """Calls, steps, errors, retries, dead letters; queue time in all and the longest; times as a histogram has them."""
    sent: list[tuple[str, str, str, _Count]]
    """Source, routine, slot, and how many messages."""


class SavedJob(Struct, frozen=True):
    """All of a resting job."""

    job_id: _Id
    flow_id: _Id
    status: Literal["pending", "paused", "completed", "failed", "cancelled"]
    reason: str
    error: ErrorInfo | None
    failed_routine: str | None
    epoch: _Count
    position: _Count
    entries: _Count
    letters: _Count
    timeout: Annotated[float, Meta(gt=0)] | None
    elapsed: Annotated[float, Meta(ge=0)]
    is_kept_alive: bool
    keys: list[str]
    checkpoint: Any
    pending: list[SavedSlot]
    retries: dict[_Hex, tuple[_Id, int, float, float]]
    shared_data: Any
    shared_log: Any
    shared_log_dropped: _Count
    dead_letters: list[SavedLetter]
    routines: list[SavedRoutine]
    facts: dict[str, SavedFacts]
    outputs: Any
    output_log: list[SavedOutput]
    outputs_dropped: _Count
    history: list[ExecutionRecord]
    history_dropped: _Count
    restarts: list[float] = []  # noqa: RUF012 - the struct copies it
    timers: list[SavedTimer] = []  # noqa: RUF012 - the struct copies it
    fingerprint: SavedFingerprint | None = None
    figures: SavedFigures | None = None
