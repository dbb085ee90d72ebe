"""Whether what was emitted stays as it was: payloads are passed by reference, so a handler could change them later."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from flowforge.records import (
    DeadLetterRequeued,
    Delivery,
    MessageGivenUp,
    MessagePosted,
    StepCommitted,
    TimerFired,
)
from flowforge.stores.codec import Codec
from flowforge.stores.codec_errors import UnencodableValueError
from flowforge.stores.codec_scalars import PLAIN_SCALARS

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from flowforge.records import Record

__all__ = ["Breach", "PayloadWatch", "WatchedCodec"]


class Breach(NamedTuple):
    """A payload that was changed after it was committed."""

    what: str
    emitted: str
    """By which step it was emitted."""
    changed: str
    """In what it was changed, as far as that is known."""


class _Watched(NamedTuple):
    source: str
    emitted: str
    values: list[tuple[str, Any, bytes]]
    """The values that can change in place, and what they were."""

    def changed(self, codec: Codec) -> str | None:
        """The key of a value that is not what it was."""
        for key, value, before in self.values:
            try:
                if codec.encode(value) == before:
                    continue
            except UnencodableValueError:
                pass
            return key
        return None


class PayloadWatch:
    """Looks at the payloads of messages until they are consumed, and at outputs until the end."""

    def __init__(self, codec: Codec) -> None:
        self.breach: Breach | None = None
        """The first that was found."""
        self._codec = codec
        self._emitted: dict[int, tuple[dict[str, Any], list[tuple[str, Any, bytes]]]] = {}
        """The payloads of the steps that have not committed, by identity, and what they were."""
        self._messages: dict[int, _Watched] = {}
        self._outputs: list[_Watched] = []

    def note_emission(self, payload: dict[str, Any]) -> None:
        """Remember what a payload is at its emission."""
        values = self._values(payload)
        if values:
            self._emitted[id(payload)] = payload, values

    def note(self, record: Record) -> None:
        """Watch what a record delivers, and look at what it consumes."""
        if isinstance(record, StepCommitted):
            step = f"by a step of {record.routine!r} (record {record.position})"
            if record.is_final:
                self._look_at(record)
            self._watch(record.deliveries, step)
            for output in record.outputs:
                watched = self._watched(output.name, output.payload, step)
                if watched is not None:
                    self._outputs.append(watched)
        elif isinstance(record, MessagePosted | DeadLetterRequeued | TimerFired):
            deliveries = (record.delivery,) if isinstance(record, MessagePosted) else record.deliveries
            self._watch(deliveries, f"from outside (record {record.position})")
        elif isinstance(record, MessageGivenUp):
            self._look_at(record)

    def look(self, during: str) -> None:
        """Look at everything, `during` being what has just run."""
        for watched in self._all():
            self._compare(watched, during)

    def _all(self) -> Iterator[_Watched]:
        yield from self._messages.values()
        yield from self._outputs

    def _watch(self, deliveries: Iterable[Delivery], emitted: str) -> None:
        for delivery in deliveries:
            source = delivery.message.source or f"an input of {delivery.to.routine}.{delivery.to.slot}"
            watched = self._watched(source, delivery.message.payload, emitted)
            if watched is not None:
                self._messages[delivery.message.id] = watched

    def _watched(self, source: str, payload: dict[str, Any], emitted: str) -> _Watched | None:
        known = self._emitted.pop(id(payload), None)
        values = self._values(payload) if known is None else known[1]
        if not values:
            return None
        watched = _Watched(source, emitted, values)
        if known is not None:
            self._compare(watched, "in that step, after its emit")
        return watched

    def _values(self, payload: dict[str, Any]) -> list[tuple[str, Any, bytes]]:
        found = []
        for key, value in payload.items():
            if type(value) not in PLAIN_SCALARS:
                try:
                    found.append((key, value, self._codec.encode(value)))
                except UnencodableValueError:
                    # What is no data cannot be compared.
                    continue
        return found

    def _look_at(self, record: StepCommitted | MessageGivenUp) -> None:
        for message in record.messages:
            watched = self._messages.pop(message.id, None)
            if watched is not None:
                self._compare(watched, f"before or during the step of {record.routine!r} that received it")

    def _compare(self, watched: _Watched, during: str) -> None:
        if self.breach is not None:
            return
        key = watched.changed(self._codec)
        if key is not None:
            self.breach = Breach(f"The value {key!r} of a payload of {watched.source}", watched.emitted, during)


class WatchedCodec(Codec):
    """A codec that tells a watch of each payload that is emitted, and hands that on by reference."""

    __slots__ = ("_codec", "_watch")

    def __init__(self, codec: Codec, watch: PayloadWatch) -> None:
        super().__init__()
        self._codec = codec
        self._watch = watch
        self.types = codec.types

    def register(self, cls: type) -> None:
        self._codec.register(cls)

    def encode(self, value: Any, *, path: str = "payload") -> bytes:
        return self._codec.encode(value, path=path)

    def encode_foreign(self, value: Any, path: str) -> bytes | None:
        return self._codec.encode_foreign(value, path)

    def decode(self, data: bytes) -> Any:
        return self._codec.decode(data)

    def check(self, value: Any, path: str = "payload") -> None:
        self._codec.check(value, path)

    def canonical(self, value: Any, path: str = "payload") -> bytes:
        return self._codec.canonical(value, path)

    def copy(self, value: Any, path: str = "payload") -> Any:
        if path != "payload":
            return self._codec.copy(value, path)
        self._watch.note_emission(value)
        return value
