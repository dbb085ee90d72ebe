"""Whether what was emitted stays as it was: payloads are passed by reference, so a handler could change them later."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from flowforge.records import (
    DeadLetterRequeued,
    Delivery,
    MessageGivenUp,
    MessagePosted,
    StepCommitted,
)
from flowforge.stores.codec_errors import UnencodableValueError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from flowforge.records import Record
    from flowforge.stores.codec import Codec

__all__ = ["Breach", "PayloadWatch"]

_SCALARS = frozenset({type(None), bool, int, float, str, bytes})


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
        self._messages: dict[int, _Watched] = {}
        self._outputs: list[_Watched] = []

    def note(self, record: Record) -> None:
        """Watch what a record delivers, and look at what it consumes."""
        if isinstance(record, StepCommitted):
            step = f"by a step of {record.routine!r} (record {record.position})"
            if record.is_final:
                self._look_at(record)
            self._watch(record.deliveries, step)
            for output in record.outputs:
                values = self._values(output.payload)
                if values:
                    self._outputs.append(_Watched(output.name, step, values))
        elif isinstance(record, MessagePosted | DeadLetterRequeued):
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
            values = self._values(delivery.message.payload)
            if values:
                source = delivery.message.source or f"an input of {delivery.to.routine}.{delivery.to.slot}"
                self._messages[delivery.message.id] = _Watched(source, emitted, values)

    def _values(self, payload: dict[str, Any]) -> list[tuple[str, Any, bytes]]:
        found = []
        for key, value in payload.items():
            if type(value) not in _SCALARS:
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
