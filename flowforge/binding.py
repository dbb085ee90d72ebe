"""How a payload meets a handler: the handler's shape, and a call made for that shape."""

from __future__ import annotations

import enum
import functools
import inspect
from collections.abc import Callable, Collection
from dataclasses import dataclass
from operator import itemgetter
from types import CodeType, FunctionType, MethodType
from typing import Any, TypeAlias

from flowforge.graph_errors import HandlerNotCallableError, PayloadMismatchError

__all__ = [
    "Call",
    "Caller",
    "Handler",
    "HandlerKind",
    "HandlerShape",
    "Shapes",
    "check_parameters",
    "compile_call",
    "compile_caller",
    "handler_kind",
    "shape_of",
    "takes",
]

Handler: TypeAlias = Callable[..., object]
Call: TypeAlias = Callable[[dict[str, Any]], object]
Caller: TypeAlias = Callable[[Handler, dict[str, Any]], object]

_VARIABLE = {inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD}
_UNNAMED = ("",)


class HandlerKind(enum.Enum):
    """What calling a handler gives: its result, or something that has yet to be run."""

    PLAIN = "plain"
    GENERATOR = "generator"
    ASYNC = "async"
    ASYNC_GENERATOR = "async generator"


@dataclass(frozen=True, slots=True)
class HandlerShape:
    """What a handler can be called with; the same for every function made from the same code."""

    parameters: tuple[str, ...]
    """The names of all but `*args` and `**kwargs`, in order."""
    required: tuple[str, ...]
    positional: tuple[str, ...]
    """Those that may be given by position; the first ones of `parameters`."""
    positional_only: tuple[str, ...]
    takes_all: bool
    """Whether there is a `**kwargs`."""
    kind: HandlerKind

    @property
    def is_single(self) -> bool:
        """Whether there is exactly one parameter, which then takes any payload."""
        return len(self.parameters) == 1 and not self.takes_all


Shapes: TypeAlias = dict[tuple[CodeType, type], HandlerShape]
"""Shapes read before, by what decides them."""


def handler_kind(handler: Handler) -> HandlerKind:
    """Which kind `handler` is; looks through methods, partials and callable objects."""
    while isinstance(handler, functools.partial):
        handler = handler.func
    for function in (handler, getattr(handler, "__call__", None)):  # noqa: B004 - its code is wanted, not a yes or no
        if inspect.isasyncgenfunction(function):
            return HandlerKind.ASYNC_GENERATOR
        if inspect.iscoroutinefunction(function):
            return HandlerKind.ASYNC
        if inspect.isgeneratorfunction(function):
            return HandlerKind.GENERATOR
    return HandlerKind.PLAIN


def shape_of(handler: Handler, shapes: Shapes | None = None) -> HandlerShape:
    """Read the shape of `handler` from its signature; one that has none counts as a single parameter.

    `shapes`, if given, is asked first and told what was read. Raise `HandlerNotCallableError` for what is no
    function, method or callable object.
    """
    if not callable(handler):
        raise HandlerNotCallableError(handler)
    key = None if shapes is None else _shape_key(handler)
    if shapes is None or key is None:
        return _read_shape(handler)
    if key not in shapes:
        shapes[key] = _read_shape(handler)
    return shapes[key]


def _shape_key(handler: Handler) -> tuple[CodeType, type] | None:
    function: object = handler.__func__ if isinstance(handler, MethodType) else handler
    if not isinstance(function, FunctionType):
        function = getattr(type(handler), "__call__", None)  # noqa: B004 - its code is wanted, not a yes or no
        if not isinstance(function, FunctionType) or hasattr(handler, "__wrapped__"):
            return None
    # Attributes such as __wrapped__ can give two functions with the same code different shapes.
    return None if function.__dict__ else (function.__code__, type(handler))


def _read_shape(handler: Handler) -> HandlerShape:
    kind = handler_kind(handler)
    try:
        parameters = _parameters(handler)
    except (ValueError, TypeError):
        return HandlerShape(_UNNAMED, _UNNAMED, _UNNAMED, _UNNAMED, takes_all=False, kind=kind)
    named = [parameter for parameter in parameters if parameter.kind not in _VARIABLE]
    return HandlerShape(
        parameters=tuple(parameter.name for parameter in named),
        required=tuple(parameter.name for parameter in named if parameter.default is parameter.empty),
        positional=tuple(parameter.name for parameter in named if parameter.kind != parameter.KEYWORD_ONLY),
        positional_only=tuple(parameter.name for parameter in named if parameter.kind == parameter.POSITIONAL_ONLY),
        takes_all=any(parameter.kind == parameter.VAR_KEYWORD for parameter in parameters),
        kind=kind,
    )


def _parameters(handler: Handler) -> list[inspect.Parameter]:
    own = list(inspect.signature(handler, follow_wrapped=False).parameters.values())
    variable = {parameter.kind for parameter in own} & _VARIABLE
    if not variable or not hasattr(handler, "__wrapped__"):
        return own
    wrapped = list(inspect.signature(handler).parameters.values())
    if inspect.Parameter.VAR_POSITIONAL in variable:
        return wrapped
    # A decorator that passes on **kwargs alone cannot take by position what it wraps could.
    return [
        parameter.replace(kind=parameter.KEYWORD_ONLY)
        if parameter.kind == parameter.POSITIONAL_OR_KEYWORD
        else parameter
        for parameter in wrapped
    ]


def takes(function: object, count: int) -> bool:
    """Whether `function` can be called with `count` arguments by position, as far as its signature tells."""
    if not callable(function):
        return False
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):
        return True
    try:
        signature.bind(*range(count))
    except TypeError:
        return False
    return True


def check_parameters(shape: HandlerShape, keys: Collection[str]) -> list[str]:
    """List the required parameters that a payload with `keys` would leave without a value."""
    return [] if shape.is_single else [name for name in shape.required if name not in keys]


def compile_call(handler: Handler, shape: HandlerShape, where: str) -> Call:
    """Make the function that calls `handler` with a payload, which it does not change.

    `shape` must be the handler's, or that of a function with the same code. `where` names the slot in the
    `PayloadMismatchError` that the call raises for a payload that lacks a required parameter.
    """
    return MethodType(compile_caller(shape, where), handler)


def compile_caller(shape: HandlerShape, where: str) -> Caller:
    """Make the function that calls any handler of that shape with a payload, as `compile_call` does."""
    if shape.is_single:
        return _compile_single(shape)
    if not shape.parameters:
        return _call_with_all if shape.takes_all else _call_with_nothing
    if not shape.takes_all and shape.parameters == shape.required == shape.positional:
        return _compile_by_position(shape, where)
    if not shape.positional_only:
        return _compile_by_name(shape, where)
    return _compile_mixed(shape, where)


def _call_with_all(handler: Handler, payload: dict[str, Any]) -> object:
    return handler(**payload)


def _call_with_nothing(handler: Handler, _payload: dict[str, Any]) -> object:
    return handler()


def _compile_single(shape: HandlerShape) -> Caller:
    (name,) = shape.parameters
    has_default = not shape.required
    by_position = bool(shape.positional)

    def call(handler: Handler, payload: dict[str, Any]) -> object:
        if name in payload:
            return handler(payload[name]) if by_position else handler(**{name: payload[name]})
        if len(payload) == 1:
            (value,) = payload.values()
        elif has_default and not payload:
            return handler()
        else:
            # A copy, because the message may be needed as it was: for another attempt, or for the history.
            value = payload.copy()
        return handler(value) if by_position else handler(**{name: value})

    return call


def _compile_by_position(shape: HandlerShape, where: str) -> Caller:
    values = itemgetter(*shape.required)

    def call(handler: Handler, payload: dict[str, Any]) -> object:
        try:
            arguments = values(payload)
        except KeyError:
            raise _mismatch(shape, where, payload) from None
        return handler(*arguments)

    return call


def _compile_by_name(shape: HandlerShape, where: str) -> Caller:
    parameters, required, takes_all = shape.parameters, shape.required, shape.takes_all
    has_only_known_keys = frozenset(parameters).issuperset

    def call(handler: Handler, payload: dict[str, Any]) -> object:
        for name in required:
            if name not in payload:
                raise _mismatch(shape, where, payload)
        if takes_all or has_only_known_keys(payload):
            return handler(**payload)
        return handler(**{name: payload[name] for name in parameters if name in payload})

    return call


def _compile_mixed(shape: HandlerShape, where: str) -> Caller:
    first, rest = shape.positional_only, shape.parameters[len(shape.positional_only) :]

    def call(handler: Handler, payload: dict[str, Any]) -> object:
        if check_parameters(shape, payload):
            raise _mismatch(shape, where, payload)
        missing = [name for name in first if name not in payload]
        # From the handler itself: functions with the same code may have different defaults.
        known = inspect.signature(handler).parameters if missing else {}
        arguments = [payload[name] if name in payload else known[name].default for name in first]
        names = [name for name in payload if name not in first] if shape.takes_all else rest
        return handler(*arguments, **{name: payload[name] for name in names if name in payload})

    return call


def _mismatch(shape: HandlerShape, where: str, payload: dict[str, Any]) -> PayloadMismatchError:
    return PayloadMismatchError(where, shape.parameters, check_parameters(shape, payload), tuple(payload))
