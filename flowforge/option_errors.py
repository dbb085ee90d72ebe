"""What is raised for options that make no sense, and for answers that a policy may not give."""

from collections.abc import Iterable

from flowforge.errors import FlowForgeError

__all__ = [
    "OptionError",
    "OutputWaitError",
    "PolicyAnswerError",
    "UnknownChoiceError",
    "UnknownExceptionNameError",
    "UnknownPolicySlotError",
]


class OptionError(FlowForgeError, ValueError):
    """Something was built with an option that it cannot take."""

    def __init__(self, owner: str, option: str, value: object, remedy: str) -> None:
        super().__init__(f"{owner} cannot take {option}={value!r}. {remedy}")
        self.owner = owner
        self.option = option
        self.value = value


class UnknownChoiceError(OptionError):
    """An option names none of its choices."""

    def __init__(self, owner: str, option: str, value: object, choices: Iterable[str]) -> None:
        self.choices = tuple(choices)
        super().__init__(owner, option, value, f"Choose one of {', '.join(map(repr, self.choices))}.")


class UnknownExceptionNameError(FlowForgeError, LookupError):
    """A stored error handler names an exception class that is neither built in nor known to the reader."""

    def __init__(self, exception_name: object) -> None:
        super().__init__(
            f"The exception class {exception_name!r} is not built in and not among the known ones. "
            "Pass the class itself in `known`."
        )
        self.exception_name = exception_name


class OutputWaitError(FlowForgeError):
    """An output handler waited for the thread that it runs on."""

    def __init__(self, pump: str) -> None:
        super().__init__(
            f"An output handler of {pump!r} waits for its own thread to finish. "
            "Flush or close outputs from another thread."
        )
        self.pump = pump


class PolicyAnswerError(FlowForgeError):
    """An activation policy answered with something that cannot be carried out; nothing was taken."""

    def __init__(self, policy: str, answer: object, remedy: str) -> None:
        super().__init__(f"The activation policy {policy!r} answered {answer!r}. {remedy}")
        self.policy = policy
        self.answer = answer


class UnknownPolicySlotError(FlowForgeError, LookupError):
    """An activation policy counts in a slot that its routine does not have."""

    def __init__(self, policy: str, slot: str, slots: Iterable[str]) -> None:
        self.slots = tuple(slots)
        choices = ", ".join(map(repr, self.slots)) or "none"
        super().__init__(
            f"The activation policy {policy!r} needs a slot {slot!r}, which its routine does not have. "
            f"Its slots are: {choices}."
        )
        self.policy = policy
        self.slot = slot
