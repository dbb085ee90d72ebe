"""What the codec keeps with its exact type, what it refuses, and how it names the place."""

import enum
import reprlib
import uuid
from collections import OrderedDict, defaultdict
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, timezone, tzinfo
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import pytest

from flowforge._engine.tracked_dict import TrackedDict
from flowforge._engine.tracked_list import TrackedList
from flowforge._engine.tracked_set import TrackedSet
from flowforge.stores.codec import Codec, canonical, copy_value
from flowforge.stores.codec_errors import UnencodableValueError
from flowforge.stores.codec_types import payload
from flowforge.stores.codec_walk import MAX_DEPTH


@payload("test.encoding.order", version=2)
@dataclass
class Order:
    price: Any


class Plain:
    def __repr__(self) -> str:
        return "<a Plain>"


class Unprintable:
    def __repr__(self) -> str:
        raise RuntimeError("no words")


class Text(str):
    __slots__ = ()


class Number(enum.IntEnum):
    ONE = 1


class Elsewhere(tzinfo):
    def utcoffset(self, when: datetime | None, /) -> timedelta:
        return timedelta(hours=1)

    def dst(self, when: datetime | None, /) -> None:
        return None

    def tzname(self, when: datetime | None, /) -> str:
        return "elsewhere"


HUGE = 10**6000

KEPT: list[Any] = [
    None,
    True,
    1,
    -(2**63),
    2**64 - 1,
    2**64,
    -(2**63) - 1,
    HUGE,
    0.5,
    float("inf"),
    "text",
    "ünïcode",
    b"bytes",
    [],
    {},
    (),
    (1, (2, [3])),
    {1, 2},
    frozenset({(1, 2)}),
    {1: "a", "1": "b", 2.5: "c", None: "d", b"1": "e"},
    {(1, "a"): 1, frozenset({2}): 2, date(2024, 2, 29): 3},
    {2**70: "big"},
    Decimal("1.50"),
    Decimal("-0"),
    Decimal("1E+400"),
    datetime(2024, 5, 1, 12, 30, 0, 5),  # noqa: DTZ001 - naive ones are kept too
    datetime(2024, 10, 27, 2, 30, fold=1),  # noqa: DTZ001 - naive ones are kept too
    datetime(2024, 5, 1, tzinfo=UTC),
    datetime(2024, 5, 1, tzinfo=timezone(timedelta(hours=-3, minutes=-30))),
    date(1, 1, 1),
    time(23, 59, 59, 999999),
    time(1, fold=1),
    time(1, tzinfo=UTC),
    timedelta(days=-1, seconds=5, microseconds=7),
    timedelta.max,
    uuid.UUID(int=7),
    Order(price=[Decimal(1), Order(None)]),
]

REFUSED: list[tuple[Any, str, str]] = [
    ({"orders": [1, 2, 3, Order(Plain())]}, "state['orders'][3].price", "Plain"),
    ({"a": {"b": (1, {"c"}, Plain())}}, "state['a']['b'][2]", "Plain"),
    ({"tags": {Text("x")}}, "state['tags'].<element>", "Text"),
    ({Text("x"): 1}, "state.<key>", "Text"),
    ({(1, Number.ONE): 1}, "state.<key>[1]", "Number"),
    ({1: OrderedDict()}, "state[1]", "OrderedDict"),
    ([defaultdict(list)], "state[0]", "defaultdict"),
    ([1, Number.ONE], "state[1]", "Number"),
    ([bytearray(b"x")], "state[0]", "bytearray"),
    (1j, "state", "complex"),
    (Plain, "state", "type"),
    (ValueError("x"), "state", "ValueError"),
]


@pytest.fixture
def codec() -> Codec:
    return Codec()


@pytest.mark.parametrize("value", KEPT, ids=lambda value: reprlib.repr(value) if value != HUGE else "huge")
def test_each_kind_of_value_comes_back_with_its_type(codec: Codec, value: Any) -> None:
    for back in (codec.decode(codec.encode(value)), codec.copy(value), copy_value(value)):
        assert back == value
        assert type(back) is type(value)


def test_keys_come_back_with_their_types(codec: Codec) -> None:
    back = codec.decode(codec.encode({1: "a", "1": "b", 2.0: "d"}))

    assert [(key, type(key)) for key in back] == [(1, int), ("1", str), (2.0, float)]


def test_fold_and_named_offset_of_a_datetime_are_kept(codec: Codec) -> None:
    zone = timezone(timedelta(hours=2), "CEST")
    back = codec.decode(codec.encode(datetime(2024, 10, 27, 2, 30, tzinfo=zone, fold=1)))

    assert (back.fold, back.tzname(), back.utcoffset()) == (1, "CEST", timedelta(hours=2))


def test_zone_of_a_datetime_is_kept_by_its_key(codec: Codec) -> None:
    try:
        zone = ZoneInfo("Europe/Berlin")
    except ZoneInfoNotFoundError:
        pytest.skip(reason="this system has no time zone database")
    late = datetime(2024, 10, 27, 2, 30, tzinfo=zone, fold=1)

    back = codec.decode(codec.encode(late))

    assert back.tzinfo is zone
    assert (back, back.utcoffset()) == (late, timedelta(hours=1))


@pytest.mark.parametrize(("value", "path", "name"), REFUSED, ids=[path for _, path, _ in REFUSED])
def test_what_cannot_be_kept_is_named_by_its_path(codec: Codec, value: Any, path: str, name: str) -> None:
    for attempt in (codec.check, codec.copy, codec.canonical):
        with pytest.raises(UnencodableValueError, match="unregistered type") as caught:
            attempt(value, "state")

        assert caught.value.path == path
        assert caught.value.type_name.endswith(name)


def test_refusal_says_value_type_path_and_remedy(codec: Codec) -> None:
    with pytest.raises(UnencodableValueError) as caught:
        codec.encode([Plain()], path="state")

    assert str(caught.value) == (
        "The value at 'state[0]' cannot be kept: <a Plain> has the unregistered type "
        f"'{__name__}.Plain'. Register its class with @payload, or keep a plain value."
    )


def test_refusal_survives_a_repr_that_raises(codec: Codec) -> None:
    with pytest.raises(UnencodableValueError, match="Unprintable"):
        codec.encode(Unprintable())


@pytest.mark.parametrize("value", ["\ud800", ["a", {"\udfff": 1}], {"a": "\ud800"}, {1: ("\ud800",)}])
def test_lone_surrogate_is_refused(codec: Codec, value: Any) -> None:
    for attempt in (codec.check, codec.copy, codec.canonical):
        with pytest.raises(UnencodableValueError, match=r"holds a lone surrogate\. Keep it as bytes"):
            attempt(value)


def test_lone_surrogate_is_named_by_its_path(codec: Codec) -> None:
    with pytest.raises(UnencodableValueError, match="lone surrogate") as caught:
        codec.encode({"names": ["a", "\ud800"]})

    assert caught.value.path == "payload['names'][1]"


def test_refusal_beside_a_huge_integer_is_still_named(codec: Codec) -> None:
    ring: list[Any] = [HUGE]
    ring.append(ring)

    with pytest.raises(UnencodableValueError, match=r"list object at .* contains itself"):
        codec.encode(ring)


def test_list_that_holds_itself_is_refused(codec: Codec) -> None:
    ring: list[Any] = [1]
    ring.append(ring)

    with pytest.raises(UnencodableValueError, match=r"contains itself\. Keep an id") as caught:
        codec.encode({"ring": ring})

    assert caught.value.path == "payload['ring'][1]"


def test_object_that_holds_itself_is_refused(codec: Codec) -> None:
    order = Order(None)
    order.price = {"of": (order,)}

    for attempt in (codec.check, codec.copy, codec.canonical):
        with pytest.raises(UnencodableValueError, match="contains itself") as caught:
            attempt(order, "order")

        assert caught.value.path == "order.price['of'][0]"


@pytest.mark.parametrize("wrap", [lambda v: [v], lambda v: {"k": v}, lambda v: (v,), Order])
def test_exactly_100_levels_are_kept(codec: Codec, wrap: Any) -> None:
    value: Any = 1
    for _ in range(MAX_DEPTH):
        value = wrap(value)

    assert codec.decode(codec.encode(value)) == value
    for attempt in (codec.check, codec.copy, codec.canonical):
        with pytest.raises(UnencodableValueError, match=r"is nested deeper than 100 levels\. Keep an id"):
            attempt(wrap(value))


def test_time_zone_of_an_own_class_is_refused(codec: Codec) -> None:
    with pytest.raises(UnencodableValueError, match=r"has a time zone of the type .*Elsewhere'\. Use datetime"):
        codec.encode({"at": datetime(2024, 1, 1, tzinfo=Elsewhere())})


def test_registered_object_without_a_field_is_refused(codec: Codec) -> None:
    order = Order(1)
    del order.price

    with pytest.raises(UnencodableValueError, match=r"lacks a field .*price.* Set every field"):
        codec.encode(order)


def test_tracked_state_is_kept_as_plain_data(codec: Codec) -> None:
    tracked = TrackedDict({"list": TrackedList([1, TrackedSet({2})]), "dict": TrackedDict({"a": 1}), "day": (1,)})

    for back in (codec.decode(codec.encode(tracked)), codec.copy(tracked)):
        assert back == {"list": [1, {2}], "dict": {"a": 1}, "day": (1,)}
        assert [type(part) for part in (back, back["list"], back["list"][1], back["dict"])] == [
            dict,
            list,
            set,
            dict,
        ]


def test_tracked_state_of_plain_data_needs_no_full_walk(codec: Codec) -> None:
    tracked = TrackedDict({"rows": TrackedList([TrackedDict({"a": 1})])})

    assert codec.encode(tracked) == codec.encode({"rows": [{"a": 1}]})
    assert type(codec.copy(tracked)["rows"][0]) is dict


def test_copy_shares_nothing_that_can_change(codec: Codec) -> None:
    value = {"rows": [{"a": [1]}], "order": Order([1]), "pair": ([2],)}
    copied = codec.copy(value)

    value["rows"][0]["a"].append(9)  # type: ignore[index]
    value["order"].price.append(9)  # type: ignore[attr-defined]
    value["pair"][0].append(9)  # type: ignore[index]

    assert copied == {"rows": [{"a": [1]}], "order": Order([1]), "pair": ([2],)}


def test_copy_keeps_immutable_parts_by_reference(codec: Codec) -> None:
    blob, price = b"x" * 1000, Decimal("1.5")

    copied = codec.copy({"blob": blob, "list": [price]})

    assert copied["blob"] is blob
    assert copied["list"][0] is price


def test_canonical_ignores_insertion_order(codec: Codec) -> None:
    one = {"a": {1, 2, 3, "x"}, "b": {(1, 2): 1, 3: Order({"p": 1, "q": 2})}, "c": [{"y": 1, "x": 2}]}
    two = {"c": [{"x": 2, "y": 1}], "b": {3: Order({"q": 2, "p": 1}), (1, 2): 1}, "a": {"x", 3, 2, 1}}

    assert codec.canonical(one) == codec.canonical(two) == canonical(one)
    assert codec.canonical(one["c"]) == codec.canonical(two["c"])
    assert codec.decode(codec.canonical(one)) == one


def test_canonical_tells_types_and_orders_apart(codec: Codec) -> None:
    values = [1, 1.0, True, "1", [1], (1,), {1}, frozenset({1}), {"1": 1}, {1: 1}, Decimal(1), [1, 2], [2, 1]]

    assert len({codec.canonical(value) for value in values}) == len(values)


def test_canonical_keeps_long_integers(codec: Codec) -> None:
    assert codec.decode(codec.canonical({"b": 2**80, "a": 1})) == {"a": 1, "b": 2**80}
