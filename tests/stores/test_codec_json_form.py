"""The JSON form: the same values, types and refusals as the bytes."""

import enum
import json
import math
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import pytest

from flowforge.stores.codec import Codec
from flowforge.stores.codec_errors import DecodeError, UnencodableValueError, UnknownPayloadTypeError
from flowforge.stores.codec_types import payload
from flowforge.stores.json_form import from_json, to_json


@payload("test.json.size")
class Size(enum.Enum):
    BIG = 1


@payload("test.json.parcel")
@dataclass
class Parcel:
    size: Size
    content: Any = None


def through_text(value: Any) -> Any:
    codec = Codec()
    return from_json(json.loads(json.dumps(to_json(value, codec), allow_nan=False)), codec)


def test_plain_data_stays_readable_json() -> None:
    value = {"a": [1, 2.5, None, True, "x"], "b": {"c": {}}}

    assert to_json(value, Codec()) == value


def test_other_values_become_tagged_objects() -> None:
    tree = to_json({"at": (1, b"hi"), "price": Decimal("1.0"), 1: math.inf}, Codec())

    assert tree == {
        "$": "dict",
        "v": [
            ["at", {"$": "tuple", "v": [1, {"$": "bytes", "v": "aGk="}]}],
            ["price", {"$": "decimal", "v": "1.0"}],
            [1, {"$": "float", "v": "inf"}],
        ],
    }


@pytest.mark.parametrize(
    "value",
    [
        {"$": "tuple", "v": [1]},
        {1: "a", "1": "b", None: "c", (1, b"x"): "d"},
        {2**64, -(2**70)},
        [frozenset({(1, 2)}), -math.inf, b""],
        Parcel(Size.BIG, {"$": Parcel(Size.BIG)}),
    ],
    ids=repr,
)
def test_values_survive_json_text(value: Any) -> None:
    assert through_text(value) == value


def test_refusal_names_the_path_as_encode_does() -> None:
    with pytest.raises(UnencodableValueError, match="unregistered type 'object'") as caught:
        to_json({"parcels": [Parcel(Size.BIG, object())]}, Codec(), path="state")

    assert caught.value.path == "state['parcels'][0].content"


def nested(depth: int, tree: Any) -> Any:
    for _ in range(depth):
        tree = [tree]
    return tree


FORGED = {
    "an unknown tag": ({"$": "os.system", "v": "x"}, r"unknown tag 'os\.system'\. Read it with the program"),
    "a tag that is no text": ({"$": 1, "v": 1}, r"an object with the key '\$' is not a tagged value"),
    "a tag without value": ({"$": "tuple"}, "is not a tagged value"),
    "more than a tag": ({"$": "tuple", "v": [], "w": 1}, "is not a tagged value"),
    "a tuple of a text": ({"$": "tuple", "v": "ab"}, "tag 'tuple': expected a list, not 'ab'"),
    "a set of lists": ({"$": "set", "v": [[1]]}, "tag 'set': unhashable"),
    "a strange float": ({"$": "float", "v": "many"}, "tag 'float': 'many'"),
    "bytes that are no base64": ({"$": "bytes", "v": "?"}, "tag 'bytes'"),
    "a decimal of a number": ({"$": "decimal", "v": 1}, "tag 'decimal': expected a text, not 1"),
    "a dict of a text": ({"$": "dict", "v": "abcd"}, "tag 'dict': expected a list"),
    "a pair of one": ({"$": "dict", "v": [[1]]}, "tag 'dict': not enough values"),
    "an object of two": ({"$": "object", "v": ["a", 1]}, "tag 'object': not enough values"),
    "an object with a list of fields": ({"$": "object", "v": ["a", 1, []]}, "expected a dict, not \\[\\]"),
    "an object without name": ({"$": "object", "v": [None, 1, {}]}, "malformed payload type"),
    "what is no JSON": ([{1}], "JSON has no 'set'"),
    "101 levels": (nested(101, 1), "nested too deep"),
    "101 levels in a dict": (nested(99, {"$": "dict", "v": [[1, [2]]]}), "nested too deep"),
}


@pytest.mark.parametrize("name", FORGED)
def test_forged_tree_is_refused(name: str) -> None:
    tree, message = FORGED[name]

    with pytest.raises(DecodeError, match=f"^The data cannot be decoded: .*{message}"):
        from_json(tree, Codec())


def test_name_of_an_unknown_type_is_refused() -> None:
    with pytest.raises(UnknownPayloadTypeError, match=r"'test\.json\.none' is unknown"):
        from_json({"$": "object", "v": ["test.json.none", 1, {}]}, Codec())


def test_100_levels_survive_json() -> None:
    value: Any = 1
    for turn in range(100):
        value = ((value,), [value], {"$": value}, Parcel(Size.BIG, value))[turn % 4]

    # The enum beside the last value is one level more than the chain, so it must not be the deepest.
    assert through_text(value) == value
