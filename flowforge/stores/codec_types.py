"""The closed registry of payload types: what @payload declares and what one codec knows of it."""

import enum
from collections.abc import Callable, Iterable
from dataclasses import MISSING, dataclass, fields
from typing import Any, TypeVar
from weakref import WeakValueDictionary

from flowforge.stores.codec_errors import (
    DecodeError,
    DuplicatePayloadError,
    PayloadDefinitionError,
    PayloadVersionError,
    UnknownPayloadTypeError,
)
from flowforge.stores.codec_extras import BlockForms
from flowforge.structs import Struct

__all__ = ["Migrate", "PayloadBinding", "PayloadTypes", "payload", "type_name"]

Migrate = Callable[[dict[str, Any], int], dict[str, Any]]

C = TypeVar("C", bound=type)

_MARK = "__flowforge_payload__"
_PLAIN_BASES = (dict, list, set, frozenset, tuple, str, bytes, bytearray, int, float, BaseException)

# The closed type table: which class a stored name means. Like sys.modules it mirrors definitions; it keeps no
# class alive, and data can only select from it, never add to it.
_DECLARED: WeakValueDictionary[str, type] = WeakValueDictionary()


def type_name(cls: type) -> str:
    """Give the full name of a class as error messages show it."""
    return cls.__qualname__ if cls.__module__ == "builtins" else f"{cls.__module__}.{cls.__qualname__}"


def payload(name: str, *, version: int = 1, migrate: Migrate | None = None) -> Callable[[C], C]:
    """Declare a dataclass, a msgspec Struct or an Enum as a payload type; put it above @dataclass.

    Stored data names the type by `name` and carries `version`. Older data goes through
    `migrate(fields, from_version)`, which returns the fields of the current version; an Enum has the field
    `member`, a Flag the field `value`. Nothing but the fields is kept; a dataclass is built again without its
    `__init__`, a Struct with it. A class defined again under the same module and name replaces the earlier
    one; any other that claims a name in use raises DuplicatePayloadError, an unsuitable class
    PayloadDefinitionError.
    """
    if isinstance(name, type):
        problem = "it was not given a name to be stored under"
        raise PayloadDefinitionError(type_name(name), problem, 'Declare it with @payload("name").')

    def declare(cls: C) -> C:
        _check_declaration(cls, name, version, migrate)
        other = _DECLARED.get(name)
        if other is not None:
            _check_same_origin(name, other, cls)
        setattr(cls, _MARK, (name, version, migrate))
        _DECLARED[name] = cls
        return cls

    return declare


@dataclass(frozen=True, slots=True)
class PayloadBinding:
    """One payload type as a codec uses it: how to take an instance apart and how to build it again."""

    cls: type
    name: str
    version: int
    migrate: Migrate | None
    take: Callable[[Any], dict[str, Any]]
    build: Callable[[dict[str, Any]], object]

    def rebuild(self, stored: dict[str, Any], version: int) -> object:
        """Build an instance from the fields of a version; raises DecodeError for what the type refuses."""
        if version > self.version or (version < self.version and self.migrate is None):
            raise PayloadVersionError(self.name, version, self.version)
        try:
            current = stored
            if version < self.version and self.migrate is not None:
                current = self.migrate(stored, version)
                if type(current) is not dict:
                    raise TypeError(f"migrate returned {current!r} instead of a dict")
            return self.build(current)
        # The user's migrate, __post_init__ and _missing_ run in here and may raise anything.
        except Exception as err:
            raise DecodeError(
                f"the payload type {self.name!r} does not accept its fields of version {version!r} ({err!r})",
                "Raise the version of the type when its fields change, and migrate the older ones.",
            ) from err


class PayloadTypes:
    """The payload types that one codec knows, by class and by name; any thread may call.

    `blocks` are the forms of the libraries in `extras`.
    """

    __slots__ = ("_by_class", "_by_name", "blocks")

    def __init__(self, types: Iterable[type] = (), extras: Iterable[str] = ()) -> None:
        self.blocks = BlockForms(extras)
        self._by_class: dict[type, PayloadBinding] = {}
        self._by_name: dict[str, PayloadBinding] = {}
        for cls in types:
            self.register(cls)

    def register(self, cls: type) -> PayloadBinding:
        """Bind a class that @payload declared; raises PayloadDefinitionError or DuplicatePayloadError."""
        binding = self.find(cls)
        if binding is None:
            raise PayloadDefinitionError(
                type_name(cls), "it is not declared itself", "Put @payload(name) above the class."
            )
        return binding

    def find(self, cls: type) -> PayloadBinding | None:
        """Give the binding of exactly this class, or None if @payload does not declare it."""
        binding = self._by_class.get(cls)
        # The mark of a base class says nothing of its subclasses, hence no getattr.
        if binding is None and _MARK in cls.__dict__:
            binding = self._bind(cls)
        return binding

    def named(self, name: str) -> PayloadBinding:
        """Give the binding that a stored name means; raises UnknownPayloadTypeError."""
        binding = self._by_name.get(name)
        if binding is None:
            cls = _DECLARED.get(name)
            if cls is None:
                raise UnknownPayloadTypeError(name)
            binding = self._bind(cls)
        return binding

    def revive(self, name: object, version: object, stored: object) -> object:
        """Build an instance from what was stored of it; raises DecodeError."""
        if type(name) is not str or type(version) is not int or type(stored) is not dict:
            raise DecodeError("it holds a malformed payload type")
        return self.named(name).rebuild(stored, version)

    def _bind(self, cls: type) -> PayloadBinding:
        name, version, migrate = cls.__dict__[_MARK]
        known = self._by_name.get(name)
        if known is not None:
            _check_same_origin(name, known.cls, cls)
        take, build = _parts_of(cls)
        binding = PayloadBinding(cls, name, version, migrate, take, build)
        self._by_name[name] = binding
        self._by_class[cls] = binding
        return binding


def _check_declaration(cls: type, name: object, version: object, migrate: object) -> None:
    def refuse(problem: str, remedy: str) -> PayloadDefinitionError:
        return PayloadDefinitionError(type_name(cls), problem, remedy)

    if type(name) is not str or not name.isprintable() or not name:
        raise refuse(f"its name {name!r} is not a printable text", "Give it a short fixed name.")
    if type(version) is not int or not 1 <= version < 2**31:
        raise refuse(f"its version {version!r} is not a positive number", "Count versions from 1.")
    if migrate is not None and not callable(migrate):
        raise refuse(f"its migrate {migrate!r} is not callable", "Give a function (fields, from_version).")
    if issubclass(cls, enum.Enum | Struct):
        return
    if "__dataclass_fields__" not in cls.__dict__:
        raise refuse("it is no dataclass, Struct or Enum", "Put @payload above @dataclass.")
    if issubclass(cls, _PLAIN_BASES):
        raise refuse("a dataclass derived from a built-in type has contents besides its fields", "Use a field.")


def _check_same_origin(name: str, first: type, second: type) -> None:
    if first is not second and (first.__module__, first.__qualname__) != (
        second.__module__,
        second.__qualname__,
    ):
        raise DuplicatePayloadError(name, type_name(first), type_name(second))


_Parts = tuple[Callable[[Any], dict[str, Any]], Callable[[dict[str, Any]], object]]


def _parts_of(cls: type) -> _Parts:
    if issubclass(cls, enum.Flag):
        return (lambda flag: {"value": flag.value}), (lambda stored: cls(stored["value"]))
    if issubclass(cls, enum.Enum):
        return (lambda member: {"member": member.name}), (lambda stored: cls[stored["member"]])
    if issubclass(cls, Struct):
        return _struct_parts(cls)
    return _dataclass_parts(cls)


def _struct_parts(cls: type[Struct]) -> _Parts:
    names = cls.__struct_fields__

    def take(instance: object) -> dict[str, Any]:
        return {name: getattr(instance, name) for name in names}

    def build(stored: dict[str, Any]) -> object:
        return cls(**stored)

    return take, build


def _dataclass_parts(cls: Any) -> _Parts:
    declared = fields(cls)
    names = frozenset(field.name for field in declared)

    def take(instance: object) -> dict[str, Any]:
        return {field.name: getattr(instance, field.name) for field in declared}

    def build(stored: dict[str, Any]) -> object:
        if not names >= stored.keys():
            raise TypeError(f"unknown fields {sorted(stored.keys() - names)!r}")
        # Like copy and pickle, not through __init__: what it would compute is a field, so in the data.
        instance = cls.__new__(cls)
        for field in declared:
            if field.name in stored:
                value = stored[field.name]
            elif field.default is not MISSING:
                value = field.default
            elif field.default_factory is not MISSING:
                value = field.default_factory()
            else:
                raise TypeError(f"missing field {field.name!r}")
            object.__setattr__(instance, field.name, value)
        return instance

    return take, build
