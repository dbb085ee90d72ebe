"""Event-driven flows that must not break, on supervised actors."""

from flowforge.activation_policies import (
    Activation,
    ActivationPolicy,
    Waiting,
    all_slots_ready_policy,
    batch_size_policy,
    custom_policy,
    immediate_policy,
    time_interval_policy,
)
from flowforge.connection import Connection
from flowforge.error_handler import ErrorHandler, ErrorStrategy
from flowforge.errors import FlowForgeError
from flowforge.event import Event
from flowforge.execution_record import ExecutionRecord
from flowforge.execution_tracker import ExecutionTracker, FlowStatistics, RoutineStatistics
from flowforge.flow import Flow
from flowforge.flow_registry import FlowRegistry
from flowforge.graph_errors import FlowValidationError, ForbiddenClassError, PayloadMismatchError
from flowforge.job_errors import (
    FlowChangedError,
    JobFinishedError,
    JobForkedError,
    JobStateFileError,
    MigrationFailedError,
    NoCursorError,
    SlotQueueFullError,
    StepTimeoutError,
)
from flowforge.job_migration import JobMigration
from flowforge.job_state import JobState
from flowforge.job_status import JobStatus
from flowforge.options import RuntimeOptions
from flowforge.output_handler import (
    CallbackOutputHandler,
    LoggingOutputHandler,
    OutputHandler,
    OutputRecord,
    QueueOutputHandler,
)
from flowforge.routine import Routine, Routine2
from flowforge.runtime import Runtime
from flowforge.slot import Slot
from flowforge.stores.codec import Codec
from flowforge.stores.codec_errors import UnencodableValueError
from flowforge.stores.codec_types import payload
from flowforge.stores.sqlite import SqliteStore

__all__ = [
    # Building flows
    "Routine",
    "Routine2",
    "Slot",
    "Event",
    "Connection",
    "Flow",
    "FlowRegistry",
    # When a routine's logic is called
    "Activation",
    "ActivationPolicy",
    "Waiting",
    "all_slots_ready_policy",
    "batch_size_policy",
    "custom_policy",
    "immediate_policy",
    "time_interval_policy",
    # Running jobs
    "Runtime",
    "RuntimeOptions",
    "JobState",
    "JobStatus",
    "JobMigration",
    # What to do about errors
    "ErrorHandler",
    "ErrorStrategy",
    # Looking at jobs
    "ExecutionRecord",
    "ExecutionTracker",
    "FlowStatistics",
    "RoutineStatistics",
    # Where outputs go
    "OutputHandler",
    "OutputRecord",
    "CallbackOutputHandler",
    "LoggingOutputHandler",
    "QueueOutputHandler",
    # What state and payloads may be
    "Codec",
    "payload",
    # Where jobs are kept
    "SqliteStore",
    # Errors that programs answer; others are where they are raised
    "FlowChangedError",
    "FlowForgeError",
    "FlowValidationError",
    "ForbiddenClassError",
    "JobFinishedError",
    "JobForkedError",
    "JobStateFileError",
    "MigrationFailedError",
    "NoCursorError",
    "PayloadMismatchError",
    "SlotQueueFullError",
    "StepTimeoutError",
    "UnencodableValueError",
]
