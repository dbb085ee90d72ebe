"""The one door to msgspec: records, messages and the bytes they become."""

from msgspec import Meta, MsgspecError, Struct, ValidationError, convert
from msgspec.msgpack import Decoder as MsgpackDecoder
from msgspec.msgpack import Encoder as MsgpackEncoder
from msgspec.msgpack import Ext
from msgspec.structs import asdict, astuple, replace

__all__ = [
    "Ext",
    "Meta",
    "MsgpackDecoder",
    "MsgpackEncoder",
    "MsgspecError",
    "Struct",
    "ValidationError",
    "asdict",
    "astuple",
    "convert",
    "replace",
]
