"""The codec: values to bytes and back with their exact types, from a closed registry; never by import."""

from collections.abc import Callable, Iterable
from typing import Any

from flowforge.stores.codec_blocks import BlockForm
from flowforge.stores.codec_errors import DecodeError
from flowforge.stores.codec_scalars import LOAD_ERRORS, PLAIN_SCALARS, SCALAR_FORMS_BY_CODE, ScalarForm
from flowforge.stores.codec_types import PayloadBinding, PayloadTypes
from flowforge.stores.codec_walk import MAX_DEPTH, PLAIN_MARK, Walk, is_plain
from flowforge.structs import Ext, MsgpackDecoder, MsgpackEncoder, MsgspecError

__all__ = ["SIGNED_PICKLE_MARK", "Codec", "canonical", "copy_value"]

# MessagePack never uses this byte, so a Codec and a PickleCodec cannot take each other's data for their own.
SIGNED_PICKLE_MARK = b"\xc1"

# Codes are part of the stored format: a number is never given a second meaning. Scalars have 4 to 10, blocks 20 to 26.
_GROUPS: dict[type, int] = {tuple: 1, set: 2, frozenset: 3}
_GROUPS_BY_CODE: dict[int, Callable[[list[Any]], object]] = {1: tuple, 2: set, 3: frozenset}
_INSTANCE = 11
_PAIRS = 12


class Codec:
    """Keeps plain data, tuples, sets, dates, decimals and registered types as bytes; any thread may call.

    Types are exact: a subclass that is not registered with @payload is refused, never turned into its base.
    `extras` names libraries whose values it keeps too: "numpy", "pandas", "pyarrow"; CodecExtraError for any other,
    MissingExtraError for one that is not installed. It never falls back to another encoding and never imports what
    data names.
    """

    __slots__ = ("_copies", "_decode", "_encode", "_encode_sorted", "_ordered", "_wire", "types")

    def __init__(self, types: Iterable[type] = (), *, extras: Iterable[str] = ()) -> None:
        self.types = PayloadTypes(types, extras)
        self._encode = MsgpackEncoder().encode
        self._encode_sorted = MsgpackEncoder(order="sorted").encode
        self._decode = MsgpackDecoder(ext_hook=self._load).decode
        self._wire = _WireForm(self.types, self._encode)
        self._ordered = _CanonicalForm(self.types, self._encode_sorted)
        self._copies = _CopyForm(self.types)

    def register(self, cls: type) -> None:
        """Make a class that @payload declared known by its name, as encoding an instance does too."""
        self.types.register(cls)

    def encode(self, value: Any, *, path: str = "payload") -> bytes:
        """Give the bytes of a value; raises UnencodableValueError that names the part below `path`."""
        if is_plain(value):
            try:
                return self._encode(value)
            except (OverflowError, UnicodeEncodeError):
                # The walk keeps a long integer and names the place of a lone surrogate.
                pass
        return self._encode(self._wire.run(value, path))

    def decode(self, data: bytes) -> Any:
        """Give the value of bytes that a codec encoded; raises DecodeError for any others."""
        try:
            return self._decode(data)
        except RecursionError:
            raise DecodeError("it is nested too deep") from None
        except (MsgspecError, UnicodeDecodeError) as err:
            if data[:1] == SIGNED_PICKLE_MARK:
                raise DecodeError(
                    "it was written by a PickleCodec", "Open it with a PickleCodec that has the same key."
                ) from None
            raise DecodeError(f"it is damaged ({err})") from err

    def encode_foreign(self, value: Any, path: str) -> bytes | None:
        """Give bytes, which `decode` reads, of a value that the registry refuses; None, as here, if there are none."""
        return None

    def check(self, value: Any, path: str = "payload") -> None:
        """Raise UnencodableValueError if the value cannot be kept."""
        self.encode(value, path=path)

    def canonical(self, value: Any, path: str = "payload") -> bytes:
        """Give bytes that do not depend on the insertion order of dicts or the hash order of sets."""
        if is_plain(value):
            try:
                return self._encode_sorted(value)
            except (OverflowError, UnicodeEncodeError):
                pass
        return self._encode_sorted(self._ordered.run(value, path))

    def copy(self, value: Any, path: str = "payload") -> Any:
        """Give what decode(encode(value)) would, immutable parts shared; raises UnencodableValueError."""
        try:
            copied = _copy_plain(value, MAX_DEPTH)
            self._encode(copied)
        except (_NotPlainError, OverflowError, UnicodeEncodeError):
            return self._copies.run(value, path)
        return copied

    def _load(self, code: int, data: memoryview) -> object:
        try:
            form = SCALAR_FORMS_BY_CODE.get(code)
            if form is not None:
                return form.load(self._decode(data))
            if code in _GROUPS_BY_CODE:
                return _GROUPS_BY_CODE[code](_expect_list(self._decode(data)))
            if code == _PAIRS:
                flat = _expect_list(self._decode(data))
                return dict(zip(flat[::2], flat[1::2], strict=True))
            if code == _INSTANCE:
                name, version, parts = _expect_list(self._decode(data))
                return self.types.revive(name, version, parts)
            block = self.types.blocks.load(code, bytes(data))
            if block is not None:
                return block
        except LOAD_ERRORS as err:
            raise DecodeError(f"it is damaged (extension {code}: {err})") from err
        raise DecodeError(f"it holds the unknown extension {code!r}", "Read it with the program that wrote it.")


def canonical(value: Any, path: str = "payload") -> bytes:
    """Give the canonical bytes of one value; whoever has a Codec asks it instead, which is faster."""
    return Codec().canonical(value, path)


def copy_value(value: Any, path: str = "payload") -> Any:
    """Give a validated deep copy of one value; whoever has a Codec asks it instead, which is faster."""
    return Codec().copy(value, path)


def _expect_list(plain: object) -> list[Any]:
    if type(plain) is not list:
        raise TypeError(f"expected a list, not {plain!r}")
    return plain


class _NotPlainError(Exception):
    """The quick copy met something that the full walk must look at."""


def _copy_plain(value: Any, left: int) -> Any:
    kind: type | None = type(value)
    if kind is not dict and kind is not list:
        if kind in PLAIN_SCALARS:
            return value
        kind = getattr(kind, PLAIN_MARK, None)
    if left == 0:
        raise _NotPlainError
    if kind is dict:
        copied = {}
        for key, item in value.items():
            if type(key) is not str:
                raise _NotPlainError
            copied[key] = item if type(item) in PLAIN_SCALARS else _copy_plain(item, left - 1)
        return copied
    if kind is list:
        return [item if type(item) in PLAIN_SCALARS else _copy_plain(item, left - 1) for item in value]
    raise _NotPlainError


class _CopyForm(Walk):
    """A value to a copy of itself."""

    __slots__ = ()

    def scalar(self, form: ScalarForm, value: Any, dumped: object) -> object:
        return value

    def block(self, form: BlockForm, value: Any) -> object:
        return form.copy(value)

    def group(self, kind: type, items: list[Any]) -> object:
        return kind(items)

    def mapping(self, keys: list[Any], items: list[Any]) -> object:
        return dict(zip(keys, items, strict=True))

    def instance(self, binding: PayloadBinding, value: Any, parts: dict[str, Any]) -> object:
        return binding.rebuild(parts, binding.version)


class _WireForm(Walk):
    """A value to what MessagePack can hold: extensions stand for what it has no form of."""

    __slots__ = ("_encode",)

    def __init__(self, types: PayloadTypes, encode: Callable[[object], bytes]) -> None:
        super().__init__(types)
        self._encode = encode

    def scalar(self, form: ScalarForm, value: Any, dumped: object) -> object:
        return Ext(form.code, self._encode(dumped))

    def block(self, form: BlockForm, value: Any) -> object:
        return Ext(form.code, form.dump(value))

    def group(self, kind: type, items: list[Any]) -> object:
        return Ext(_GROUPS[kind], self._encode(items))

    def mapping(self, keys: list[Any], items: list[Any]) -> object:
        if PLAIN_SCALARS.issuperset(map(type, keys)):
            return dict(zip(keys, items, strict=True))
        return self.pairs(list(zip(keys, items, strict=True)))

    def pairs(self, pairs: list[tuple[Any, Any]]) -> object:
        """Give the form of a dict with keys that a MessagePack map cannot have."""
        return Ext(_PAIRS, self._encode([part for pair in pairs for part in pair]))

    def instance(self, binding: PayloadBinding, value: Any, parts: dict[str, Any]) -> object:
        return Ext(_INSTANCE, self._encode([binding.name, binding.version, parts]))


class _CanonicalForm(_WireForm):
    """The wire form in the one order that does not depend on insertion or hashing."""

    __slots__ = ()

    def group(self, kind: type, items: list[Any]) -> object:
        return super().group(kind, items if kind is tuple else sorted(items, key=self._encode))

    def mapping(self, keys: list[Any], items: list[Any]) -> object:
        if all(type(key) is str for key in keys):
            return dict(zip(keys, items, strict=True))
        return self.pairs(sorted(zip(keys, items, strict=True), key=lambda pair: self._encode(pair[0])))
