"""A flow as data: what is kept of it, and how it is found again.

Classes are named by import path. Reading imports nothing but the modules its caller allows, and of these uses
nothing but the named classes of routines and exceptions.
"""

import importlib
import inspect
import json
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, TypeVar

from flowforge.atomic_file import write_atomically
from flowforge.connection import Connection
from flowforge.error_handler import ErrorHandler
from flowforge.errors import FlowForgeError
from flowforge.graph_errors import FlowFileError, ForbiddenClassError, UnkeepableFlowError
from flowforge.option_errors import OptionError
from flowforge.routine import Routine
from flowforge.stores.codec import Codec
from flowforge.stores.json_form import from_json, to_json

__all__ = ["FORMAT_VERSION", "from_dict", "load_file", "save_file", "to_dict"]

FORMAT_VERSION = 1
"""Raised whenever the format changes its shape."""

_FORMAT = "flowforge-flow"
_DATA = "the data given"


_CHANGED = "Check the file and the code it names; one of them has changed."

_NUMBER_OR_NONE = (int, float, type(None))
_MAPPING_OR_NONE = (Mapping, type(None))
_FLOW_FIELDS = {
    "flow_id": (str,),
    "timeout": _NUMBER_OR_NONE,
    "isolate": (bool,),
    "error_handler": _MAPPING_OR_NONE,
    "routines": (list,),
    "connections": (list,),
}
_ROUTINE_FIELDS = {
    "id": (str,),
    "class": (str,),
    "args": (list,),
    "kwargs": (Mapping,),
    "config": (Mapping,),
    "concurrency": (int,),
    "ordered": (bool,),
    "timeout": _NUMBER_OR_NONE,
    "error_handler": _MAPPING_OR_NONE,
}
_CONNECTION_FIELDS = {"source": (str,), "target": (str,), "param_mapping": (Mapping,)}


class _FlowLike(Protocol):
    flow_id: str
    error_handler: ErrorHandler | None
    timeout: float | None
    isolate: bool
    version: int
    routines: dict[str, Routine]

    def __init__(
        self, flow_id: str, error_handler: ErrorHandler | None, timeout: float | None, *, isolate: bool, version: int
    ) -> None: ...

    @property
    def connections(self) -> list[Connection]: ...

    def add_routine(self, routine: Routine, routine_id: str) -> str: ...

    def connect(self, source_routine_id: str, source_event: str, *, param_mapping: Mapping[str, str]) -> Connection: ...


FlowT = TypeVar("FlowT", bound=_FlowLike)
ClassT = TypeVar("ClassT")


def save_file(flow: _FlowLike, path: str | os.PathLike[str]) -> None:
    """Write `flow` to a JSON file, atomically; raise `UnkeepableFlowError` as `to_dict` does."""
    write_atomically(path, json.dumps(to_dict(flow), indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def load_file(path: str | os.PathLike[str], cls: type[FlowT], *, allowed_modules: Sequence[str]) -> FlowT:
    """Build the flow that `save_file` wrote; raise `FlowFileError` for a file that holds none."""
    source = f"the file {os.fspath(path)!r}"
    try:
        data = json.loads(Path(path).read_bytes())
    except (ValueError, RecursionError) as err:
        raise FlowFileError(source, f"it is cut short or not JSON ({err})") from err
    return _Reader(source, allowed_modules).flow(data, cls)


def from_dict(data: Mapping[str, Any], cls: type[FlowT], *, allowed_modules: Sequence[str]) -> FlowT:
    """Build the flow that `to_dict` described; raise `FlowFileError` for data that describes none."""
    return _Reader(_DATA, allowed_modules).flow(data, cls)


def to_dict(flow: _FlowLike) -> dict[str, Any]:
    """Return `flow` as data for JSON; raise `UnkeepableFlowError` for what could not be found again.

    A value of a routine's arguments or config that the codec cannot keep raises `UnencodableValueError`.
    """
    return {
        "format": _FORMAT,
        "version": FORMAT_VERSION,
        "flow_id": flow.flow_id,
        "timeout": flow.timeout,
        "isolate": flow.isolate,
        "flow_version": flow.version,
        "error_handler": _kept_handler(f"The flow {flow.flow_id!r}", flow.error_handler),
        "routines": [_kept_routine(routine_id, routine) for routine_id, routine in flow.routines.items()],
        "connections": [
            {"source": made.source, "target": made.target, "param_mapping": dict(made.param_mapping)}
            for made in flow.connections
        ],
    }


def _kept_routine(routine_id: str, routine: Routine) -> dict[str, Any]:
    where = f"The routine {routine_id!r}"
    codec = Codec()
    arguments, keywords = routine.constructor
    _check_rebuilt(where, routine, type(routine)(*arguments, **keywords))
    return {
        "id": routine_id,
        "class": _kept_class(where, type(routine)),
        "args": to_json(list(arguments), codec, path=f"{routine_id}.args"),
        "kwargs": to_json(dict(keywords), codec, path=f"{routine_id}.kwargs"),
        "config": to_json(dict(routine.config), codec, path=f"{routine_id}.config"),
        "concurrency": routine.concurrency,
        "ordered": routine.is_ordered,
        "timeout": routine.step_timeout,
        "error_handler": _kept_handler(where, routine.error_handler),
    }


def _check_rebuilt(where: str, routine: Routine, rebuilt: Routine) -> None:
    later = [f"slot {name!r}" for name in routine.slots if name not in rebuilt.slots]
    later += [f"event {name!r}" for name in routine.events if name not in rebuilt.events]
    if routine.logic is not None and rebuilt.logic is None:
        later.append("logic")
    policy = routine.activation_policy
    if policy is not None and not policy.is_like(rebuilt.activation_policy):
        later.append("activation policy")
    if later:
        raise UnkeepableFlowError(
            where,
            f"its {later[0]} was set after its construction",
            "Move that into the __init__ of its class.",
        )


def _kept_class(where: str, cls: type) -> str:
    found: object = sys.modules.get(cls.__module__)
    for name in cls.__qualname__.split("."):
        found = getattr(found, name, None)
    if found is not cls:
        raise UnkeepableFlowError(
            where, f"no import leads to {_path_of(cls)!r}", "Define that class at the top of a module."
        )
    return _path_of(cls)


def _path_of(cls: type) -> str:
    return f"{cls.__module__}:{cls.__qualname__}"


def _kept_handler(where: str, handler: ErrorHandler | None) -> dict[str, Any] | None:
    if handler is None:
        return None
    for exception in handler.retryable_exceptions:
        _kept_class(where, exception)
    return handler.to_dict()


class _Reader:
    """Reads one kept flow; whatever is wrong with it is a `FlowFileError` that names the source."""

    def __init__(self, source: str, allowed_modules: Sequence[str]) -> None:
        if isinstance(allowed_modules, str):
            remedy = f"Give a tuple of modules and packages: ({allowed_modules!r},)."
            raise OptionError("Reading a flow", "allowed_modules", allowed_modules, remedy)
        self._source = source
        self._allowed = tuple(allowed_modules)
        self._codec = Codec()

    def flow(self, data: object, cls: type[FlowT]) -> FlowT:
        if not isinstance(data, Mapping) or data.get("format") != _FORMAT:
            raise FlowFileError(self._source, "it does not hold a flow")
        if data.get("version") != FORMAT_VERSION:
            raise FlowFileError(
                self._source,
                f"its version {data.get('version')!r} is unknown",
                f"This release reads version {FORMAT_VERSION}; use the one that wrote it.",
            )
        try:
            return self._build(data, cls)
        except FlowFileError:
            raise
        except FlowForgeError as err:
            raise FlowFileError(self._source, f"it does not fit together ({err})", _CHANGED) from err

    def _build(self, data: Mapping[str, Any], cls: type[FlowT]) -> FlowT:
        self._check(data, "flow", _FLOW_FIELDS)
        handler = self._handler(data["error_handler"])
        # The first files do not name it.
        version = data.get("flow_version", 1)
        flow = cls(data["flow_id"], handler, data["timeout"], isolate=data["isolate"], version=version)
        for kept in data["routines"]:
            self._check(kept, "routine", _ROUTINE_FIELDS)
            flow.add_routine(self._routine(kept), kept["id"])
        for kept in data["connections"]:
            self._check(kept, "connection", _CONNECTION_FIELDS)
            flow.connect(kept["source"], kept["target"], param_mapping=kept["param_mapping"])
        return flow

    def _check(self, data: object, kind: str, fields: Mapping[str, tuple[type, ...]]) -> None:
        for name, types in fields.items():
            if not isinstance(data, Mapping) or name not in data or not isinstance(data[name], types):
                raise self._wrong(name, kind, data)

    def _wrong(self, name: str, kind: str, data: object) -> FlowFileError:
        return FlowFileError(self._source, f"the {name!r} of the {kind} {data!r} is missing or wrong")

    def _routine(self, kept: Mapping[str, Any]) -> Routine:
        cls = self._class(kept["class"], Routine)
        arguments, keywords = from_json(kept["args"], self._codec), self._keywords(kept, "kwargs")
        try:
            inspect.signature(cls.__init__).bind(None, *arguments, **keywords)
        except TypeError as err:
            reason = f"the arguments of {kept['id']!r} do not fit {kept['class']!r} ({err})"
            raise FlowFileError(self._source, reason, _CHANGED) from err
        routine = cls(*arguments, **keywords)
        routine.set_config(**self._keywords(kept, "config"))
        routine.set_concurrency(kept["concurrency"], ordered=kept["ordered"])
        routine.set_timeout(kept["timeout"])
        routine.error_handler = self._handler(kept["error_handler"])
        return routine

    def _keywords(self, kept: Mapping[str, Any], name: str) -> dict[str, Any]:
        values = from_json(kept[name], self._codec)
        if isinstance(values, dict) and all(isinstance(key, str) for key in values):
            return values
        raise self._wrong(name, "routine", kept)

    def _handler(self, kept: Mapping[str, Any] | None) -> ErrorHandler | None:
        if kept is None:
            return None
        names = kept.get("retryable_exceptions")
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            raise self._wrong("retryable_exceptions", "error handler", kept)
        return ErrorHandler.from_dict(kept, known=[self._class(name, BaseException) for name in names if ":" in name])

    def _class(self, path: str, base: type[ClassT]) -> type[ClassT]:
        module, _, qualified_name = path.partition(":")
        if not any(module == allowed or module.startswith(f"{allowed}.") for allowed in self._allowed):
            raise ForbiddenClassError(self._source, path, self._allowed)
        try:
            found: object = importlib.import_module(module)
        except ImportError as err:
            raise FlowFileError(self._source, f"the module of {path!r} cannot be imported ({err})", _CHANGED) from err
        for name in qualified_name.split("."):
            found = getattr(found, name, None)
        # Defined there, not just reachable from there: an allowed module does not allow what it imports.
        if isinstance(found, type) and issubclass(found, base) and _path_of(found) == path:
            return found
        raise FlowFileError(self._source, f"{path!r} is no class derived from {base.__name__}", _CHANGED)
