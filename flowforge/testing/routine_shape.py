"""One routine of a random flow as a small value: what it does, how it fails, and how many of it there are."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from flowforge.error_handler import ErrorHandler
from flowforge.option_errors import UnknownChoiceError
from flowforge.stores.codec_types import payload

__all__ = ["ALWAYS", "ANSWERS", "KINDS", "MERGES", "POLICY_KINDS", "RoutineShape", "answer_of"]

POLICY_KINDS = ("immediate", "batch", "interval", "custom", "join")
"""The sorts of routines that have a logic, a policy and the slots `left` and `right`."""

KINDS = ("plain", "burst", "generator", "async", "async generator", "recorder", *POLICY_KINDS)
"""The sorts of routines; all but the last ones have a handler and the slot `input`."""

MERGES = ("override", "append", "add up")
"""The merge strategies of that slot; the last one is a function."""

ALWAYS = 1_000
"""So many failing attempts that no error handler of these flows goes on for so long."""

ANSWERS: Mapping[str, tuple[str, str]] = {
    "stop": ("stop", "stop"),
    "skip": ("skip", "stop"),
    "continue": ("continue", "stop"),
    "retry": ("retry", "stop"),
    "retry, then skip": ("retry", "skip"),
    "retry, then continue": ("retry", "continue"),
}
"""What a shape may say about errors: the strategy, and what follows exhausted retries."""

# Patient handlers outlast a pause in between, after which a failing routine begins to count anew.
_PATIENT, _IMPATIENT = 50, 2


@payload("flowforge.testing.RoutineShape")
@dataclass(frozen=True, repr=False)
class RoutineShape:
    """One routine of a `FlowShape`; its repr leaves out what is as usual, and can be pasted.

    Raises UnknownChoiceError for a kind, merge strategy or answer that there is not.
    """

    kind: str = "plain"
    """One of `KINDS`."""
    merge: str = "override"
    """One of `MERGES`; for the kinds with the only slot `input`."""
    fails_at: tuple[int, ...] = ()
    """The numbers at which it fails."""
    fails: int = ALWAYS
    """How many attempts at each of those fail."""
    on_error: str | None = None
    """One of `ANSWERS`; None leaves the answer to the flow."""
    retry_delay: float = 0.0
    """Seconds before each further attempt."""
    replicas: int = 1
    ordered: bool = True
    bound: int = 1000
    """The `max_queue_length` of its slots."""

    def __post_init__(self) -> None:
        choices = (("kind", KINDS), ("merge", MERGES), ("on_error", (None, *ANSWERS)))
        for option, known in choices:
            if getattr(self, option) not in known:
                raise UnknownChoiceError("RoutineShape", option, getattr(self, option), map(str, known))

    def __repr__(self) -> str:
        shown = [repr(self.kind)]
        for field in fields(self)[1:]:
            value = getattr(self, field.name)
            if value != field.default:
                shown.append(f"{field.name}={value!r}")
        return f"{type(self).__name__}({', '.join(shown)})"

    def _repr_pretty_(self, printer: Any, _is_cycle: object) -> None:
        # Hypothesis would print each field of a dataclass.
        printer.text(repr(self))

    @property
    def slots(self) -> tuple[str, ...]:
        """The names of its slots."""
        return ("left", "right") if self.kind in POLICY_KINDS else ("input",)

    @property
    def spreads(self) -> bool:
        """Whether it sends on each number from n down to 0, and not just n."""
        return self.kind in {"burst", "generator", "async generator"}

    @property
    def is_flaky(self) -> bool:
        """Whether each of its failures is followed by an attempt that succeeds."""
        return self.fails < ALWAYS and (self.on_error or "").startswith("retry")

    @property
    def max_retries(self) -> int:
        """How often its own error handler tries again, if it does."""
        return _PATIENT if self.is_flaky else _IMPATIENT

    def most_calls(self, n: int) -> int:
        """How many calls a message with the number `n` takes at the most, attempts and segments counted."""
        segments = n + 2 if "generator" in self.kind else 1
        numbers = range(n + 1) if "generator" in self.kind else (n,)
        return segments + min(self.fails, _IMPATIENT) * sum(number in self.fails_at for number in numbers)


def answer_of(answer: str, max_retries: int = _IMPATIENT, retry_delay: float = 0.0) -> ErrorHandler:
    """The error handler that one of `ANSWERS` stands for."""
    strategy, on_exhausted = ANSWERS[answer]
    return ErrorHandler(strategy, max_retries=max_retries, retry_delay=retry_delay, on_exhausted=on_exhausted)
