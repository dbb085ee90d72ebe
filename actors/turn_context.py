"""Whether the calling thread is inside a turn: there, waiting for another actor would eat the pool."""

import contextvars

__all__ = ["TURN_DEPTH", "is_inside_turn"]

TURN_DEPTH: contextvars.ContextVar[int] = contextvars.ContextVar("actors_turn_depth", default=0)


def is_inside_turn() -> bool:
    """Whether the caller runs inside a turn of some dispatcher, or in a coroutine that a turn started."""
    return TURN_DEPTH.get() > 0
