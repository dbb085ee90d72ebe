"""The graph of a flow: its routines and what connects them."""

import math
import os
import uuid
import weakref
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Self, overload

from flowforge.connection import Connection, read_ends
from flowforge.error_handler import ErrorHandler
from flowforge.flow_checks import find_mistakes
from flowforge.flow_drawing import draw_mermaid
from flowforge.flow_file import from_dict, load_file, save_file, to_dict
from flowforge.graph_errors import (
    ConnectionTakenError,
    FlowValidationError,
    NotARoutineError,
    RoutineHasIdError,
    RoutineIdTakenError,
    UnknownConnectionError,
    UnknownEventError,
    UnknownRoutineError,
    UnknownSlotError,
)
from flowforge.names import check_name
from flowforge.option_checks import check_whole_number
from flowforge.option_errors import OptionError
from flowforge.routine import Routine

__all__ = ["FlowGraph"]


class FlowGraph:
    """Routines and the connections between them: a template that any number of jobs can run.

    Built by one thread at a time; jobs work with it as it was when they started. Every method raises at once,
    and changes nothing, if it is given something that cannot work. `timeout` is in seconds, for a job of it;
    `isolate` copies payloads in depth, so that routines cannot share what is inside one.
    """

    def __init__(
        self,
        flow_id: str | None = None,
        error_handler: ErrorHandler | None = None,
        timeout: float | None = None,
        *,
        isolate: bool = False,
        version: int = 1,
    ) -> None:
        self.flow_id = f"flow-{uuid.uuid4().hex[:8]}" if flow_id is None else check_name("flow id", flow_id)
        self.error_handler = _checked_handler(self.flow_id, error_handler)
        self.timeout = _checked_timeout(self.flow_id, timeout)
        self.isolate = isolate
        self.routines: dict[str, Routine] = {}
        """By id, in the order they were added; to be read only."""
        self.version = check_whole_number(f"The flow {self.flow_id!r}", "version", version, least=1)
        """What its jobs are migrated by; raised by whoever changes it so that jobs at rest do not fit any more."""
        self.migrations: dict[int, Callable[[Any], object]] = {}
        """What leads jobs of each version to the next one; given to `migrate`, to be read only."""
        self.revision = 0
        """Raised by every change."""
        self.compiled: object = None
        """What a runtime made of some revision of this flow."""
        self.jobs: weakref.WeakSet[Any] = weakref.WeakSet()
        """The JobStates that it was run as, for as long as anybody holds them."""
        self._connections: dict[tuple[str, str, str, str], Connection] = {}
        self._numbers: dict[str, int] = {}

    def __repr__(self) -> str:
        routines, connections = len(self.routines), len(self._connections)
        return f"<{type(self).__name__} {self.flow_id!r}: {routines} routines, {connections} connections>"

    @property
    def connections(self) -> list[Connection]:
        """All connections, in the order they were made; a list of the caller's own."""
        return list(self._connections.values())

    def add_routine(self, routine: Routine, routine_id: str | None = None) -> str:
        """Make `routine` a part of this flow and return its id: the one given, or one made of its class name.

        Raise `RoutineIdTakenError` for an id in use, `RoutineHasIdError` for a routine with another id.
        """
        if not isinstance(routine, Routine):
            raise NotARoutineError(routine)
        current = routine.routine_id
        if routine_id is None and current is not None and self.routines.get(current) is routine:
            return current
        if routine_id is None:
            routine_id = current or self._next_id(type(routine).__name__.lower())
        check_name("routine id", routine_id)
        if current is not None and current != routine_id:
            raise RoutineHasIdError(current, routine_id)
        if routine_id in self.routines:
            raise RoutineIdTakenError(self.flow_id, routine_id)
        _set_id(routine, routine_id)
        self.routines[routine_id] = routine
        self.revision += 1
        return routine_id

    def remove_routine(self, routine_id: str) -> Routine:
        """Take a routine and all its connections out of this flow and return it, free to be added again."""
        routine = self._routine(routine_id)
        del self.routines[routine_id]
        self._connections = {
            key: connection
            for key, connection in self._connections.items()
            if routine_id not in {connection.source_routine_id, connection.target_routine_id}
        }
        _set_id(routine, None)
        self.revision += 1
        return routine

    @overload
    def connect(
        self, source_routine_id: str, source_event: str, *, param_mapping: Mapping[str, str] | None = None
    ) -> Connection: ...

    @overload
    def connect(
        self,
        source_routine_id: str,
        source_event: str,
        target_routine_id: str,
        target_slot: str,
        param_mapping: Mapping[str, str] | None = None,
    ) -> Connection: ...

    def connect(
        self,
        source_routine_id: str,
        source_event: str,
        target_routine_id: str | None = None,
        target_slot: str | None = None,
        param_mapping: Mapping[str, str] | None = None,
    ) -> Connection:
        """Send what an event emits to a slot; `param_mapping` renames keys, source name to target name.

        The ends are four names, or the two texts `a.output` and `b.input`. Raise `UnknownRoutineError`,
        `UnknownEventError` or `UnknownSlotError` for what the flow does not have, `ConnectionTakenError` for
        a second connection with the same ends.
        """
        ends = read_ends(source_routine_id, source_event, target_routine_id, target_slot)
        connection = Connection(*ends, {} if param_mapping is None else param_mapping)
        source = self._routine(connection.source_routine_id)
        if connection.source_event not in source.events:
            raise UnknownEventError(connection.source_event, connection.source_routine_id, source.events)
        target = self._routine(connection.target_routine_id)
        if connection.target_slot not in target.slots:
            raise UnknownSlotError(connection.target_slot, connection.target_routine_id, target.slots)
        if connection.key in self._connections:
            raise ConnectionTakenError(self.flow_id, str(connection))
        self._connections[connection.key] = connection
        self.revision += 1
        return connection

    def disconnect(
        self,
        source_routine_id: str,
        source_event: str,
        target_routine_id: str | None = None,
        target_slot: str | None = None,
    ) -> Connection:
        """Remove the connection with these ends, written as for `connect`, and return it.

        Raise `UnknownConnectionError` if there is none.
        """
        wanted = Connection(*read_ends(source_routine_id, source_event, target_routine_id, target_slot))
        if wanted.key not in self._connections:
            raise UnknownConnectionError(str(wanted), self.flow_id, map(str, self.connections))
        self.revision += 1
        return self._connections.pop(wanted.key)

    def set_error_handler(self, handler: ErrorHandler | None) -> None:
        """Let `handler`, or STOP if None, answer the errors of routines that have no handler of their own."""
        self.error_handler = _checked_handler(self.flow_id, handler)
        self.revision += 1

    def successors(self, routine_id: str) -> list[str]:
        """The routines that this one sends to, each once."""
        self._routine(routine_id)
        found = (c.target_routine_id for c in self._connections.values() if c.source_routine_id == routine_id)
        return list(dict.fromkeys(found))

    def predecessors(self, routine_id: str) -> list[str]:
        """The routines that send to this one, each once."""
        self._routine(routine_id)
        found = (c.source_routine_id for c in self._connections.values() if c.target_routine_id == routine_id)
        return list(dict.fromkeys(found))

    def validate(self) -> None:
        """Raise a `FlowValidationError` that lists every mistake in this flow, if there is one."""
        mistakes = find_mistakes(self.routines, self.connections)
        if mistakes:
            raise FlowValidationError(self.flow_id, mistakes)

    def note_job(self, job_state: object) -> None:
        """Remember a job of this flow, for `pause` and `cancel`."""
        self.jobs.add(job_state)

    def to_mermaid(self) -> str:
        """Return this flow as a Mermaid flowchart, in the order it was built."""
        return draw_mermaid(self.routines, self._connections.values())

    def serialize(self) -> dict[str, Any]:
        """Return this flow as data for JSON: connections, and routines as class, arguments and options.

        Attributes set on a routine after its construction are not kept, nor are hooks of `migrate`. Raise
        `UnkeepableFlowError` for a class, slot, event or logic that could not be found again,
        `UnencodableValueError` for a value.
        """
        return to_dict(self)

    @classmethod
    def deserialize(cls, data: Mapping[str, Any], *, allowed_modules: Sequence[str]) -> Self:
        """Build the flow that `serialize` described, of classes that are in `allowed_modules` or below them.

        Imports and runs those modules and constructors, nothing else. Raise `FlowFileError`, of which
        `ForbiddenClassError` is one, for data that is not a flow's.
        """
        return from_dict(data, cls, allowed_modules=allowed_modules)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write what `serialize` gives to a JSON file, atomically."""
        save_file(self, path)

    @classmethod
    def load(cls, path: str | os.PathLike[str], *, allowed_modules: Sequence[str]) -> Self:
        """Build the flow that `save` wrote, as `deserialize` does."""
        return load_file(path, cls, allowed_modules=allowed_modules)

    def _routine(self, routine_id: str) -> Routine:
        if routine_id not in self.routines:
            raise UnknownRoutineError(routine_id, self.flow_id, self.routines)
        return self.routines[routine_id]

    def _next_id(self, name: str) -> str:
        number = self._numbers.get(name, 1)
        while (routine_id := name if number == 1 else f"{name}_{number}") in self.routines:
            number += 1
        self._numbers[name] = number
        return routine_id


def _set_id(routine: Routine, routine_id: str | None) -> None:
    # Past Routine's guard against assignments in a step: a handler may build a flow of its own.
    object.__setattr__(routine, "_routine_id", routine_id)
    for slot in routine.slots.values():
        slot.routine_id = routine_id
    for event in routine.events.values():
        event.routine_id = routine_id


def _checked_handler(flow_id: str, handler: ErrorHandler | None) -> ErrorHandler | None:
    if handler is None or isinstance(handler, ErrorHandler):
        return handler
    raise OptionError(f"The flow {flow_id!r}", "error_handler", handler, "Give an ErrorHandler.")


def _checked_timeout(flow_id: str, timeout: float | None) -> float | None:
    is_number = isinstance(timeout, int | float) and not isinstance(timeout, bool)
    if timeout is None or (is_number and 0 < timeout < math.inf):
        return timeout
    raise OptionError(f"The flow {flow_id!r}", "timeout", timeout, "Give a positive number of seconds, or None.")
