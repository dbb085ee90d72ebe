"""The closed registry of payload types: who may join it, and how its versions meet."""

import enum
import gc
from dataclasses import dataclass, field
from typing import Any

import pytest

from flowforge.stores.codec import Codec
from flowforge.stores.codec_errors import (
    DecodeError,
    DuplicatePayloadError,
    PayloadDefinitionError,
    PayloadVersionError,
    UnencodableValueError,
    UnknownPayloadTypeError,
)
from flowforge.stores.codec_types import PayloadTypes, payload
from flowforge.structs import Struct


@payload("test.types.colour")
class Colour(enum.Enum):
    RED = "red"


@payload("test.types.level")
class Level(enum.IntEnum):
    HIGH = 3


@payload("test.types.access")
class Access(enum.Flag):
    READ = 1
    WRITE = 2


@payload("test.types.point")
@dataclass(frozen=True, slots=True)
class Point:
    x: int
    y: int
    norm: float = field(init=False, default=0.0)

    def __post_init__(self) -> None:
        object.__setattr__(self, "norm", float(self.x + self.y))


@payload("test.types.line")
class Line(Struct, frozen=True):
    points: list[Point]
    colour: Colour = Colour.RED


class Segment(Line, frozen=True):
    pass


def rename_field(stored: dict[str, Any], from_version: int) -> dict[str, Any]:
    return {"total": stored["sum"], "from_version": from_version}


def declare_invoice(version: int, **fields: Any) -> Any:
    """A program of its own: each has the class Invoice in another version."""
    migrate = fields.pop("migrate", None)
    body = {"__annotations__": dict.fromkeys(fields, object), "__module__": __name__, **fields}
    return payload("test.types.invoice", version=version, migrate=migrate)(dataclass(type("Invoice", (), body)))


def round_trip(value: Any) -> Any:
    codec = Codec()
    return codec.decode(codec.encode(value))


@pytest.mark.parametrize("member", [Colour.RED, Level.HIGH, Access.READ, Access.READ | Access.WRITE])
def test_members_of_registered_enums_come_back_themselves(member: enum.Enum) -> None:
    assert round_trip([member, {member: 1}]) == [member, {member: 1}]
    assert round_trip(member) is member
    assert Codec().copy(member) is member


def test_dataclass_comes_back_as_it_was_not_as_built() -> None:
    point = Point(1, 2)
    object.__setattr__(point, "norm", -1.0)

    back = round_trip(point)

    assert type(back) is Point
    assert back == point


def test_struct_comes_back_with_all_it_holds() -> None:
    line = Line([Point(1, 2), Point(3, 4)])

    assert round_trip(line) == line == Codec().copy(line)


def test_subclass_of_a_registered_class_is_refused() -> None:
    with pytest.raises(UnencodableValueError, match="Segment"):
        Codec().encode(Segment([]))


def test_codec_learns_types_given_to_it_or_registered() -> None:
    data = Codec([Point]).encode(Point(1, 2))
    codec = Codec([Colour])
    codec.register(Point)

    assert codec.decode(data) == Point(1, 2)
    assert codec.types.named("test.types.colour").cls is Colour


def test_undeclared_class_cannot_be_registered() -> None:
    with pytest.raises(PayloadDefinitionError, match=r"Segment' cannot .*: it is not declared itself\. Put @payload"):
        Codec([Segment])


def test_unknown_type_name_is_refused() -> None:
    @payload("test.types.gone")
    @dataclass
    class Gone:
        x: int

    data = Codec().encode(Gone(1))
    del Gone
    gc.collect()

    with pytest.raises(UnknownPayloadTypeError, match=r"payload type 'test.types.gone' is unknown\. Import") as caught:
        Codec().decode(data)
    assert caught.value.name == "test.types.gone"


def test_one_name_for_two_classes_is_refused() -> None:
    with pytest.raises(DuplicatePayloadError, match=r"'test.types.point' is claimed by both .*Point' and .*Other'\. G"):

        @payload("test.types.point")
        @dataclass
        class Other:
            x: int


def test_class_defined_again_replaces_the_earlier_one() -> None:
    old = declare_invoice(1, total=0)
    codec = Codec([old])
    new = declare_invoice(1, total=0)

    assert type(Codec().decode(codec.encode(old()))) is new
    assert type(codec.decode(codec.encode(new()))) is new


def test_older_version_goes_through_migrate() -> None:
    data = Codec().encode(declare_invoice(1, sum=5)())
    invoice = declare_invoice(3, total=0, from_version=0, migrate=rename_field)

    back = Codec([invoice]).decode(data)

    assert (type(back), back.total, back.from_version) == (invoice, 5, 1)


def test_older_version_without_migrate_is_refused() -> None:
    data = Codec().encode(declare_invoice(1, sum=5)())
    newer = declare_invoice(2, sum=0)

    with pytest.raises(PayloadVersionError, match=r"version 2, the data has version 1\. Give @payload a migrate"):
        Codec([newer]).decode(data)


def test_newer_version_is_refused() -> None:
    data = Codec().encode(declare_invoice(2, sum=5)())
    older = declare_invoice(1, sum=0, migrate=rename_field)

    with pytest.raises(PayloadVersionError, match=r"version 1, the data has version 2\. Run the newer") as caught:
        Codec([older]).decode(data)
    assert (caught.value.name, caught.value.stored, caught.value.known) == ("test.types.invoice", 2, 1)


@pytest.mark.parametrize(
    ("migrate", "cause"),
    [
        (lambda stored, version: stored["none"], "KeyError"),
        (lambda stored, version: None, "instead of a dict"),
    ],
)
def test_failing_migrate_is_reported_with_its_cause(migrate: Any, cause: str) -> None:
    data = Codec().encode(declare_invoice(1, sum=5)())
    newer = declare_invoice(2, sum=0, migrate=migrate)

    with pytest.raises(DecodeError, match=rf"does not accept its fields of version 1 .*{cause}.*Raise the version"):
        Codec([newer]).decode(data)


def test_missing_field_takes_its_default() -> None:
    data = Codec().encode(declare_invoice(1, sum=5)())
    newer = declare_invoice(1, sum=0, extra=7, items=field(default_factory=list))

    back = Codec([newer]).decode(data)

    assert (back.sum, back.extra, back.items) == (5, 7, [])


def test_fields_that_do_not_fit_are_refused() -> None:
    data = Codec().encode(declare_invoice(1, sum=5)())

    with pytest.raises(DecodeError, match=r"unknown fields .*sum"):
        Codec([declare_invoice(1, total=0)]).decode(data)
    with pytest.raises(DecodeError, match="missing field 'norm'"):
        Codec([declare_invoice(1, norm=field(), sum=0)]).decode(data)


def bare_class() -> type:
    return type("Bare", (), {})


def test_what_cannot_be_a_payload_type_is_refused_at_once() -> None:
    derived: type = dataclass(type("Derived", (dict,), {}))

    with pytest.raises(PayloadDefinitionError, match=r"it is no dataclass, Struct or Enum\. Put @payload above @data"):
        payload("test.types.bare")(bare_class())
    with pytest.raises(PayloadDefinitionError, match=r"derived from a built-in type has contents .* Use a field"):
        payload("test.types.derived")(derived)
    with pytest.raises(PayloadDefinitionError, match=r"its name '' is not a printable text\. Give it a short"):
        payload("")(dataclass(bare_class()))
    with pytest.raises(PayloadDefinitionError, match=r"its version 0 is not a positive number\. Count versions from 1"):
        payload("test.types.bare", version=0)(dataclass(bare_class()))
    with pytest.raises(PayloadDefinitionError, match=r"its migrate 5 is not callable\. Give a function"):
        payload("test.types.bare", migrate=5)(dataclass(bare_class()))  # type: ignore[arg-type]


def test_two_codecs_share_no_bindings() -> None:
    one, two = PayloadTypes([Point]), PayloadTypes([Point])

    assert one.find(Point) is not two.find(Point)
