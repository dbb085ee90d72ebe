"""What goes wrong with a RoutineTester, as opposed to the routine in it."""

from flowforge.errors import FlowForgeError
from flowforge.records import ErrorInfo

__all__ = ["EndlessRoutineError", "RoutineStoppedError", "RoutineTesterEndedError"]


class RoutineStoppedError(FlowForgeError):
    """A routine was called after an error that its error handler answered with STOP."""

    def __init__(self, routine: str, error: ErrorInfo) -> None:
        text = f"{error.type}: {error.text}"
        super().__init__(
            f"The routine {routine!r} was stopped by {text!r}, so it takes no more calls. "
            "Give it an error handler that goes on, such as set_as_optional(), or make another RoutineTester."
        )
        self.routine = routine
        self.error = error


class RoutineTesterEndedError(FlowForgeError):
    """A routine was called after its tester was drained or closed, or its job was paused or cancelled."""

    def __init__(self, routine: str, status: str) -> None:
        status = str(status)
        super().__init__(
            f"The tester of the routine {routine!r} has ended with its job {status!r}, so it takes no more calls. "
            "Make another RoutineTester."
        )
        self.routine = routine
        self.status = status


class EndlessRoutineError(FlowForgeError):
    """A routine did not come to rest."""

    def __init__(self, routine: str, max_turns: int) -> None:
        super().__init__(
            f"The routine {routine!r} still ran after {max_turns!r} turns. "
            "Let its handler end, or give the RoutineTester a larger max_turns."
        )
        self.routine = routine
        self.max_turns = max_turns
