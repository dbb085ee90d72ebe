"""In which form a store holds its values: noted in it when it is made, and compared whenever it is opened."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from flowforge.stores.codec_errors import DecodeError
from flowforge.stores.store_errors import StoreCodecError, StoreDamagedError
from flowforge.structs import MsgpackDecoder, MsgpackEncoder, MsgspecError

if TYPE_CHECKING:
    from flowforge.stores.codec import Codec

__all__ = ["StoreForm"]

_SAMPLE = "flowforge"


class _Note(NamedTuple):
    sample: bytes
    """What the codec made of a text."""


_encode = MsgpackEncoder().encode
_decode = MsgpackDecoder(_Note).decode


class StoreForm:
    """How one opening of a store encodes what comes into it."""

    def __init__(self, codec: Codec) -> None:
        self._codec = codec

    def note(self) -> bytes:
        """What a store keeps, to know this form again."""
        return _encode(_Note(self._codec.encode(_SAMPLE)))

    def check(self, path: str, noted: object) -> None:
        """Raise StoreCodecError unless this form reads what the noted one wrote; StoreDamagedError for what is no note.

        Stores made by the first versions have none.
        """
        if noted is None:
            return
        try:
            note = _decode(noted)  # type: ignore[arg-type]  # a forged one may be anything
        except (MsgspecError, TypeError) as err:
            raise StoreDamagedError(path, f"the note of its form cannot be read ({err})") from err
        try:
            self._codec.decode(note.sample)
        except DecodeError as err:
            raise StoreCodecError(path, err.problem, err.remedy) from err
