"""What is wrong with a flow: a name, a handler, a slot, a connection, or a file it was kept in."""

import difflib
from collections.abc import Iterable, Sequence

from flowforge.errors import FlowForgeError

__all__ = [
    "ConnectionTakenError",
    "FlowFileError",
    "FlowNameTakenError",
    "FlowNotRegisteredError",
    "FlowValidationError",
    "ForbiddenClassError",
    "HandlerNotCallableError",
    "IllegalEndError",
    "IllegalNameError",
    "MergeResultError",
    "NotARoutineError",
    "ParamMappingError",
    "PayloadMismatchError",
    "RoutineHasIdError",
    "RoutineIdTakenError",
    "UnkeepableFlowError",
    "UnknownConnectionError",
    "UnknownEventError",
    "UnknownFlowError",
    "UnknownMergeStrategyError",
    "UnknownNameError",
    "UnknownRoutineError",
    "UnknownSlotError",
]


_MOST_NAMES = 20


def _listed(names: Iterable[object]) -> str:
    known = tuple(names)
    rest = f" and {len(known) - _MOST_NAMES} more" if len(known) > _MOST_NAMES else ""
    return (", ".join(map(repr, known[:_MOST_NAMES])) or "none") + rest


class IllegalNameError(FlowForgeError):
    """A routine, slot, event or flow cannot have this name."""

    def __init__(self, kind: str, name: object) -> None:
        self.kind = kind
        self.name = name
        if isinstance(name, str) and "." in name:
            words = "holds a dot, which separates a routine from its slots and events. Use '_' or '-' instead."
        else:
            words = "is not a non-empty string. Give a text without a dot, such as 'input'."
        super().__init__(f"The {kind} {name!r} {words}")


class HandlerNotCallableError(FlowForgeError):
    """A slot was given a handler that cannot be called."""

    def __init__(self, handler: object) -> None:
        self.handler = handler
        super().__init__(f"The handler {handler!r} cannot be called. Give a function, a method or a callable object.")


class PayloadMismatchError(FlowForgeError):
    """A payload lacks what a slot's handler requires."""

    def __init__(self, where: str, parameters: Sequence[str], missing: Sequence[str], keys: Sequence[str]) -> None:
        self.where = where
        self.parameters = tuple(parameters)
        self.missing = tuple(missing)
        self.keys = tuple(keys)
        super().__init__(
            f"The handler of slot {where!r} has the parameters {_listed(parameters)}, "
            f"and the payload with the keys {_listed(keys)} lacks {_listed(missing)}. "
            f"Emit what is lacking, rename a key with param_mapping, or give the parameter a default."
        )


class UnknownMergeStrategyError(FlowForgeError):
    """A slot was given a merge strategy that does not exist."""

    def __init__(self, strategy: object) -> None:
        self.strategy = strategy
        super().__init__(
            f"The merge strategy {strategy!r} does not exist. "
            f"Give 'override', 'append' or a function (old, new) -> merged."
        )


class MergeResultError(FlowForgeError):
    """A slot's merge function returned something that is no payload."""

    def __init__(self, slot: str, result: object) -> None:
        self.slot = slot
        self.result = result
        super().__init__(f"The merge function of slot {slot!r} returned {result!r}. Return a dict with string keys.")


class ParamMappingError(FlowForgeError):
    """A connection's `param_mapping` does not say clearly what becomes what."""

    def __init__(self, mapping: object, reason: str) -> None:
        self.mapping = mapping
        self.reason = reason
        super().__init__(f"The param_mapping {mapping!r} {reason}.")


class IllegalEndError(FlowForgeError):
    """The ends of a connection were written in a form that cannot be read."""

    def __init__(self, ends: tuple[object, ...]) -> None:
        self.ends = ends
        super().__init__(
            f"The ends {_listed(ends)} do not name an event and a slot. "
            f"Write connect('a', 'output', 'b', 'input') or connect('a.output', 'b.input')."
        )


class NotARoutineError(FlowForgeError):
    """Something else than a routine's instance was added to a flow."""

    def __init__(self, value: object) -> None:
        self.value = value
        remedy = "Give an instance: call the class." if isinstance(value, type) else "Derive its class from Routine."
        super().__init__(f"{value!r} is not a routine. {remedy}")


class RoutineIdTakenError(FlowForgeError):
    """Two routines of a flow would have the same id."""

    def __init__(self, flow_id: str, routine_id: str) -> None:
        self.flow_id = flow_id
        self.routine_id = routine_id
        super().__init__(
            f"The flow {flow_id!r} already has a routine {routine_id!r}. Give another id, or call remove_routine first."
        )


class RoutineHasIdError(FlowForgeError):
    """A routine that already is part of a flow was added again, under another id."""

    def __init__(self, routine_id: str, wanted: str) -> None:
        self.routine_id = routine_id
        self.wanted = wanted
        super().__init__(
            f"The routine {routine_id!r} is already part of a flow and cannot be {wanted!r} as well. "
            f"Add another instance of its class."
        )


class UnknownNameError(FlowForgeError, LookupError):
    """A name stands for nothing; the base of what can be unknown in a flow or a registry."""

    kind = "name"
    owner_kind = "flow"

    def __init__(self, name: str, owner: str, known: Iterable[str]) -> None:
        self.name = name
        self.owner = owner
        self.known = tuple(known)
        close = difflib.get_close_matches(str(name), self.known, n=1)
        remedy = f"Did you mean {close[0]!r}? " if close else ""
        super().__init__(
            f"The {self.owner_kind} {owner!r} has no {self.kind} {name!r}. {remedy}It has: {_listed(self.known)}."
        )


class UnknownRoutineError(UnknownNameError):
    """A flow has no routine of this id."""

    kind = "routine"


class UnknownEventError(UnknownNameError):
    """A routine has no event of this name."""

    kind = "event"
    owner_kind = "routine"


class UnknownSlotError(UnknownNameError):
    """A routine has no slot of this name."""

    kind = "slot"
    owner_kind = "routine"


class UnknownConnectionError(UnknownNameError):
    """A flow has no such connection."""

    kind = "connection"


class UnknownFlowError(FlowForgeError, LookupError):
    """A registry has no flow of this name."""

    def __init__(self, name: str, known: Iterable[str]) -> None:
        self.name = name
        self.known = tuple(known)
        super().__init__(f"No flow is registered as {name!r}. Register it first. There is: {_listed(self.known)}.")


class ConnectionTakenError(FlowForgeError):
    """An event was connected to the same slot twice."""

    def __init__(self, flow_id: str, connection: str) -> None:
        self.flow_id = flow_id
        self.connection = connection
        super().__init__(
            f"The flow {flow_id!r} already has the connection {connection!r}. "
            f"Leave the second one out, or disconnect the first to change its param_mapping."
        )


class FlowNotRegisteredError(FlowForgeError):
    """A durable runtime does not know a flow by its id, so no later process could go on with its jobs."""

    def __init__(self, flow_id: str) -> None:
        super().__init__(
            f"The flow {flow_id!r} is not registered, so a job of it could not go on after a restart. "
            "Give it to the runtime: Runtime(store=..., flows=[flow]), or runtime.register(flow)."
        )
        self.flow_id = flow_id


class FlowNameTakenError(FlowForgeError):
    """A registry already has another flow of this name."""

    def __init__(self, name: str) -> None:
        self.name = name
        super().__init__(f"Another flow is registered as {name!r}. Unregister that one first, or choose another name.")


class FlowValidationError(FlowForgeError):
    """A flow cannot work; `mistakes` lists every reason, each a full sentence."""

    def __init__(self, flow_id: str, mistakes: Sequence[str]) -> None:
        self.flow_id = flow_id
        self.mistakes = tuple(mistakes)
        count = "one mistake" if len(self.mistakes) == 1 else f"{len(self.mistakes)} mistakes"
        super().__init__("\n- ".join([f"The flow {flow_id!r} has {count}.", *self.mistakes]))


class UnkeepableFlowError(FlowForgeError):
    """A flow holds something that cannot be written to a file and found again."""

    def __init__(self, where: str, reason: str, remedy: str) -> None:
        self.where = where
        self.reason = reason
        super().__init__(f"{where} cannot be kept: {reason}. {remedy}")


class FlowFileError(FlowForgeError):
    """What should be a kept flow cannot be read as one."""

    def __init__(self, source: str, reason: str, remedy: str = "Write it again with flow.save().") -> None:
        self.source = source
        self.reason = reason
        super().__init__(f"The flow in {source} cannot be read: {reason}. {remedy}")


class ForbiddenClassError(FlowFileError):
    """A kept flow names a class that its reader did not allow."""

    def __init__(self, source: str, path: str, allowed: Sequence[str]) -> None:
        self.path = path
        self.allowed = tuple(allowed)
        super().__init__(
            source,
            f"its class {path!r} is in none of the allowed modules ({_listed(allowed)})",
            f"If you trust it, add {path.partition(':')[0]!r} to allowed_modules.",
        )
