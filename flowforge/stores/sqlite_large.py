"""The large values of the jobs in a SQLite store, each once a job, by the digest of its bytes."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from flowforge.stores.byte_layers import LayerError
from flowforge.stores.record_form import digest_of_large, digests_in
from flowforge.stores.store_errors import StoreDamagedError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from flowforge.stores.byte_layers import Layers
    from flowforge.stores.sqlite_file import SqliteFile

__all__ = ["LargeValues"]


class LargeValues:
    """What one file keeps apart; used by one thread at a time, and written to in a transaction of the file's."""

    def __init__(self, file: SqliteFile, layers: Layers) -> None:
        self._file = file
        self._layers = layers
        self._execute = file.connection.execute
        # Most stores have none, and each job is asked about.
        self._is_empty = self._execute("SELECT 1 FROM large LIMIT 1").fetchone() is None

    def add(self, values: Mapping[tuple[str, bytes], bytes]) -> dict[str, int]:
        """Keep values by their jobs and digests, those that are not there yet; the bytes that each job has grown by."""
        grown: dict[str, int] = {}
        self._is_empty = False
        known = "SELECT 1 FROM large WHERE job = ? AND digest = ?"
        for (job, digest), data in values.items():
            if self._execute(known, (job, digest)).fetchone() is None:
                block = self._layers.wrap(data)
                self._execute("INSERT INTO large VALUES (?, ?, ?)", (job, digest, block))
                grown[job] = grown.get(job, 0) + len(block)
        return grown

    def of(self, job: str, records: Iterable[bytes]) -> dict[bytes, bytes]:
        """The values that records of a job name, by their digests; StoreDamagedError if one is not what was written.

        One that is missing is missed by who reads the record.
        """
        found: dict[bytes, bytes] = {}
        if self._is_empty:
            return found
        for digest in set().union(*map(digests_in, records)):
            row = self._execute("SELECT data FROM large WHERE job = ? AND digest = ?", (job, digest)).fetchone()
            if row is not None:
                found[digest] = self._checked(job, digest, row[0])
        return found

    def _checked(self, job: str, digest: bytes, data: object) -> bytes:
        try:
            value = self._layers.unwrap(data) if isinstance(data, bytes) else b""
        except LayerError as err:
            raise self._damage(job, f"cannot be read ({err})") from err
        if digest_of_large(value) != digest:
            raise self._damage(job, "is not what was written")
        return value

    def keep_only(self, job: str, digests: Collection[bytes]) -> None:
        """Forget the values of a job but for these."""
        kept = json.dumps([digest.hex().upper() for digest in digests])
        text = "DELETE FROM large WHERE job = ? AND hex(digest) NOT IN (SELECT value FROM json_each(?))"
        self._execute(text, (job, kept))

    def _damage(self, job: str, problem: str) -> StoreDamagedError:
        return StoreDamagedError(str(self._file.path), f"a large value of the job {job!r} {problem}")
