"""Properties of the codec: whatever it accepts comes back the same, whatever it refuses is found."""

import enum
import json
import math
import subprocess
import sys
from collections import OrderedDict
from dataclasses import dataclass
from datetime import timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flowforge.stores.codec import Codec
from flowforge.stores.codec_errors import DecodeError, UnencodableValueError
from flowforge.stores.codec_types import payload
from flowforge.stores.json_form import from_json, to_json
from flowforge.structs import Struct


@payload("property.suit")
class Suit(enum.Enum):
    HEARTS = "h"
    SPADES = "s"


@payload("property.card")
@dataclass(frozen=True)
class Card:
    suit: Any
    value: Any


@payload("property.hand")
class Hand(Struct):
    cards: Any


zones = (
    st.builds(
        timezone,
        st.timedeltas(min_value=timedelta(hours=-23, minutes=-59), max_value=timedelta(hours=23, minutes=59)),
    )
    | st.none()
)

# A NaN equals no other: as a key or an element it cannot be looked up, so its container cannot be compared.
keys = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(min_value=-(2**200), max_value=2**200)
    | st.floats(allow_nan=False)
    | st.text()
    | st.binary()
    | st.decimals(allow_nan=False)
    | st.datetimes(timezones=zones)
    | st.dates()
    | st.times(timezones=zones)
    | st.timedeltas()
    | st.uuids()
    | st.sampled_from(Suit)
)
scalars = keys | st.floats() | st.decimals()
hashables = st.recursive(
    keys,
    lambda inner: st.tuples(inner, inner) | st.frozensets(inner, max_size=3) | st.builds(Card, inner, inner),
    max_leaves=4,
)
values = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.lists(inner, max_size=4).map(tuple)
        | st.dictionaries(st.text(max_size=3) | st.just("$"), inner, max_size=4)
        | st.dictionaries(hashables, inner, max_size=3)
        | st.sets(hashables, max_size=3)
        | st.frozensets(hashables, max_size=3)
        | st.builds(Card, inner, inner)
        | st.builds(Hand, inner)
    ),
    max_leaves=15,
)


def image(value: Any) -> Any:
    """What tells values apart that == takes for equal: types everywhere, NaN, the sign of zero."""
    kind = type(value)
    if kind is float:
        return kind, "nan" if math.isnan(value) else value.hex()
    if kind in {list, tuple}:
        return kind, [image(item) for item in value]
    if kind in {set, frozenset}:
        return kind, sorted((image(item) for item in value), key=repr)
    if kind is dict:
        return kind, [(image(key), image(item)) for key, item in value.items()]
    if kind in {Card, Hand}:
        return kind, [image(getattr(value, name)) for name in kind.__annotations__]
    return kind, repr(value)


@given(values)
def test_bytes_bring_back_each_value_with_its_types(value: Any) -> None:
    codec = Codec()

    assert image(codec.decode(codec.encode(value))) == image(value)


@given(values)
def test_json_brings_back_each_value_with_its_types(value: Any) -> None:
    codec = Codec()
    text = json.dumps(to_json(value, codec), allow_nan=False)

    assert image(from_json(json.loads(text), codec)) == image(value)


@given(values)
def test_copy_equals_what_bytes_would_bring_back(value: Any) -> None:
    assert image(Codec().copy(value)) == image(value)


@given(values)
def test_canonical_bytes_decode_to_the_value(value: Any) -> None:
    codec = Codec()

    again = codec.decode(codec.canonical(value))

    assert codec.canonical(again) == codec.canonical(value)


@given(st.dictionaries(hashables, values, max_size=5), st.randoms(use_true_random=False))
def test_canonical_bytes_ignore_insertion_order(mapping: dict[Any, Any], random: Any) -> None:
    pairs = list(mapping.items())
    random.shuffle(pairs)

    assert Codec().canonical([dict(pairs), {"x": dict(pairs)}]) == Codec().canonical([mapping, {"x": mapping}])


@given(st.binary(max_size=200))
def test_random_bytes_give_a_value_or_a_decode_error(data: bytes) -> None:
    codec = Codec()
    try:
        value = codec.decode(data)
    except DecodeError:
        return
    assert image(codec.decode(codec.encode(value))) == image(value)


@given(values, st.data())
def test_damaged_bytes_give_a_value_or_a_decode_error(value: Any, data: st.DataObject) -> None:
    codec = Codec()
    encoded = bytearray(codec.encode(value))
    place = data.draw(st.integers(0, len(encoded) - 1))
    encoded[place] = data.draw(st.integers(0, 255))

    try:
        codec.decode(bytes(encoded))
    except DecodeError:
        return


class Stranger:
    pass


class Half(float):
    pass


class Pair(tuple[int, int]):
    __slots__ = ()


strangers = st.sampled_from([Stranger(), Half(0.5), Pair((1, 2)), OrderedDict(), range(3), object, len, 1j, "\ud800"])


@given(strangers, values, st.lists(st.sampled_from(["list", "tuple", "dict", "card", "hand"]), max_size=8))
def test_each_unsupported_value_is_named_by_its_path(stranger: Any, beside: Any, wraps: list[str]) -> None:
    value, path = stranger, ""
    for wrap in wraps:
        value, step = {
            "list": ([beside, value], "[1]"),
            "tuple": ((value, beside), "[0]"),
            "dict": ({"x": beside, ("y",): value}, "[('y',)]"),
            "card": (Card(beside, value), ".value"),
            "hand": (Hand(value), ".cards"),
        }[wrap]
        path = step + path

    codec = Codec()
    for attempt in (codec.check, codec.copy, codec.canonical, lambda v, p: to_json(v, codec, path=p)):
        with pytest.raises(UnencodableValueError) as caught:
            attempt(value, "state")
        assert caught.value.path == "state" + path


def test_canonical_bytes_do_not_depend_on_the_hash_seed() -> None:
    program = (
        "from flowforge.stores.codec import canonical\n"
        "words = {'alpha', 'beta', 'gamma', 'delta', ('x', 'y'), b'z', None}\n"
        "print(canonical([words, frozenset(words), {word: {word} for word in words}]).hex())"
    )

    printed = {
        subprocess.run(
            [sys.executable, "-c", program],
            env={"PYTHONHASHSEED": seed, "PYTHONPATH": ":".join(sys.path)},
            capture_output=True,
            check=True,
        ).stdout
        for seed in ("1", "2", "3")
    }

    assert len(printed) == 1
