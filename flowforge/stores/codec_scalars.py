"""How values such as Decimal and datetime are kept as a text or a short list, in bytes and in JSON alike."""

import uuid
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta, timezone, tzinfo
from decimal import Decimal
from functools import partial
from typing import Any, TypeVar
from zoneinfo import ZoneInfo

__all__ = [
    "BIG_INT",
    "LOAD_ERRORS",
    "PLAIN_SCALARS",
    "SCALAR_FORMS",
    "SCALAR_FORMS_BY_CODE",
    "SCALAR_FORMS_BY_TAG",
    "RefusalError",
    "ScalarForm",
]

PLAIN_SCALARS = frozenset({type(None), bool, int, float, str, bytes})

_Moment = TypeVar("_Moment", datetime, time)

_MICROSECOND = timedelta(microseconds=1)


class RefusalError(Exception):
    """Why a value cannot be kept; internal, it becomes an UnencodableValueError with the path."""

    def __init__(self, reason: str, remedy: str) -> None:
        super().__init__(reason)
        self.reason = reason
        self.remedy = remedy


# What the constructors of these types raise for texts that are none of theirs; ZoneInfo adds the last two.
LOAD_ERRORS = (ValueError, TypeError, ArithmeticError, LookupError, OSError)


@dataclass(frozen=True, slots=True)
class ScalarForm:
    """One immutable type: its tag in JSON, its extension code in bytes, and the way there and back.

    `dump` gives a text or a list of texts and small numbers, or raises RefusalError. `load` raises one of
    LOAD_ERRORS for what `dump` cannot have written.
    """

    tag: str
    code: int
    dump: Callable[[Any], object]
    load: Callable[[Any], object]


def _text(plain: object) -> str:
    if type(plain) is not str:
        raise TypeError(f"expected a text, not {plain!r}")
    return plain


def _number(plain: object) -> int:
    if type(plain) is not int:
        raise TypeError(f"expected an integer, not {plain!r}")
    return plain


def _dump_zone(zone: tzinfo | None) -> object:
    if zone is None:
        return None
    if type(zone) is ZoneInfo and zone.key is not None:
        return zone.key
    if type(zone) is timezone:
        offset = zone.utcoffset(None)
        name = zone.tzname(None)
        return [offset // _MICROSECOND, None if name == timezone(offset).tzname(None) else name]
    kind = type(zone)
    raise RefusalError(
        f"has a time zone of the type {kind.__module__ + '.' + kind.__qualname__!r}",
        "Use datetime.timezone, or zoneinfo.ZoneInfo with a key.",
    )


def _load_zone(plain: object) -> tzinfo | None:
    if plain is None:
        return None
    if type(plain) is str:
        return ZoneInfo(plain)
    if type(plain) is not list:
        raise TypeError(f"expected a time zone, not {plain!r}")
    offset, name = plain
    span = timedelta(microseconds=_number(offset))
    return timezone(span) if name is None else timezone(span, _text(name))


def _dump_moment(value: datetime | time) -> object:
    zone = value.tzinfo
    if zone is None and not value.fold:
        return value.isoformat()
    return [value.replace(tzinfo=None).isoformat(), value.fold, _dump_zone(zone)]


def _load_moment(kind: type[_Moment], plain: object) -> _Moment:
    if type(plain) is list:
        text, fold, zone = plain
        return kind.fromisoformat(_text(text)).replace(tzinfo=_load_zone(zone), fold=_number(fold))
    return kind.fromisoformat(_text(plain))


def _dump_timedelta(value: timedelta) -> object:
    return [value.days, value.seconds, value.microseconds]


def _load_timedelta(plain: object) -> timedelta:
    if type(plain) is not list:
        raise TypeError(f"expected three numbers, not {plain!r}")
    days, seconds, microseconds = plain
    return timedelta(_number(days), _number(seconds), _number(microseconds))


# Codes are part of the stored format: a number is never given a second meaning.
BIG_INT = ScalarForm("int", 10, hex, lambda plain: int(_text(plain), 16))

SCALAR_FORMS: dict[type, ScalarForm] = {
    Decimal: ScalarForm("decimal", 4, str, lambda plain: Decimal(_text(plain))),
    datetime: ScalarForm("datetime", 5, _dump_moment, partial(_load_moment, datetime)),
    date: ScalarForm("date", 6, date.isoformat, lambda plain: date.fromisoformat(_text(plain))),
    time: ScalarForm("time", 7, _dump_moment, partial(_load_moment, time)),
    timedelta: ScalarForm("timedelta", 8, _dump_timedelta, _load_timedelta),
    uuid.UUID: ScalarForm("uuid", 9, str, lambda plain: uuid.UUID(_text(plain))),
}

_ALL = [BIG_INT, *SCALAR_FORMS.values()]
SCALAR_FORMS_BY_TAG: dict[str, ScalarForm] = {form.tag: form for form in _ALL}
SCALAR_FORMS_BY_CODE: dict[int, ScalarForm] = {form.code: form for form in _ALL}
