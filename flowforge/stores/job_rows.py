"""The entry of a job in a store, and the head that seals all entries: what tells a lost or changed one."""

from __future__ import annotations

import hashlib
import json
import zlib
from typing import TYPE_CHECKING, NamedTuple

from flowforge.stores.frames import FIRST_HASH
from flowforge.structs import MsgpackDecoder, MsgpackEncoder, MsgspecError, convert

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from flowforge.stores.frames import Entry

__all__ = ["Chunk", "Head", "JobRow", "checksum_of", "decoded_chunks", "decoded_rows", "sum_of"]

_encode = MsgpackEncoder().encode
_SEAL = 8
_SUMS = 1 << 63
_SEEDS = 1 << 32


def checksum_of(number: int, data: bytes) -> int:
    """That of what stands at a number."""
    return zlib.crc32(data, number % _SEEDS)


class Chunk(NamedTuple):
    """What is known of a chunk of a job, or of its base, without reading it."""

    first: int
    """The number of its first record; of a base, that of the last chunk that it stands for."""
    is_base: int
    records: int
    """How many it has; 1 of a base."""
    checksum: int
    size: int
    """How many bytes it has."""


def sum_of(chunks: Iterable[Chunk]) -> int:
    """The checksum of a job with these chunks."""
    return sum(chunk.checksum for chunk in chunks) % _SUMS


class JobRow(NamedTuple):
    """What is known of a job without reading its records; `after` and `sealed` give rows whose seal is right."""

    job: str
    flow: str
    status: str
    first: int
    """The number of its first record in the store."""
    changed: int
    """Microseconds since the epoch, of its last record."""
    records: int
    """How many records it has, those that its base stands for not counted."""
    size: int
    """How many bytes these are, with the large values that came."""
    base: int
    """How many bytes its base has; 0 if there is none."""
    checksum: int
    """The sum of those of its base and its chunks."""
    aside: int = 0
    """How many of the records that its base stands for were set aside."""
    seal: int = 0

    @classmethod
    def after(
        cls, before: JobRow | None, entries: Sequence[Entry], first: int, chunk: bytes, apart: int = 0
    ) -> JobRow | None:
        """The row once these have been added as a chunk; None if there is no such job, nor do they start one.

        `apart` are the bytes of large values that came with them.
        """
        flow = next((entry.flow for entry in entries if entry.flow is not None), None)
        status = next((entry.status for entry in reversed(entries) if entry.status is not None), None)
        changed = round(entries[-1].at * 1e6)
        if before is None:
            if flow is None or status is None:
                return None
            before = cls(entries[0].job, flow, status, first, changed, 0, 0, 0, 0)
        return before._replace(
            status=status or before.status,
            changed=changed,
            records=before.records + len(entries),
            size=before.size + len(chunk) + apart,
            checksum=(before.checksum + checksum_of(first, chunk)) % _SUMS,
        ).sealed()

    def sealed(self) -> JobRow:
        """The row with the seal that belongs to the rest of it."""
        digest = hashlib.blake2b(_encode(self[:-1]), digest_size=_SEAL).digest()
        return self._replace(seal=int.from_bytes(digest) % _SUMS)


def decoded_rows(text: str) -> list[JobRow] | None:
    """The rows that a JSON array holds; None unless each is what was written."""
    try:
        rows = convert(json.loads(text), list[JobRow])
    except (ValueError, MsgspecError):
        return None
    return rows if all(row.seal == row.sealed().seal for row in rows) else None


def decoded_chunks(text: str) -> list[Chunk] | None:
    """The chunks that a JSON array holds, in order; None if they are none."""
    try:
        return sorted(convert(json.loads(text), list[Chunk]))
    except (ValueError, MsgspecError):
        return None


class Head(NamedTuple):
    """What the tables hold, in a few numbers."""

    last_number: int = 0
    """Of the last record in chunks."""
    last_hash: bytes = FIRST_HASH
    """Of the frame that it came in."""
    jobs: int = 0
    seals: int = 0
    """The sum of the seals of all jobs."""

    def encode(self) -> bytes:
        """Its bytes, with a digest."""
        body = _encode(self)
        return hashlib.blake2b(body, digest_size=_SEAL).digest() + body

    @classmethod
    def decode(cls, data: object) -> Head | None:
        """The head of those bytes; None if they are not what was written."""
        if not isinstance(data, bytes) or hashlib.blake2b(data[_SEAL:], digest_size=_SEAL).digest() != data[:_SEAL]:
            return None
        try:
            return _decode_head(data[_SEAL:])
        except MsgspecError:
            return None

    def with_row(self, before: JobRow | None, after: JobRow | None) -> Head:
        """The head once a row has become another, has come or has gone."""
        jobs = self.jobs + (after is not None) - (before is not None)
        seals = self.seals + (after.seal if after else 0) - (before.seal if before else 0)
        return self._replace(jobs=jobs, seals=seals % _SUMS)

    def is_of(self, rows: Iterable[JobRow]) -> bool:
        """Whether these are all the rows."""
        seals = [row.seal for row in rows]
        return self.jobs == len(seals) and self.seals == sum(seals) % _SUMS


_decode_head = MsgpackDecoder(Head).decode
