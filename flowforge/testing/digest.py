"""A fingerprint of what happened: the same for two runs that did the same, in whatever process."""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING, Any

from flowforge.records import ErrorInfo, StepCommitted, StepFailed
from flowforge.stores.codec_errors import UnencodableValueError
from flowforge.structs import Struct

if TYPE_CHECKING:
    from collections.abc import Iterable

    from flowforge.records import Record
    from flowforge.stores.codec import Codec

__all__ = ["digest_of", "first_difference", "form_of", "told_difference"]

_SHOWN = 80
_ADDRESS = re.compile(r"0x[0-9a-fA-F]+")


def digest_of(records: Iterable[tuple[str, Record]], codec: Codec) -> str:
    """The fingerprint of a log, 32 hexadecimal digits."""
    digest = hashlib.blake2b(digest_size=16)
    for job, record in records:
        digest.update(job.encode("utf-8", "surrogatepass") + form_of(record, codec))
    return digest.hexdigest()


def form_of(record: Record, codec: Codec) -> bytes:
    """The bytes of what a record tells, the order of sets and dicts, addresses and tracebacks left out."""
    return codec.canonical(_plain([type(record).__name__, *_values(record)], codec))


def first_difference(
    one: list[tuple[str, Record]], other: list[tuple[str, Record]], codec: Codec
) -> tuple[int, Record | None, Record | None] | None:
    """Where two logs part: the index, and the record of each there; None if they are the same."""
    for index in range(max(len(one), len(other))):
        first = one[index][1] if index < len(one) else None
        second = other[index][1] if index < len(other) else None
        if first is None or second is None or form_of(first, codec) != form_of(second, codec):
            return index, first, second
    return None


def told_difference(index: int, one: Record | None, other: Record | None) -> tuple[str, str]:
    """Where two logs part, and how, as phrases."""
    known = one or other
    step = f" (a step of {known.routine!r})" if isinstance(known, StepCommitted | StepFailed) else ""
    where = f"at record {index + 1}{step}"
    if one is None or other is None:
        return where, "one run ends there"
    if type(one) is not type(other):
        return where, f"{type(one).__name__} in one, {type(other).__name__} in the other"
    for name in one.__struct_fields__:
        first, second = getattr(one, name), getattr(other, name)
        if first != second:
            return where, f"{name} is {_part(first, second)} in one and {_part(second, first)} in the other"
    return where, "the two are equal, but for what cannot be compared"


def _part(value: Any, other: Any) -> str:
    """The text of a value, or, of a long one, the part where it differs from the other's."""
    text, others = repr(value), repr(other)
    if len(text) <= _SHOWN:
        return text
    start = max(0, next((i for i, (a, b) in enumerate(zip(text, others, strict=False)) if a != b), 0) - _SHOWN // 2)
    return f"{'...' if start else ''}{text[start : start + _SHOWN]}{'...' if start + _SHOWN < len(text) else ''}"


def _values(record: Struct) -> list[Any]:
    return [getattr(record, name) for name in record.__struct_fields__]


def _plain(value: Any, codec: Codec) -> Any:
    if isinstance(value, ErrorInfo):
        return [value.type, _ADDRESS.sub("0x", value.text)]
    if type(value) in {list, tuple}:
        return [_plain(item, codec) for item in value]
    if isinstance(value, Struct) and type(value).__module__ == ErrorInfo.__module__:
        return _plain(_values(value), codec)
    try:
        return codec.canonical(value)
    except UnencodableValueError:
        # A payload in memory may be anything; then only its shape counts.
        return (
            _ADDRESS.sub("0x", repr({key: type(item).__name__ for key, item in value.items()}))
            if isinstance(value, dict)
            else type(value).__name__
        )
