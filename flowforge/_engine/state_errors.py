"""What changing a routine's state can raise."""

from __future__ import annotations

from flowforge.errors import FlowForgeError

__all__ = [
    "InvalidStateKeyError",
    "StateChangedOutsideStepError",
    "StateContainsItselfError",
    "StateTooDeepError",
]


class StateChangedOutsideStepError(FlowForgeError):
    """State was changed while no step of its routine was running. Nothing was changed."""

    def __init__(self, path: str) -> None:
        super().__init__(
            f"{path!r} was changed outside a step. Change state inside a handler, "
            "or take a copy first with dict(), list() or set()."
        )
        self.path = path


class StateContainsItselfError(FlowForgeError, ValueError):
    """A container put into the state leads back to itself."""

    def __init__(self, path: str) -> None:
        super().__init__(f"{path!r} contains itself. Keep a key or an id in place of the container that leads back.")
        self.path = path


class StateTooDeepError(FlowForgeError, ValueError):
    """A container put into the state is nested deeper than the codec can keep."""

    def __init__(self, path: str, limit: int) -> None:
        super().__init__(f"{path!r} is nested deeper than {limit!r} levels. Keep a flat dict keyed by id instead.")
        self.path = path
        self.limit = limit


class InvalidStateKeyError(FlowForgeError, ValueError):
    """A dict key in the state that does not equal itself, such as NaN, and so cannot be found again."""

    def __init__(self, path: str, key: object) -> None:
        super().__init__(f"The key {key!r} of {path!r} does not equal itself. Use a key that can be looked up again.")
        self.path = path
        self.key = key
