"""The delta of one step's state, and how it is applied to a plain tree (which is how state is recovered)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Literal, TypeAlias

from flowforge._engine.journal import Path
from flowforge._engine.tracked_plain import plain_copy

__all__ = ["StateOp", "apply"]

StateOp: TypeAlias = (
    tuple[Literal["set"], Path, Any] | tuple[Literal["del"], Path] | tuple[Literal["append"], Path, list[Any]]
)


def apply(tree: dict[Any, Any], ops: Iterable[StateOp]) -> None:
    """Change a plain tree as the step that returned `ops` changed the state, key order included.

    The tree takes copies of the containers in `ops`, so the same ops can be applied again elsewhere.
    """
    for op in ops:
        holder: Any = tree
        *way, key = op[1]
        for step in way:
            holder = holder[step]
        if op[0] == "set":
            holder[key] = plain_copy(op[2])
        elif op[0] == "append":
            holder[key].extend(plain_copy(op[2]))
        else:
            del holder[key]
