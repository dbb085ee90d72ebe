"""Frames: the records of one group commit as one block of bytes, chained by hash so that damage is seen.

A frame is a header (magic, version, epoch of the writer, first and last number, length and checksum of the body, hash
of the header before) and a body: for each record its job, its bytes, its time, and the status that it gives the job,
if it does. The body may have gone through layers; the header with its checksum is outside of them.
"""

import hashlib
import struct
import zlib
from collections.abc import Callable, Sequence
from typing import NamedTuple

from flowforge.stores.byte_layers import LayerError
from flowforge.structs import MsgpackDecoder, MsgpackEncoder, MsgspecError, Struct

__all__ = ["FIRST_HASH", "DamagedFrame", "Entry", "Frame", "encode_entry", "pack", "unpack"]

FIRST_HASH = bytes(16)
"""What the first frame of a store names as the hash of the one before."""

_MAGIC = b"FLFG"
_VERSION = 1
_HEADER = struct.Struct(">4sBQQQII16s")
_encode = MsgpackEncoder().encode


class Entry(Struct, frozen=True, array_like=True, gc=False):
    """One record in a frame."""

    job: str
    data: bytes
    at: float
    """Seconds since the epoch, as the record says."""
    status: str | None = None
    """The status of the job from this record on; None if it stays as it was."""
    flow: str | None = None
    """The flow of the job, in its first record, and in one that replaces it."""


_decode = MsgpackDecoder(list[Entry]).decode


class Frame(NamedTuple):
    """What a frame holds."""

    epoch: int
    first: int
    last: int
    entries: list[Entry]
    hash: bytes
    """What the next frame names as the one before."""


class DamagedFrame(Exception):  # noqa: N818 - the store makes an error of it that names the file
    """A block of bytes is not the frame that follows."""


def encode_entry(entry: Entry) -> bytes:
    """The bytes of a record in a frame's body; UnicodeEncodeError for a name that is no text."""
    return _encode(entry)


def pack(
    epoch: int, first: int, entries: Sequence[Entry], before: bytes, wrap: Callable[[bytes], bytes] = bytes
) -> tuple[bytes, bytes]:
    """The bytes of a frame of these entries, its body given to `wrap`, and its hash."""
    body = wrap(_encode(entries))
    last = first + len(entries) - 1
    header = _HEADER.pack(_MAGIC, _VERSION, epoch, first, last, len(body), zlib.crc32(body), before)
    return header + body, _hash_of(header)


def unpack(data: bytes, before: bytes | None, unwrap: Callable[[bytes], bytes] = bytes) -> Frame:
    """What a frame holds; DamagedFrame if it is not one, or does not follow the one of the hash `before`.

    `unwrap` gives what `pack` gave to its `wrap`, or raises LayerError.
    """
    try:
        magic, version, epoch, first, last, length, checksum, named = _HEADER.unpack_from(data)
    except struct.error:
        raise DamagedFrame("a frame is cut short") from None
    body = data[_HEADER.size :]
    if magic != _MAGIC or version != _VERSION:
        raise DamagedFrame("a frame does not begin as one of this version")
    if len(body) != length or zlib.crc32(body) != checksum:
        raise DamagedFrame(f"the frame of the records {first} to {last} is not what was written")
    if before is not None and named != before:
        raise DamagedFrame(f"the frame of the records {first} to {last} does not follow the one before it")
    try:
        entries = _decode(unwrap(body))
    except (MsgspecError, LayerError) as err:
        raise DamagedFrame(f"the frame of the records {first} to {last} cannot be read ({err})") from err
    if len(entries) != last - first + 1:
        raise DamagedFrame(f"the frame of the records {first} to {last} holds {len(entries)}")
    return Frame(epoch, first, last, entries, _hash_of(data[: _HEADER.size]))


def _hash_of(header: bytes) -> bytes:
    # The header holds the checksum of the body. A hash of all of it would let go of the interpreter, and beside busy
    # threads each time that happens costs milliseconds until it comes back.
    return hashlib.blake2b(header, digest_size=16).digest()
