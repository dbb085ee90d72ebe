"""The same values as the codec keeps, as a tree for JSON: what JSON has no form of is a tagged object."""

import base64
import math
from collections.abc import Callable
from typing import Any

from flowforge.stores.codec import Codec
from flowforge.stores.codec_blocks import BlockForm
from flowforge.stores.codec_errors import DecodeError, UnencodableValueError
from flowforge.stores.codec_scalars import LOAD_ERRORS, SCALAR_FORMS_BY_TAG, ScalarForm
from flowforge.stores.codec_types import PayloadBinding
from flowforge.stores.codec_walk import MAX_DEPTH, Walk

__all__ = ["from_json", "to_json"]

_TAG = "$"
_VALUE = "v"
_FOREIGN = "pickle"
_GROUPS: dict[str, Callable[[list[Any]], object]] = {"tuple": tuple, "set": set, "frozenset": frozenset}
_SPECIAL_FLOATS = {"nan": math.nan, "inf": math.inf, "-inf": -math.inf}


def to_json(value: Any, codec: Codec, *, path: str = "payload") -> Any:
    """Give a tree for json.dumps, allow_nan=False included; raises UnencodableValueError as encode does."""
    try:
        return _JsonForm(codec.types).run(value, path)
    except UnencodableValueError:
        data = codec.encode_foreign(value, path)
        if data is None:
            raise
        return _tagged(_FOREIGN, base64.b64encode(data).decode())


def from_json(tree: Any, codec: Codec) -> Any:
    """Give the value, with exact types, of a tree that to_json gave; raises DecodeError for any other."""
    return _Loader(codec).load(tree, MAX_DEPTH)


def _tagged(tag: str, value: object) -> dict[str, object]:
    return {_TAG: tag, _VALUE: value}


def _one_level(tree: object, kind: type, left: int) -> int:
    if type(tree) is not kind:
        raise TypeError(f"expected a {kind.__name__}, not {tree!r}")
    if left == 0:
        raise DecodeError("it is nested too deep")
    return left - 1


class _JsonForm(Walk):
    """A value to a tree of JSON."""

    __slots__ = ()

    def atom(self, value: Any) -> object:
        if type(value) is bytes:
            return _tagged("bytes", base64.b64encode(value).decode())
        if type(value) is float and not math.isfinite(value):
            return _tagged("float", str(value))
        return value

    def scalar(self, form: ScalarForm, value: Any, dumped: object) -> object:
        return _tagged(form.tag, dumped)

    def block(self, form: BlockForm, value: Any) -> object:
        return _tagged(form.tag, base64.b64encode(form.dump(value)).decode())

    def group(self, kind: type, items: list[Any]) -> object:
        return _tagged(kind.__name__, items)

    def mapping(self, keys: list[Any], items: list[Any]) -> object:
        if _TAG in keys or any(type(key) is not str for key in keys):
            return _tagged("dict", [list(pair) for pair in zip(keys, items, strict=True)])
        return dict(zip(keys, items, strict=True))

    def instance(self, binding: PayloadBinding, value: Any, parts: dict[str, Any]) -> object:
        return _tagged("object", [binding.name, binding.version, parts])


class _Loader:
    """A tree of JSON to a value."""

    __slots__ = ("_codec", "_types")

    def __init__(self, codec: Codec) -> None:
        self._codec = codec
        self._types = codec.types

    def load(self, tree: Any, left: int) -> Any:
        kind = type(tree)
        if kind is list:
            return self._items(tree, left)
        if kind is dict:
            return self._tagged(tree, left) if _TAG in tree else self._parts(tree, left)
        if tree is None or kind in {str, int, bool, float}:
            return tree
        raise DecodeError(f"JSON has no {kind.__name__!r}")

    def _items(self, tree: Any, left: int) -> list[Any]:
        below = _one_level(tree, list, left)
        return [self.load(item, below) for item in tree]

    def _parts(self, tree: Any, left: int) -> dict[str, Any]:
        below = _one_level(tree, dict, left)
        return {key: self.load(item, below) for key, item in tree.items()}

    def _pairs(self, tree: Any, left: int) -> dict[Any, Any]:
        below = _one_level(tree, list, left)
        return {self.load(key, below): self.load(item, below) for key, item in tree}

    def _tagged(self, tree: dict[str, Any], left: int) -> object:
        tag = tree[_TAG]
        if type(tag) is not str or tree.keys() != {_TAG, _VALUE}:
            raise DecodeError(f"it is damaged (an object with the key {_TAG!r} is not a tagged value)")
        try:
            return self._load_tag(tag, tree[_VALUE], left)
        except LOAD_ERRORS as err:
            raise DecodeError(f"it is damaged (tag {tag!r}: {err})") from err

    def _load_tag(self, tag: str, plain: Any, left: int) -> object:
        form = SCALAR_FORMS_BY_TAG.get(tag)
        if form is not None:
            return form.load(plain)
        if tag in _GROUPS:
            return _GROUPS[tag](self._items(plain, left))
        match tag:
            case "bytes":
                value: object = base64.b64decode(plain, validate=True)
            case "float":
                value = _SPECIAL_FLOATS[plain]
            case "dict":
                value = self._pairs(plain, left)
            case "object":
                name, version, parts = plain
                value = self._types.revive(name, version, self._parts(parts, left))
            case "pickle":
                value = self._codec.decode(base64.b64decode(plain, validate=True))
            case _:
                value = self._types.blocks.load_tagged(tag, plain)
                if value is None:
                    raise DecodeError(f"it holds the unknown tag {tag!r}", "Read it with the program that wrote it.")
        return value
