"""In which form a store holds its values: noted in it when it is made, and compared whenever it is opened."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, NamedTuple

from flowforge.stores.byte_layers import LayerError
from flowforge.stores.codec_errors import DecodeError
from flowforge.stores.store_errors import StoreCodecError, StoreDamagedError, StoreKeyError, StoreLayersError
from flowforge.structs import MsgpackDecoder, MsgpackEncoder, MsgspecError

if TYPE_CHECKING:
    from flowforge.stores.byte_layers import Layers
    from flowforge.stores.codec import Codec

__all__ = ["StoreForm"]

_SAMPLE = "flowforge"
_SEAL = 8


class _Note(NamedTuple):
    layers: list[str]
    first: bytes
    """What codec and layers made of a text when the store was made."""
    last: bytes
    """And when it was opened last, maybe with another key that the layers had then."""


_encode = MsgpackEncoder().encode
_decode = MsgpackDecoder(_Note).decode


class StoreForm:
    """How one opening of a store encodes what comes into it."""

    def __init__(self, codec: Codec, layers: Layers) -> None:
        self._codec = codec
        self._layers = layers

    def renewed(self, path: str, noted: object) -> bytes:
        """The note that the store keeps from now on, given the one that it has, or None for a new store.

        StoreLayersError, StoreKeyError or StoreCodecError unless this form reads what the noted one wrote;
        StoreDamagedError for what is no note.
        """
        sample = self._layers.wrap(self._codec.encode(_SAMPLE))
        if noted is None:
            return _sealed(_Note(self._layers.names, sample, sample))
        note = _opened(path, noted)
        if note.layers != self._layers.names:
            raise StoreLayersError(path, note.layers, self._layers.names)
        for known in (note.first, note.last):
            self._check(path, known)
        return _sealed(note._replace(last=sample))

    def _check(self, path: str, sample: bytes) -> None:
        try:
            self._codec.decode(self._layers.unwrap(sample))
        except LayerError as err:
            raise StoreKeyError(path, err.layer, err.problem, err.remedy) from err
        except DecodeError as err:
            raise StoreCodecError(path, err.problem, err.remedy) from err


def _sealed(note: _Note) -> bytes:
    body = _encode(note)
    return hashlib.blake2b(body, digest_size=_SEAL).digest() + body


def _opened(path: str, noted: object) -> _Note:
    if not isinstance(noted, bytes) or hashlib.blake2b(noted[_SEAL:], digest_size=_SEAL).digest() != noted[:_SEAL]:
        raise StoreDamagedError(path, "the note of its form is not what was written")
    try:
        return _decode(noted[_SEAL:])
    except MsgspecError as err:
        raise StoreDamagedError(path, f"the note of its form cannot be read ({err})") from err
