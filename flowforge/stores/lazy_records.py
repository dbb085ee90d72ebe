"""The records of one job as they are read: each is decoded when it is asked for, and let go."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, overload

from flowforge.stores.record_form import encode_record, is_record_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from flowforge.records import Record
    from flowforge.stores.codec import Codec

__all__ = ["LazyRecords", "encoded_records", "last_index"]


class LazyRecords(Sequence["Record"]):
    """Records by their bytes; `decode` makes one of each, every time it is asked for.

    `is_whole` says that no part of them is kept apart.
    """

    def __init__(self, encoded: Sequence[bytes], decode: Callable[[bytes], Record], *, is_whole: bool = True) -> None:
        self._encoded = encoded
        self._decode = decode
        self._is_whole = is_whole

    def __len__(self) -> int:
        return len(self._encoded)

    def __eq__(self, other: object) -> bool:
        return list(self) == list(other) if isinstance(other, Sequence) else NotImplemented

    __hash__ = None  # type: ignore[assignment]  # equal to a list, which has none

    def __iter__(self) -> Iterator[Record]:
        return map(self._decode, self._encoded)

    @overload
    def __getitem__(self, index: int) -> Record: ...
    @overload
    def __getitem__(self, index: slice) -> LazyRecords: ...
    def __getitem__(self, index: int | slice) -> Record | LazyRecords:
        if isinstance(index, slice):
            return LazyRecords(self._encoded[index], self._decode, is_whole=self._is_whole)
        return self._decode(self._encoded[index])

    def last_index(self, kind: type[Record]) -> int:
        """Where the last record of that kind stands, or -1; nothing is decoded for it."""
        return next((at for at in reversed(range(len(self))) if is_record_of(self._encoded[at], kind)), -1)

    def encoded(self) -> list[bytes] | None:
        """The bytes that they are read from; None if these are not all of them."""
        return [*self._encoded] if self._is_whole else None


def encoded_records(records: Sequence[Record], codec: Codec) -> list[bytes]:
    """The bytes of records, with all that is in them; nothing is encoded whose bytes are known."""
    known = records.encoded() if isinstance(records, LazyRecords) else None
    return [encode_record(record, codec) for record in records] if known is None else known


def last_index(records: Sequence[Record], kind: type[Record]) -> int:
    """Where the last record of that kind stands, or -1."""
    if isinstance(records, LazyRecords):
        return records.last_index(kind)
    return next((at for at in reversed(range(len(records))) if type(records[at]) is kind), -1)
