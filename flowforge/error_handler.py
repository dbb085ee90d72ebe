"""What to do about an error that a routine raised: the four strategies, and when to try again."""

import builtins
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from enum import StrEnum
from typing import Any, Self

from flowforge.option_checks import check_amount, check_share, check_whole_number
from flowforge.option_errors import OptionError, UnknownChoiceError, UnknownExceptionNameError

__all__ = ["Decision", "ErrorHandler", "ErrorStrategy", "strategy_from"]

_OWNER = "ErrorHandler"


class ErrorStrategy(StrEnum):
    """What becomes of the message whose step failed, and of its job."""

    STOP = "stop"
    """The message stays first in its mailbox; the job fails, and `resume` tries again."""
    CONTINUE = "continue"
    """The message becomes a dead letter and the error is recorded; the job goes on."""
    RETRY = "retry"
    """The message is tried again after a delay; the job goes on meanwhile."""
    SKIP = "skip"
    """The message becomes a dead letter; the job goes on."""


@dataclass(frozen=True, slots=True)
class Decision:
    """The answer to one failed attempt."""

    strategy: ErrorStrategy
    delay: float = 0.0
    """Seconds until the next attempt; 0 unless the strategy is RETRY."""


@dataclass(frozen=True, slots=True, init=False, repr=False)
class ErrorHandler:
    """How a routine, or every routine of a flow, answers errors; never changes, so threads may share it.

    A strategy may be given as a member, its value or its name. With RETRY, exceptions that are not retryable
    act as STOP, and so do exhausted retries unless `on_exhausted` says otherwise. Raises OptionError for
    options that make no sense.
    """

    strategy: ErrorStrategy
    max_retries: int
    """Further attempts after the first."""
    retry_delay: float
    """Seconds before the second attempt."""
    retry_backoff: float
    """Factor from each delay to the next."""
    max_delay: float
    """Seconds that no delay exceeds, jitter aside."""
    jitter: float
    """Largest share of a delay that chance adds to it, from 0 to 1."""
    retryable_exceptions: tuple[type[BaseException], ...]
    on_exhausted: ErrorStrategy
    """What follows the last failed retry."""

    def __init__(
        self,
        strategy: ErrorStrategy | str = ErrorStrategy.STOP,
        *,
        max_retries: int = 3,
        retry_delay: float = 1.0,
        retry_backoff: float = 2.0,
        max_delay: float = 60.0,
        jitter: float = 0.0,
        retryable_exceptions: type[BaseException] | Iterable[type[BaseException]] = (Exception,),
        on_exhausted: ErrorStrategy | str = ErrorStrategy.STOP,
    ) -> None:
        put = object.__setattr__
        put(self, "strategy", strategy_from(strategy, "strategy"))
        put(self, "max_retries", check_whole_number(_OWNER, "max_retries", max_retries, least=0))
        put(self, "retry_delay", check_amount(_OWNER, "retry_delay", retry_delay))
        put(self, "retry_backoff", check_amount(_OWNER, "retry_backoff", retry_backoff))
        put(self, "max_delay", check_amount(_OWNER, "max_delay", max_delay))
        put(self, "jitter", check_share(_OWNER, "jitter", jitter))
        put(self, "retryable_exceptions", _exception_classes(retryable_exceptions))
        put(self, "on_exhausted", _last_resort(on_exhausted))

    @classmethod
    def optional(cls, strategy: ErrorStrategy | str = ErrorStrategy.CONTINUE) -> Self:
        """The handler of a routine that its job can do without: errors never stop the job, retried or not."""
        chosen = strategy_from(strategy, "strategy")
        if chosen is ErrorStrategy.STOP:
            remedy = "Choose 'continue', 'skip' or 'retry'."
            raise OptionError("ErrorHandler.optional", "strategy", strategy, remedy)
        if chosen is ErrorStrategy.RETRY:
            return cls(chosen, retryable_exceptions=BaseException, on_exhausted=ErrorStrategy.CONTINUE)
        return cls(chosen)

    @classmethod
    def critical(cls, *, max_retries: int = 3, retry_delay: float = 1.0, retry_backoff: float = 2.0) -> Self:
        """The handler of a routine that must succeed: try again, then fail the job."""
        return cls(ErrorStrategy.RETRY, max_retries=max_retries, retry_delay=retry_delay, retry_backoff=retry_backoff)

    def decide(self, error: BaseException, failures: int, draw: float = 0.0) -> Decision:
        """What to do now that `failures` attempts (1 or more) have failed; `draw` is the jitter's, in [0, 1).

        Pure: equal arguments give equal decisions.
        """
        if self.strategy is not ErrorStrategy.RETRY:
            return Decision(self.strategy)
        if not isinstance(error, self.retryable_exceptions):
            return Decision(ErrorStrategy.STOP)
        if failures > self.max_retries:
            return Decision(self.on_exhausted)
        return Decision(ErrorStrategy.RETRY, self._delay_after(failures) * (1.0 + self.jitter * draw))

    def to_dict(self) -> dict[str, Any]:
        """Every option as plain data; exceptions as `Name` when built in, else as `module:Qualname`."""
        options: dict[str, Any] = {field.name: getattr(self, field.name) for field in fields(self)}
        options["strategy"] = self.strategy.value
        options["on_exhausted"] = self.on_exhausted.value
        options["retryable_exceptions"] = [_name_of(cls) for cls in self.retryable_exceptions]
        return options

    @classmethod
    def from_dict(cls, data: Mapping[str, Any], *, known: Iterable[type[BaseException]] = ()) -> Self:
        """What `to_dict` gave; options that are left out take their defaults.

        Nothing is imported: an exception class is built in or among `known`, else UnknownExceptionNameError.
        """
        options = dict(data)
        names = [field.name for field in fields(cls)]
        for option in options:
            if option not in names:
                raise UnknownChoiceError("ErrorHandler.from_dict", "option", option, names)
        exceptions = options.get("retryable_exceptions")
        if isinstance(exceptions, list | tuple):
            by_name = {_name_of(exception): exception for exception in known}
            options["retryable_exceptions"] = [_exception_named(name, by_name) for name in exceptions]
        return cls(**options)

    def __repr__(self) -> str:
        shown = [f"ErrorStrategy.{self.strategy.name}"]
        for field in fields(self)[1:]:
            value = getattr(self, field.name)
            if value != getattr(_DEFAULTS, field.name):
                shown.append(f"{field.name}={_shown(value)}")
        return f"{type(self).__name__}({', '.join(shown)})"

    def _delay_after(self, failures: int) -> float:
        try:
            delay = self.retry_delay * self.retry_backoff ** (failures - 1)
        except OverflowError:
            delay = self.retry_delay and math.inf
        return min(self.max_delay, delay)


def strategy_from(value: object, option: str, owner: str = _OWNER) -> ErrorStrategy:
    """The strategy that a member, its value or its name means; UnknownChoiceError lists the choices."""
    if isinstance(value, str) and value.lower() in _STRATEGIES:
        return ErrorStrategy(value.lower())
    raise UnknownChoiceError(owner, option, value, _STRATEGIES)


def _last_resort(value: ErrorStrategy | str) -> ErrorStrategy:
    chosen = strategy_from(value, "on_exhausted")
    if chosen is ErrorStrategy.RETRY:
        remedy = "Choose 'stop', 'continue' or 'skip', or raise max_retries."
        raise OptionError(_OWNER, "on_exhausted", value, remedy)
    return chosen


def _exception_classes(value: object) -> tuple[type[BaseException], ...]:
    classes: Iterable[object] = (value,)
    if isinstance(value, Iterable) and not isinstance(value, type | str):
        classes = value
    checked: list[type[BaseException]] = []
    for cls in classes:
        if not (isinstance(cls, type) and issubclass(cls, BaseException)):
            raise OptionError(_OWNER, "retryable_exceptions", cls, "Give exception classes.")
        checked.append(cls)
    return tuple(checked)


def _name_of(cls: type[BaseException]) -> str:
    return cls.__name__ if cls.__module__ == "builtins" else f"{cls.__module__}:{cls.__qualname__}"


def _exception_named(name: object, by_name: Mapping[str, type[BaseException]]) -> type[BaseException]:
    if isinstance(name, str) and name in by_name:
        return by_name[name]
    built_in = getattr(builtins, name, None) if isinstance(name, str) else None
    if isinstance(built_in, type) and issubclass(built_in, BaseException):
        return built_in
    raise UnknownExceptionNameError(name)


def _shown(value: object) -> str:
    if isinstance(value, ErrorStrategy):
        return f"ErrorStrategy.{value.name}"
    if isinstance(value, tuple):
        names = ", ".join(cls.__qualname__ for cls in value)
        return f"({names},)" if len(value) == 1 else f"({names})"
    return repr(value)


_STRATEGIES = tuple(strategy.value for strategy in ErrorStrategy)
_DEFAULTS = ErrorHandler()
