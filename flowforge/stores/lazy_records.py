"""The records of one job as they are read: each is decoded when it is asked for, and let go."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, overload

from flowforge.stores.record_form import is_record_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from flowforge.records import Record

__all__ = ["LazyRecords", "last_index"]


class LazyRecords(Sequence["Record"]):
    """Records by their bytes; `decode` makes one of each, every time it is asked for."""

    def __init__(self, encoded: Sequence[bytes], decode: Callable[[bytes], Record]) -> None:
        self._encoded = encoded
        self._decode = decode

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
            return LazyRecords(self._encoded[index], self._decode)
        return self._decode(self._encoded[index])

    def last_index(self, kind: type[Record]) -> int:
        """Where the last record of that kind stands, or -1; nothing is decoded for it."""
        return next((at for at in reversed(range(len(self))) if is_record_of(self._encoded[at], kind)), -1)


def last_index(records: Sequence[Record], kind: type[Record]) -> int:
    """Where the last record of that kind stands, or -1."""
    if isinstance(records, LazyRecords):
        return records.last_index(kind)
    return next((at for at in reversed(range(len(records))) if type(records[at]) is kind), -1)
