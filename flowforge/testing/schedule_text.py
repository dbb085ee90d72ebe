"""A schedule from its repr, as a command line gives it: read as data, so that no text runs code."""

from __future__ import annotations

import ast
import builtins
from collections.abc import Iterator
from typing import Any

from flowforge.errors import FlowForgeError
from flowforge.testing.schedule import Failure, Schedule
from flowforge.testing.simulation_errors import InjectedError

__all__ = ["ScheduleTextError", "schedule_from"]

_EXAMPLE = 'Schedule(hold=["merge.left"], swap=[(2, 1)], crash=[5], fail={("pay", 1): ValueError("no")})'


class ScheduleTextError(FlowForgeError, ValueError):
    """A text is not the repr of a schedule."""

    def __init__(self, text: str, why: str) -> None:
        remedy = f"Give one such as {_EXAMPLE}, with exceptions of Python, of FlowForge, or InjectedError."
        super().__init__(f"A schedule cannot be read from {text!r}: {why.rstrip('.')}. {remedy}")
        self.text = text
        self.why = why


def schedule_from(text: str) -> Schedule:
    """The schedule that has this repr, with or without `schedule=` before it.

    Exceptions are those of Python, those derived from FlowForgeError, and InjectedError, with plain values as
    arguments. ScheduleTextError for any other text.
    """
    try:
        call = ast.parse(text.strip().removeprefix("schedule="), mode="eval").body
        if not isinstance(call, ast.Call) or _name(call.func) != "Schedule":
            raise ScheduleTextError(text, "it is no call of Schedule")
        positional, named = _arguments(call, _value)
        return Schedule(*positional, **named)
    except ScheduleTextError:
        raise
    except SyntaxError as err:
        raise ScheduleTextError(text, err.msg) from err
    except (ValueError, TypeError, RecursionError, MemoryError) as err:
        raise ScheduleTextError(text, f"{err}" or type(err).__name__) from err


def _arguments(call: ast.Call, read: Any) -> tuple[list[Any], dict[str, Any]]:
    named = {}
    for keyword in call.keywords:
        if keyword.arg is None:
            raise ValueError("it holds **, which is more than data")
        named[keyword.arg] = read(keyword.value)
    return [read(argument) for argument in call.args], named


def _value(node: ast.expr) -> Any:
    """Plain data; the values of a dict may be exceptions."""
    if isinstance(node, ast.Dict):
        if None in node.keys:
            raise ValueError("it holds **, which is more than data")
        return {_literal(key): _failure(value) for key, value in zip(node.keys, node.values, strict=True) if key}
    return _literal(node)


def _literal(node: ast.expr) -> Any:
    try:
        return ast.literal_eval(node)
    except ValueError:
        raise ValueError(f"{ast.unparse(node)!r} is no plain value") from None


def _failure(node: ast.expr) -> Failure:
    if isinstance(node, ast.Call):
        positional, named = _arguments(node, _literal)
        exception = _exception_class(_name(node.func))
        try:
            return exception(*positional, **named)
        except Exception as err:  # a class of any kind may refuse its arguments in any way
            raise ValueError(f"{ast.unparse(node)!r} cannot be made: {err}") from err
    return _exception_class(_name(node))


def _name(node: ast.expr) -> str:
    return node.id if isinstance(node, ast.Name) else ast.unparse(node)


def _exception_class(name: str) -> type[Exception]:
    found = getattr(builtins, name, None)
    if isinstance(found, type) and issubclass(found, Exception):
        return found
    known: list[type[Exception]] = [InjectedError, *_derived_from(FlowForgeError)]
    for exception in known:
        if exception.__name__ == name:
            return exception
    raise ValueError(f"{name!r} is no exception that it may name")


def _derived_from(base: type[Exception]) -> Iterator[type[Exception]]:
    yield base
    for derived in base.__subclasses__():
        yield from _derived_from(derived)
