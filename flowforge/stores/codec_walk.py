"""The strict walk over a value by exact type: what may be kept, and the path to what may not."""

import reprlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from typing import Any

from flowforge.stores.codec_blocks import BlockForm
from flowforge.stores.codec_errors import UnencodableValueError
from flowforge.stores.codec_extras import extra_of
from flowforge.stores.codec_scalars import BIG_INT, PLAIN_SCALARS, SCALAR_FORMS, RefusalError, ScalarForm
from flowforge.stores.codec_types import PayloadBinding, PayloadTypes, type_name

__all__ = ["MAX_DEPTH", "PLAIN_MARK", "Walk", "is_plain", "shorten"]

MAX_DEPTH = 100
PLAIN_MARK = "__flowforge_plain__"

_FLATTEN = "Keep an id instead of the object, or store it flat."
_SURROGATE = "Keep it as bytes, or replace what no encoding can represent."
_REGISTER = "Register its class with @payload, or keep a plain value."
_PLAINER = "Keep a plain array or table of its library, or plain values."
_EXTRA = "Arrays and tables need a codec that is told of their library, Codec(extras=[{!r}]); else keep a plain value."


def is_plain(value: Any, left: int = MAX_DEPTH) -> bool:
    """Tell whether a value is JSON-like, of exact types and with text keys: the hot path of every payload.

    False means only that the full walk must look. Long integers and lone surrogates are the encoder's.
    """
    kind: type | None = type(value)
    if kind is not dict and kind is not list:
        if kind in PLAIN_SCALARS:
            return True
        kind = getattr(kind, PLAIN_MARK, None)
    if left == 0:
        return False
    if kind is dict:
        for key, item in value.items():
            if type(key) is not str or (type(item) not in PLAIN_SCALARS and not is_plain(item, left - 1)):
                return False
    elif kind is list:
        for item in value:
            if type(item) not in PLAIN_SCALARS and not is_plain(item, left - 1):
                return False
    return kind is dict or kind is list


def shorten(value: object) -> str:
    """Give a repr of bounded length that never raises, for error messages."""
    try:
        return reprlib.repr(value)
    except Exception:  # noqa: BLE001 - any __repr__ may fail, reprlib itself at integers of 5,000 digits
        return object.__repr__(value)


class _StoppedError(Exception):
    """A value was refused; gathers the way back to the root while it travels up."""

    def __init__(self, value: object, refusal: RefusalError) -> None:
        super().__init__(refusal.reason)
        self.value = value
        self.refusal = refusal
        self.steps: list[tuple[object, str]] = []

    def passing(self, holder: object, step: str) -> "_StoppedError":
        self.steps.append((holder, step))
        return self


class Walk(ABC):
    """Turns a value into another form, bottom up; stateless between runs, so any thread may use it.

    A subclass says what becomes of each kind; all agree on what is accepted.
    """

    __slots__ = ("_types", "_visitors")

    def __init__(self, types: PayloadTypes) -> None:
        self._types = types
        self._visitors: dict[type, Callable[[Any, int], object]] = {
            type(None): self._atom,
            bool: self._atom,
            float: self._atom,
            bytes: self._atom,
            int: self._int,
            str: self._str,
            list: self._list,
            dict: self._dict,
            tuple: self._tuple,
            set: self._set,
            frozenset: self._frozenset,
        }

    def run(self, value: object, path: str) -> Any:
        """Give the form of a whole value; raises UnencodableValueError with the path below `path`."""
        try:
            return self._visit(value, MAX_DEPTH)
        except _StoppedError as stopped:
            raise _explain(stopped, path) from None

    def atom(self, value: Any) -> object:
        """Give the form of None, a bool, a float, bytes, or what has become of a text or a 64-bit integer."""
        return value

    @abstractmethod
    def scalar(self, form: ScalarForm, value: Any, dumped: object) -> object:
        """Give the form of a value such as a Decimal or a datetime, dumped already."""

    @abstractmethod
    def block(self, form: BlockForm, value: Any) -> object:
        """Give the form of a value of a library such as numpy; raises RefusalError."""

    @abstractmethod
    def group(self, kind: type, items: list[Any]) -> object:
        """Give the form of a tuple, set or frozenset with these item forms."""

    @abstractmethod
    def mapping(self, keys: list[Any], items: list[Any]) -> object:
        """Give the form of a dict with these key and item forms."""

    @abstractmethod
    def instance(self, binding: PayloadBinding, value: Any, parts: dict[str, Any]) -> object:
        """Give the form of an instance of a registered type with these field forms."""

    def _visit(self, value: Any, left: int) -> object:
        kind = type(value)
        visitor = self._visitors.get(kind)
        if visitor is not None:
            return visitor(value, left)
        form = SCALAR_FORMS.get(kind)
        if form is not None:
            return self._scalar(form, value)
        block = self._types.blocks.by_class.get(kind)
        if block is not None:
            return self._block(block, value)
        plain = getattr(kind, PLAIN_MARK, None)
        if plain is not None:
            return self._visitors[plain](value, left)
        binding = self._types.find(kind)
        if binding is not None:
            return self._instance(binding, value, left)
        raise _StoppedError(value, RefusalError(f"has the unregistered type {type_name(kind)!r}", self._remedy(kind)))

    def _remedy(self, kind: type) -> str:
        extra = extra_of(kind)
        if extra is None:
            return _REGISTER
        return _PLAINER if extra in self._types.blocks.extras else _EXTRA.format(extra)

    def _atom(self, value: Any, left: int) -> object:
        return self.atom(value)

    def _int(self, value: int, left: int) -> object:
        if -(2**63) <= value < 2**64:
            return self.atom(value)
        return self._scalar(BIG_INT, value)

    def _str(self, value: str, left: int) -> object:
        if not value.isascii():
            try:
                value.encode()
            except UnicodeEncodeError:
                raise _StoppedError(value, RefusalError("holds a lone surrogate", _SURROGATE)) from None
        return self.atom(value)

    def _scalar(self, form: ScalarForm, value: Any) -> object:
        try:
            dumped = form.dump(value)
        except RefusalError as refusal:
            raise _StoppedError(value, refusal) from None
        return self.scalar(form, value, dumped)

    def _block(self, form: BlockForm, value: Any) -> object:
        try:
            return self.block(form, value)
        except RefusalError as refusal:
            raise _StoppedError(value, refusal) from None

    def _list(self, value: list[Any], left: int) -> object:
        return self._items(value, left)

    def _tuple(self, value: tuple[Any, ...], left: int) -> object:
        return self.group(tuple, self._items(value, left))

    def _set(self, value: set[Any], left: int) -> object:
        return self.group(set, self._items(value, left, ".<element>"))

    def _frozenset(self, value: frozenset[Any], left: int) -> object:
        return self.group(frozenset, self._items(value, left, ".<element>"))

    def _dict(self, value: dict[Any, Any], left: int) -> object:
        keys = self._items(value, left, ".<key>")
        items: list[object] = []
        try:
            for item in value.values():
                form = self._visit(item, left - 1)
                items.append(form)
        except _StoppedError as stopped:
            raise stopped.passing(value, f"[{shorten(list(value)[len(items)])}]") from None
        return self.mapping(keys, items)

    def _items(self, values: Iterable[Any], left: int, step: str = "") -> list[object]:
        if left == 0:
            raise _StoppedError(values, RefusalError(f"is nested deeper than {MAX_DEPTH} levels", _FLATTEN))
        items: list[object] = []
        try:
            for item in values:
                form = self._visit(item, left - 1)
                items.append(form)
        except _StoppedError as stopped:
            raise stopped.passing(values, step or f"[{len(items)}]") from None
        return items

    def _instance(self, binding: PayloadBinding, value: Any, left: int) -> object:
        if left == 0:
            raise _StoppedError(value, RefusalError(f"is nested deeper than {MAX_DEPTH} levels", _FLATTEN))
        try:
            parts = binding.take(value)
        except AttributeError as err:
            raise _StoppedError(value, RefusalError(f"lacks a field ({err})", "Set every field.")) from None
        name = ""
        try:
            for name, part in parts.items():
                parts[name] = self._visit(part, left - 1)
        except _StoppedError as stopped:
            raise stopped.passing(value, f".{name}") from None
        return self.instance(binding, value, parts)


def _explain(stopped: _StoppedError, path: str) -> UnencodableValueError:
    value, refusal = stopped.value, stopped.refusal
    way = list(reversed(stopped.steps))
    first_seen: dict[int, int] = {}
    for index, (holder, _) in enumerate([*way, (value, "")]):
        if id(holder) in first_seen:
            # Only the depth limit stops a cycle, which costs nothing on the way down; the way back shows it.
            value, refusal = holder, RefusalError("contains itself", _FLATTEN)
            way = way[:index]
            break
        first_seen[id(holder)] = index
    full = path + "".join(step for _, step in way)
    return UnencodableValueError(full, type_name(type(value)), shorten(value), refusal.reason, refusal.remedy)
