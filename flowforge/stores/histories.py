"""What the tables hold of a job, as records that are decoded when they are asked for."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from flowforge.stores.codec_errors import MissingPartError
from flowforge.stores.lazy_records import LazyRecords
from flowforge.stores.record_form import decode_record
from flowforge.stores.store import History
from flowforge.stores.store_errors import StoreDamagedError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from flowforge.records import Record
    from flowforge.stores.codec import Codec
    from flowforge.stores.sqlite_tables import Stored

__all__ = ["Histories"]


class Histories:
    """Those of the jobs of the store at `path`; any thread may use it."""

    def __init__(self, path: str, codec: Codec) -> None:
        self._path = path
        self._codec = codec

    def of(self, stored: Stored, *, is_bare: bool = False) -> History:
        """The history of a job; bare, its steps may lack the payloads that they were called with."""
        # To write them again with what is apart, all of them is needed.
        is_bare = is_bare and not stored.apart
        decode = partial(self.decoded, job=stored.row.job, apart=stored.apart, is_bare=is_bare)
        return History(stored.base, LazyRecords(stored.records, decode, is_whole=not stored.apart))

    def decoded(self, data: bytes, job: str, apart: Mapping[bytes, bytes], *, is_bare: bool = False) -> Record:
        """One record of a job; StoreDamagedError if a large value of it is missing."""
        try:
            return decode_record(data, job, self._codec, apart, is_bare=is_bare)
        except MissingPartError as err:
            raise StoreDamagedError(self._path, f"a large value of the job {job!r}, {err.place}, is missing") from err
