"""The file beside a store that says who has it open, which store it is, and up to where it is safe.

Without it a store that lost its last records could not be told from a shorter one: a database whose log is cut reads
as a whole one. The number is written in memory that the file is mapped to, so a killed process loses none of it.
"""

from __future__ import annotations

import mmap
import os
import struct
import zlib
from typing import TYPE_CHECKING

from flowforge.stores.store_errors import StoreDamagedError, StoreInUseError

try:
    import fcntl
except ImportError:  # pragma: no cover - on Windows nobody but the user keeps a second process away
    fcntl = None  # type: ignore[assignment]  # looked at before each use

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["LockFile"]

_PID = struct.Struct("32s")
_IDENTITY = struct.Struct("32s")
_SLOT = struct.Struct(">QI")
_SLOTS = (64, 80)
_SIZE = 96


class LockFile:
    """The lock of one store, held until it is closed; one thread at a time uses it.

    StoreInUseError if somebody else holds it, StoreDamagedError if it is not what was written.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._memory: mmap.mmap | None = None
        self._turn = 0
        self._descriptor = os.open(f"{path}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            self._take()
            self.identity, self.acknowledged = self._read()
        except BaseException:
            os.close(self._descriptor)
            raise

    def _take(self) -> None:
        if fcntl is not None:
            try:
                fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                words = os.pread(self._descriptor, _PID.size, 0).split(b"\0")[0].split()
                holder = int(words[0]) if words and words[0].isdigit() else None
                raise StoreInUseError(str(self._path), None if holder == os.getpid() else holder) from None
        os.pwrite(self._descriptor, _PID.pack(b"%d\n" % os.getpid()), 0)

    def _read(self) -> tuple[str | None, int]:
        """Which store it was written for, and how many of its records were safe; none for a new file."""
        data = os.pread(self._descriptor, _SIZE, 0)
        if len(data) == _PID.size:
            return None, 0
        identity = data[_PID.size : _PID.size + _IDENTITY.size]
        numbers = [number for at in _SLOTS if (number := _number_in(data[at : at + _SLOT.size])) is not None]
        if len(data) != _SIZE or not identity.isalnum() or not numbers:
            raise StoreDamagedError(str(self._path), "the .lock file beside it is not what was written")
        return identity.decode("ascii", "replace"), max(numbers)

    def begin(self, identity: str, safe: int) -> None:
        """Write down which store it is for, and what of it is safe, and be ready for more."""
        slot = _slot_of(safe)
        slots = slot.ljust(_SLOTS[1] - _SLOTS[0], b"\0") + slot.ljust(_SIZE - _SLOTS[1], b"\0")
        os.pwrite(self._descriptor, _IDENTITY.pack(identity.encode()) + slots, _PID.size)
        self._memory = mmap.mmap(self._descriptor, _SIZE)

    def note_safe(self, number: int) -> None:
        """Write down that all records up to this one are safe."""
        assert self._memory is not None, "nothing is safe before it has begun"
        # In turns, for a process that is killed while it writes one number must leave the other.
        at = _SLOTS[self._turn]
        self._turn = 1 - self._turn
        self._memory[at : at + _SLOT.size] = _slot_of(number)

    def close(self) -> None:
        """Let go of the lock, or, in a forked child, have no part in it; what is closed stays closed."""
        if self._memory is not None:
            # It has a descriptor of its own, which would hold the lock as well.
            self._memory.close()
        # Once closed, the number of the descriptor may be that of another file.
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)


def _slot_of(number: int) -> bytes:
    return _SLOT.pack(number, zlib.crc32(number.to_bytes(8)))


def _number_in(slot: bytes) -> int | None:
    if len(slot) != _SLOT.size:
        return None
    number, checksum = _SLOT.unpack(slot)
    return number if zlib.crc32(number.to_bytes(8)) == checksum else None
