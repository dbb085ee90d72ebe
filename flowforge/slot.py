"""Where a routine receives payloads."""

import copy
from collections.abc import Callable
from typing import Any, Self, TypeAlias

from flowforge.binding import Handler, HandlerShape, Shapes, shape_of
from flowforge.graph_errors import MergeResultError, UnknownMergeStrategyError
from flowforge.names import check_name
from flowforge.option_errors import OptionError

__all__ = ["MergeStrategy", "Slot"]

MergeStrategy: TypeAlias = str | Callable[[dict[str, Any] | None, dict[str, Any]], dict[str, Any]]
"""`"override"`, `"append"`, or a pure function (what was merged so far or None, new payload) -> merged."""

_STRATEGY_NAMES = frozenset({"override", "append"})


class Slot:
    """A named input of a routine, with the handler that its payloads meet.

    `max_queue_length` bounds the waiting messages; from the share `watermark` of it on, senders get no turns.
    `shapes` remembers the shapes of handlers, for slots that are defined again and again.
    The constructor raises for every argument that cannot work; nothing is checked afterwards.
    """

    __slots__ = ("handler", "max_queue_length", "merge_strategy", "name", "routine_id", "shape", "watermark")

    def __init__(
        self,
        name: str,
        handler: Handler | None = None,
        merge_strategy: MergeStrategy = "override",
        max_queue_length: int = 1000,
        watermark: float = 0.8,
        *,
        shapes: Shapes | None = None,
    ) -> None:
        self.name = check_name("slot name", name)
        self.handler = handler
        self.shape: HandlerShape | None = None if handler is None else shape_of(handler, shapes)
        self.merge_strategy = merge_strategy
        self.max_queue_length = max_queue_length
        self.watermark = watermark
        self.routine_id: str | None = None
        _check_strategy(merge_strategy)
        _check_bounds(f"The slot {name!r}", max_queue_length, watermark)

    def with_handler(self, handler: Handler | None) -> Self:
        """Return a slot like this one that calls `handler`, which must have the same shape as its own."""
        slot = copy.copy(self)
        slot.handler = handler
        return slot

    def merge(self, old: dict[str, Any] | None, new: dict[str, Any]) -> dict[str, Any]:
        """Combine what was merged so far with a new payload; neither is changed.

        Raise `MergeResultError` if the slot's merge function returns no dict.
        """
        if self.merge_strategy == "override":
            return new
        if self.merge_strategy == "append":
            gathered: dict[str, Any] = {} if old is None else old
            return gathered | {key: [*gathered.get(key, ()), value] for key, value in new.items()}
        assert callable(self.merge_strategy)
        merged = self.merge_strategy(old, new)
        if not isinstance(merged, dict):
            raise MergeResultError(self.name, merged)
        return merged

    def __repr__(self) -> str:
        owner = "" if self.routine_id is None else f"{self.routine_id}."
        return f"<Slot {owner}{self.name}>"


def _check_strategy(strategy: object) -> None:
    if not callable(strategy) and not (isinstance(strategy, str) and strategy in _STRATEGY_NAMES):
        raise UnknownMergeStrategyError(strategy)


def _check_bounds(owner: str, max_queue_length: object, watermark: object) -> None:
    if type(max_queue_length) is not int or max_queue_length < 1:
        raise OptionError(owner, "max_queue_length", max_queue_length, "Give a whole number, 1 or more.")
    if not (isinstance(watermark, int | float) and 0 < watermark <= 1) or watermark is True:
        raise OptionError(owner, "watermark", watermark, "Give a number above 0, at most 1.")
