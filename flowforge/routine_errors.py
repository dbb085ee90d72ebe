"""What goes wrong when a routine is defined, or used outside the step that it belongs to."""

from flowforge.errors import FlowForgeError

__all__ = [
    "AbandonedStepError",
    "AttributeSetInStepError",
    "DefinedInStepError",
    "DuplicateNameError",
    "ForeignStateError",
    "ForeignStepError",
    "OutsideStepError",
    "RoutineOptionError",
    "UninitialisedRoutineError",
]


class AbandonedStepError(FlowForgeError):
    """A step that was given up although it still runs asked for something that takes effect with its commit."""

    def __init__(self, routine: str) -> None:
        super().__init__(
            f"The step of the routine {routine!r} was given up, for its time was over, and commits nothing any more. "
            f"Look at self.cancelled in a long handler, or give it more time by set_timeout."
        )
        self.routine = routine


class DuplicateNameError(FlowForgeError):
    """A routine was given two slots or two events of one name."""

    def __init__(self, kind: str, name: str, routine: str) -> None:
        super().__init__(f"The routine {routine!r} already has {kind} {name!r}. Give the second one another name.")
        self.kind = kind
        self.name = name


class OutsideStepError(FlowForgeError):
    """Something that takes effect with a step was used where no step is, or after it ended."""

    def __init__(self, what: str, routine: str, remedy: str) -> None:
        super().__init__(f"{what} of the routine {routine!r} was used outside a step. {remedy}")
        self.what = what
        self.routine = routine


class ForeignStepError(FlowForgeError):
    """A handler emitted through a routine that is not its own."""

    def __init__(self, event: str, routine: str, current: str) -> None:
        super().__init__(
            f"The event {event!r} of the routine {routine!r} was emitted inside a step of {current!r}. "
            f"Emit an event of {current!r} and connect it to the slot that should receive it."
        )
        self.event = event
        self.routine = routine
        self.current = current


class AttributeSetInStepError(FlowForgeError):
    """A handler assigned an attribute of its routine, which could be neither rolled back nor kept."""

    def __init__(self, attribute: str, routine: str) -> None:
        super().__init__(
            f"The attribute {attribute!r} of the routine {routine!r} was assigned inside a step. Keep what counts in "
            f"self.state[{attribute!r}], or name it in a class-level transient = {{{attribute!r}}} "
            f"if it may be lost and must not be rolled back."
        )
        self.attribute = attribute
        self.routine = routine


class ForeignStateError(FlowForgeError):
    """A step changed the state of a routine that is not its own."""

    def __init__(self, routine: str, current: str) -> None:
        super().__init__(
            f"The state of the routine {routine!r} was changed inside a step of {current!r}. "
            "Use shared_data for what routines share."
        )
        self.routine = routine
        self.current = current


class DefinedInStepError(FlowForgeError):
    """A handler changed what its routine is, which no rollback would put back."""

    def __init__(self, what: str, routine: str) -> None:
        super().__init__(f"{what} of the routine {routine!r} was called inside a step. Call it in the constructor.")
        self.what = what
        self.routine = routine


class UninitialisedRoutineError(FlowForgeError):
    """The constructor of a routine did not call the one it overrides."""

    def __init__(self, name: str) -> None:
        super().__init__(
            f"The constructor of {name!r} did not call Routine's. Begin its __init__ with super().__init__()."
        )
        self.name = name


class RoutineOptionError(FlowForgeError, ValueError):
    """An option of a routine has a value that it cannot have."""

    def __init__(self, option: str, value: object, routine: str, remedy: str) -> None:
        super().__init__(f"The {option} of the routine {routine!r} cannot be {value!r}. {remedy}")
        self.option = option
        self.value = value
