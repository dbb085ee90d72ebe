"""The codec for those who must keep arbitrary objects: cloudpickle, signed; only ever chosen in code."""

import hmac
import pickle
from collections.abc import Iterable
from typing import Any

import cloudpickle  # type: ignore[import-untyped]

from flowforge.option_errors import OptionError
from flowforge.stores.codec import SIGNED_PICKLE_MARK, Codec
from flowforge.stores.codec_errors import DecodeError, SigningKeyError, UnencodableValueError
from flowforge.stores.codec_types import type_name
from flowforge.stores.codec_walk import shorten

__all__ = ["MIN_KEY_LENGTH", "PickleCodec"]

MIN_KEY_LENGTH = 16

_DIGEST = "sha256"
_DIGEST_LENGTH = 32


class PickleCodec(Codec):
    """Keeps whatever cloudpickle can, signed with a key; any thread may call.

    Whoever has the key and can write to the store runs code in this process: choose it only for objects that
    no @payload type can stand for. The signature is checked before anything is unpickled. It never reads what
    a Codec wrote. `canonical` accepts what a Codec accepts; in JSON only what a Codec refuses is pickled.
    """

    __slots__ = ("_key",)

    def __init__(self, key: bytes, types: Iterable[type] = (), *, extras: Iterable[str] = ()) -> None:
        super().__init__(types, extras=extras)
        if not isinstance(key, bytes | bytearray | memoryview):
            # The key itself must not come into a log.
            raise OptionError("PickleCodec", "key", type(key), "Give bytes, such as os.urandom(32) makes once.")
        if len(key) < MIN_KEY_LENGTH:
            raise SigningKeyError(len(key), MIN_KEY_LENGTH)
        self._key = bytes(key)

    def encode(self, value: Any, *, path: str = "payload") -> bytes:
        """Give the signed pickle of a value; raises UnencodableValueError that names `path` only."""
        try:
            body: bytes = cloudpickle.dumps(value, protocol=pickle.HIGHEST_PROTOCOL)
        # Each __reduce__ of the user runs in here and may raise anything.
        except Exception as err:
            raise UnencodableValueError(
                path,
                type_name(type(value)),
                shorten(value),
                f"cannot be pickled ({err!r})",
                "Keep what it is made from instead.",
            ) from err
        return SIGNED_PICKLE_MARK + self._sign(body) + body

    def encode_foreign(self, value: Any, path: str) -> bytes:
        return self.encode(value, path=path)

    def decode(self, data: bytes) -> Any:
        """Give the value of bytes that were signed with the same key; raises DecodeError for any others."""
        if data[:1] != SIGNED_PICKLE_MARK:
            raise DecodeError("it was not written by a PickleCodec", "Open it with a Codec.")
        signature, body = data[1 : 1 + _DIGEST_LENGTH], data[1 + _DIGEST_LENGTH :]
        if not hmac.compare_digest(signature, self._sign(body)):
            raise DecodeError("its signature does not match", "Use the key that it was written with.")
        try:
            return cloudpickle.loads(body)
        # The classes of the user may have moved, and their __setstate__ may raise anything.
        except Exception as err:
            raise DecodeError(f"its objects cannot be built again ({err!r})") from err

    def copy(self, value: Any, path: str = "payload") -> Any:
        """Give what decode(encode(value)) gives; raises UnencodableValueError."""
        return self.decode(self.encode(value, path=path))

    def _sign(self, body: bytes) -> bytes:
        return hmac.digest(self._key, body, _DIGEST)
