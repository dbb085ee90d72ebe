"""Layers between a store and its disk, bytes to bytes: compression here, encryption beside it, or one of yours.

A store calls them on its own threads, never while a job commits. Each call that lets go of the interpreter costs
milliseconds beside busy threads, so a layer should do with one for a block.
"""

import zlib
from collections.abc import Iterable
from typing import Protocol

from flowforge.errors import FlowForgeError
from flowforge.option_checks import check_whole_number
from flowforge.option_errors import OptionError

__all__ = ["ByteLayer", "Compression", "LayerError", "Layers"]


_MOST = 9
"""The level at which zlib compresses most."""


class ByteLayer(Protocol):
    """Turns blocks of bytes into others and back; one thread at a time calls."""

    name: str
    """What the store notes, to be opened with the same layers again."""

    def wrap(self, data: bytes) -> bytes:
        """The block as it comes to the disk; not empty."""
        ...

    def unwrap(self, data: bytes) -> bytes:
        """The block that `wrap` got; LayerError for what it cannot have given."""
        ...


class LayerError(FlowForgeError):
    """A block is none that this layer wrote, or was written with another key."""

    def __init__(self, layer: str, problem: str, remedy: str) -> None:
        super().__init__(f"The layer {layer!r} cannot read what was written: {problem}. {remedy}")
        self.layer = layer
        self.problem = problem
        self.remedy = remedy


class Compression:
    """Compresses blocks with zlib, at a level from 0 to 9; those under `smallest` bytes stay as they are."""

    name = "compression"

    _PLAIN, _COMPRESSED = b"\0", b"\1"

    def __init__(self, level: int = 1, smallest: int = 512) -> None:
        if check_whole_number("Compression", "level", level, least=0) > _MOST:
            raise OptionError("Compression", "level", level, f"Give a whole number from 0 to {_MOST}.")
        check_whole_number("Compression", "smallest", smallest, least=0)
        self._level = level
        self._smallest = smallest

    def wrap(self, data: bytes) -> bytes:
        """The block, compressed if that makes it smaller."""
        if len(data) >= self._smallest:
            compressed = zlib.compress(data, self._level)
            if len(compressed) < len(data):
                return self._COMPRESSED + compressed
        return self._PLAIN + data

    def unwrap(self, data: bytes) -> bytes:
        """The block as it was; LayerError for what is no compressed block."""
        mark, body = data[:1], data[1:]
        if mark == self._PLAIN:
            return body
        try:
            if mark != self._COMPRESSED:
                raise zlib.error(f"it begins with {mark!r}")
            return zlib.decompress(body)
        except zlib.error as err:
            raise LayerError(self.name, str(err), "Restore the file from a backup.") from err


class Layers:
    """Several layers as one: the first gets what the store writes, the last gives what comes to the disk.

    OptionError for what is no layer.
    """

    def __init__(self, layers: Iterable[ByteLayer] = ()) -> None:
        if not isinstance(layers, Iterable):
            raise OptionError("SqliteStore", "layers", layers, "Give a list of them, as in layers=[Compression()].")
        self._inwards = tuple(layers)
        for layer in self._inwards:
            if isinstance(layer, type) or not (hasattr(layer, "name") and hasattr(layer, "wrap")):
                raise OptionError("SqliteStore", "layers", layer, "Give layers, such as Compression().")
        self._outwards = self._inwards[::-1]
        self.names = [layer.name for layer in self._inwards]

    def wrap(self, data: bytes) -> bytes:
        """The block as it comes to the disk."""
        for layer in self._inwards:
            data = layer.wrap(data)
        return data

    def unwrap(self, data: bytes) -> bytes:
        """The block that `wrap` got; LayerError."""
        for layer in self._outwards:
            data = layer.unwrap(data)
        return data
