"""Checks of single options; each returns the value, or raises OptionError."""

import math
from datetime import datetime
from typing import TypeGuard

from flowforge.option_errors import OptionError

__all__ = [
    "check_amount",
    "check_name",
    "check_share",
    "check_whole_number",
    "instant_of",
    "is_amount",
    "is_positive",
]


def check_whole_number(owner: str, option: str, value: object, *, least: int) -> int:
    """`value` if it is an int of at least `least`."""
    if isinstance(value, int) and not isinstance(value, bool) and value >= least:
        return value
    raise OptionError(owner, option, value, f"Give a whole number, {least} or more.")


def check_amount(owner: str, option: str, value: object, *, is_zero_allowed: bool = True) -> float:
    """`value` as a float if it is finite and not negative."""
    if _is_number(value) and 0 <= value < math.inf and (value or is_zero_allowed):
        return float(value)
    bound = ", 0 or more" if is_zero_allowed else " above 0"
    raise OptionError(owner, option, value, f"Give a finite number{bound}.")


def check_share(owner: str, option: str, value: object) -> float:
    """`value` as a float if it is from 0 to 1."""
    if _is_number(value) and 0 <= value <= 1:
        return float(value)
    raise OptionError(owner, option, value, "Give a number from 0 to 1.")


def check_name(owner: str, option: str, value: object) -> str:
    """`value` if it is a text that is not empty."""
    if isinstance(value, str) and value:
        return value
    raise OptionError(owner, option, value, "Give a text that is not empty.")


def instant_of(owner: str, value: object) -> float:
    """Seconds since the epoch, of a finite number of them or of an aware datetime."""
    if isinstance(value, datetime) and value.tzinfo is not None:
        return value.timestamp()
    if _is_number(value) and math.isfinite(value):
        return float(value)
    raise OptionError(owner, "when", value, "Give a datetime with a time zone, or seconds since the epoch.")


def is_positive(value: object) -> bool:
    """Whether `value` is a finite number above 0."""
    return _is_number(value) and 0 < value < math.inf


def is_amount(value: object) -> bool:
    """Whether `value` is a finite number, 0 or more."""
    return _is_number(value) and 0 <= value < math.inf


def _is_number(value: object) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool)
