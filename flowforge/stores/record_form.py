"""Records as bytes: a version, the name of the record, and its fields in the order of its definition.

What users chose (payloads, states, shared data) is encoded by the codec, on its own, so that whoever only looks at a
log need not decode it. What is large can be put apart, so that it is kept once: the record then holds its digest. A
field that a later version adds stands last and has a default.

What a message has in common with its record, or with what the step was called with, is left out of it.
"""

from __future__ import annotations

import hashlib
from functools import partial
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from flowforge.records import (
    RECORD_VERSION,
    Delivery,
    Destination,
    ErrorInfo,
    FlowFingerprint,
    InitialState,
    Message,
    Output,
    Record,
    SharedChange,
    StepCommitted,
    Timer,
)
from flowforge.stores.codec_errors import DecodeError, MissingPartError
from flowforge.structs import Ext, MsgpackDecoder, MsgpackEncoder, MsgspecError, astuple, convert

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from flowforge.stores.codec import Codec

__all__ = ["decode_record", "digest_of_large", "digests_in", "encode_record", "is_record_of"]

_KINDS: list[type[Record]] = Record.__subclasses__()
_encode = MsgpackEncoder().encode
_decode = MsgpackDecoder().decode
_number = int.from_bytes

_LARGE = 1
"""The extension that stands for a value that is kept apart."""
_NOTHING: Mapping[bytes, bytes] = MappingProxyType({})
_EMPTY = ()
_SHORT = 6
"""How many parts a message has whose other fields are as those of most."""

_Parts = list[Any]
"""What a value of ours becomes: what MessagePack has a form of."""


def encode_record(record: Record, codec: Codec, apart: dict[bytes, bytes] | None = None, most: int = 0) -> bytes:
    """The bytes of a record; UnencodableValueError for a value that the codec cannot keep.

    Values of more than `most` bytes come into `apart`, if given, by their digests.
    """
    kind = type(record)
    parts = list(astuple(record))
    writer = _Writer(codec.encode if apart is None else partial(_parted, codec, apart, most), record.at)
    for index, write in _WRITES[kind]:
        # An identity, for there is one empty tuple, and most fields of most records are that.
        if (part := parts[index]) is not _EMPTY:
            parts[index] = write(writer, part)
    return _encode([RECORD_VERSION, kind.__name__, parts])


def decode_record(
    data: bytes, job: str, codec: Codec, apart: Mapping[bytes, bytes] = _NOTHING, *, is_bare: bool = False
) -> Record:
    """The record of a job that became those bytes, and what came `apart`; DecodeError for any others.

    If it is to be bare, what a step was called with has no payload, which is not even looked at.
    """
    name, index = "", -1
    names: tuple[str, ...] = ()
    try:
        version, name, parts = _decode(data)
        if version != RECORD_VERSION:
            raise DecodeError(f"it is a record of version {version!r}", "Read it with the program that wrote it.")
        kind, names, reads = _READS[name]
        reader = _Reader(job, codec, apart, parts[1], is_bare=is_bare)
        for index, read in reads:
            if index < len(parts) and (part := parts[index]) is not None:
                parts[index] = read(reader, part) if part else _EMPTY
        if kind is StepCommitted:
            return StepCommitted(*parts[: len(names)])
        return kind(**dict(zip(names, parts, strict=False)))
    except DecodeError as err:
        if index >= 0:
            err.at(f"the field {names[index]!r} in a record {name!r} of the job {job!r}")
        raise
    except (MsgspecError, TypeError, ValueError, KeyError, IndexError) as err:
        raise DecodeError(f"it is no record of a job ({err})") from err


def _parted(codec: Codec, apart: dict[bytes, bytes], most: int, value: object) -> bytes | Ext:
    data = codec.encode(value)
    if len(data) <= most:
        return data
    digest = digest_of_large(data)
    apart[digest] = data
    return Ext(_LARGE, digest)


def digests_in(data: bytes) -> set[bytes]:
    """The digests of what was put apart from a record with those bytes; DecodeError for what is none."""
    try:
        waiting = [_decode(data)]
    except MsgspecError as err:
        raise DecodeError(f"it is no record of a job ({err})") from err
    found: set[bytes] = set()
    while waiting:
        part = waiting.pop()
        if type(part) is list:
            waiting += part
        elif type(part) is Ext:
            found.add(bytes(part.data))
    return found


def digest_of_large(data: bytes) -> bytes:
    """What a value that is kept apart is known by."""
    return hashlib.blake2b(data, digest_size=16).digest()


def is_record_of(data: bytes, kind: type[Record]) -> bool:
    """Whether those bytes are a record of that kind, as far as its name tells."""
    return data.startswith(_BEGINNINGS[kind])


class _Writer:
    """Has a method for each field of a record that is not plain, of the field's name."""

    __slots__ = ("cause", "instant", "root", "value")

    def __init__(self, value: Callable[[Any], bytes | Ext], at: float) -> None:
        self.value = value
        self.instant = at
        self.cause = self.root = 0

    def message(self, message: Message) -> _Parts:
        number, _, source, payload, at, correlation, causation, attempt, progress, trace, key, is_merged = astuple(
            message
        )
        parts = [
            number.to_bytes(16),
            source,
            self.value(payload),
            None if at == self.instant else at,
            None if correlation == self.root else correlation.to_bytes(16),
            None if causation == self.cause else causation.to_bytes(16),
        ]
        if attempt or progress or is_merged or trace is not None or key is not None:
            parts += attempt, progress, trace, key, is_merged
        return parts

    def messages(self, messages: Iterable[Message]) -> _Parts:
        return list(map(self.message, messages))

    def consumed(self, messages: Sequence[Message]) -> _Parts:
        parts = self.messages(messages)
        first = messages[0]
        self.cause, self.root = first.id, first.correlation or first.id
        return parts

    def delivery(self, delivery: Delivery) -> _Parts:
        to = delivery.to
        return [to.routine, to.slot, self.message(delivery.message)]

    def deliveries(self, deliveries: Iterable[Delivery]) -> _Parts:
        return list(map(self.delivery, deliveries))

    def timers(self, timers: Iterable[Timer]) -> _Parts:
        return [
            [
                timer.id.to_bytes(16),
                timer.routine,
                timer.due,
                timer.delay,
                self.deliveries(() if timer.delivery is None else (timer.delivery,)),
                self.outputs(() if timer.output is None else (timer.output,)),
            ]
            for timer in timers
        ]

    def timer(self, number: int) -> bytes:
        return number.to_bytes(16)

    suspect = timer

    def outputs(self, outputs: Iterable[Output]) -> _Parts:
        return [[output.name, self.value(output.payload), output.is_event] for output in outputs]

    def shared(self, changes: Iterable[SharedChange]) -> _Parts:
        return [[change.key, self.value(change.value), change.is_deleted] for change in changes]

    def initial(self, states: Iterable[InitialState]) -> _Parts:
        return [[initial.routine, initial.replica, self.value(initial.state)] for initial in states]

    def error(self, error: ErrorInfo | None) -> _Parts | None:
        return None if error is None else [error.type, error.text, error.traceback, error.cause]

    def state(self, ops: Sequence[tuple[Any, ...]]) -> bytes | Ext:
        # As lists, for the codec has a form of its own for tuples, which takes longer.
        return self.value([[kind, list(path), *rest] for kind, path, *rest in ops])

    def shared_log(self, values: Sequence[Any]) -> bytes | Ext:
        return self.value(list(values))

    def checkpoint(self, value: object) -> bytes | Ext:
        return self.value(value)


class _Reader:
    """The way back, with the same names."""

    __slots__ = ("apart", "cause", "codec", "instant", "is_bare", "job", "root")

    def __init__(self, job: str, codec: Codec, apart: Mapping[bytes, bytes], at: float, *, is_bare: bool) -> None:
        self.job = job
        self.codec = codec
        self.apart = apart
        self.instant = at
        self.is_bare = is_bare
        self.cause = self.root = 0

    def value(self, part: bytes | Ext) -> Any:
        if not isinstance(part, Ext):
            return self.codec.decode(part)
        data = self.apart.get(bytes(part.data)) if part.code == _LARGE else None
        if data is None:
            raise MissingPartError
        return self.codec.decode(data)

    def message(self, parts: _Parts) -> Message:
        number, source, payload, at, correlation, causation = parts[:6]
        first = (
            _number(number),
            self.job,
            source,
            self.value(payload),
            self.instant if at is None else at,
            self.root if correlation is None else _number(correlation),
            self.cause if causation is None else _number(causation),
        )
        return Message(*first) if len(parts) == _SHORT else Message(*first, *parts[6:])

    def consumed(self, parts: _Parts) -> tuple[Message, ...]:
        messages = tuple([self.bare(part) for part in parts]) if self.is_bare else self.messages(parts)
        first = messages[0]
        self.cause, self.root = first.id, first.correlation or first.id
        return messages

    def bare(self, parts: _Parts) -> Message:
        number, source, _, _, correlation = parts[:5]
        root = 0 if correlation is None else _number(correlation)
        if len(parts) == _SHORT:
            return Message(_number(number), self.job, source, {}, self.instant, root)
        return Message(_number(number), self.job, source, {}, self.instant, root, 0, *parts[6:])

    def messages(self, parts: _Parts) -> tuple[Message, ...]:
        return tuple([self.message(part) for part in parts])

    def delivery(self, parts: _Parts) -> Delivery:
        routine, slot, message = parts
        return Delivery(Destination(routine, slot), self.message(message))

    def deliveries(self, parts: _Parts) -> tuple[Delivery, ...]:
        return tuple([self.delivery(part) for part in parts])

    def timers(self, parts: _Parts) -> tuple[Timer, ...]:
        return tuple(
            [
                Timer(
                    _number(number),
                    routine,
                    due,
                    delay,
                    *(self.deliveries(deliveries) or (None,)),
                    *(self.outputs(outputs) or (None,)),
                )
                for number, routine, due, delay, deliveries, outputs in parts
            ]
        )

    def timer(self, data: bytes) -> int:
        return _number(data)

    suspect = timer

    def outputs(self, parts: _Parts) -> tuple[Output, ...]:
        return tuple([Output(name, self.value(payload), is_event) for name, payload, is_event in parts])

    def shared(self, parts: _Parts) -> tuple[SharedChange, ...]:
        return tuple([SharedChange(key, self.value(value), is_deleted) for key, value, is_deleted in parts])

    def initial(self, parts: _Parts) -> tuple[InitialState, ...]:
        return tuple([InitialState(routine, replica, self.value(state)) for routine, replica, state in parts])

    def error(self, parts: _Parts) -> ErrorInfo:
        return ErrorInfo(*parts)

    def slots(self, parts: _Parts) -> tuple[str, ...]:
        return tuple(parts)

    def state(self, data: bytes | Ext) -> tuple[Any, ...]:
        return tuple([(kind, tuple(path), *rest) for kind, path, *rest in self.value(data)])

    def shared_log(self, data: bytes | Ext) -> tuple[Any, ...]:
        return tuple(self.value(data))

    def fingerprint(self, parts: _Parts) -> FlowFingerprint:
        return convert(parts, FlowFingerprint)

    def checkpoint(self, data: bytes | Ext) -> Any:
        return self.value(data)


def _form_of(kind: type[Record], field: str) -> str:
    """Which method writes a field of such a record, and which reads it, if any does."""
    return "consumed" if kind is StepCommitted and field == "messages" else field


def _writes(kind: type[Record]) -> list[tuple[int, Callable[[_Writer, Any], object]]]:
    """Which fields of a record have to be written how."""
    forms = [getattr(_Writer, _form_of(kind, name), None) for name in kind.__struct_fields__]
    return [(index, form) for index, form in enumerate(forms) if form is not None]


def _reads(kind: type[Record]) -> list[tuple[int, Callable[[_Reader, Any], object]]]:
    """The way back."""
    forms = [getattr(_Reader, _form_of(kind, name), None) for name in kind.__struct_fields__]
    return [(index, form) for index, form in enumerate(forms) if form is not None]


_WRITES = {kind: _writes(kind) for kind in _KINDS}
_READS = {kind.__name__: (kind, kind.__struct_fields__, _reads(kind)) for kind in _KINDS}
_BEGINNINGS = {kind: _encode([RECORD_VERSION, kind.__name__, 0])[:-1] for kind in _KINDS}
