"""Damaged and forged data: no code runs, nothing is guessed, each fault has its typed error."""

import pickle
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import pytest

from flowforge.stores.codec import Codec
from flowforge.stores.codec_errors import DecodeError, UnknownPayloadTypeError
from flowforge.stores.codec_types import payload
from flowforge.stores.pickle_codec import PickleCodec
from flowforge.structs import Ext, MsgpackEncoder

ALARMS: list[str] = []


class Bomb:
    """Unpickled, or imported by its name and called, it would ring."""

    def __reduce__(self) -> Any:
        return ALARMS.append, ("unpickled",)


@payload("test.decoding.item")
@dataclass
class Item:
    price: int


def wire(code: int, content: object) -> bytes:
    encode = MsgpackEncoder().encode
    return encode([Ext(code, encode(content))])


FORGED = {
    "a pickle": (pickle.dumps(Bomb()), "it is damaged"),
    "nothing": (b"", "it is damaged"),
    "half a text": (b"\xa5ab", "it is damaged"),
    "bytes after the end": (b"\x01\x02", "it is damaged"),
    "text that is no UTF-8": (b"\xa1\xff", "it is damaged"),
    "a map with a map as key": (b"\x81\x80\x01", "it is damaged"),
    "a promise of four billion items": (b"\xdd\xff\xff\xff\xff", "it is damaged"),
    "an unknown extension": (wire(99, 1), r"unknown extension 99\. Read it with the program that wrote it"),
    "a tuple of no list": (wire(1, 5), "extension 1: expected a list, not 5"),
    "a set of lists": (wire(2, [[1]]), "extension 2: unhashable"),
    "a decimal of letters": (wire(4, "abc"), "extension 4"),
    "a decimal of a list": (wire(4, [0, [1], 0]), "extension 4: expected a text"),
    "a date of February 30": (wire(6, "2024-02-30"), "extension 6"),
    "a datetime without fold": (wire(5, ["2024-01-01"]), "extension 5"),
    "a zone outside of the database": (wire(5, ["2024-01-01", 0, "../../etc/passwd"]), "extension 5"),
    "a zone that is a folder": (wire(5, ["2024-01-01", 0, "Europe"]), "extension 5"),
    "a zone of another kind": (wire(7, ["10:00", 0, 1.5]), "extension 7: expected a time zone"),
    "an offset of days": (wire(7, ["10:00", 0, [10**12, None]]), "extension 7"),
    "a fold of two": (wire(7, ["10:00", 2, None]), "extension 7"),
    "a timedelta of ages": (wire(8, [2**40, 0, 0]), "extension 8"),
    "a timedelta of text": (wire(8, "1"), "extension 8: expected three numbers"),
    "a timedelta of floats": (wire(8, [0.5, 0, 0]), "extension 8: expected an integer"),
    "a UUID of three letters": (wire(9, "abc"), "extension 9"),
    "an integer of letters": (wire(10, "0xyz"), "extension 10"),
    "pairs without the last": (wire(12, [1, 2, 3]), "extension 12"),
    "an object without a version": (wire(11, ["test.decoding.item"]), "extension 11"),
    "an object with a list as name": (wire(11, [["os", "system"], 1, {}]), "malformed payload type"),
    "an object with odd fields": (wire(11, ["test.decoding.item", 1, {1: 2}]), "does not accept its fields"),
    "100,000 lists": (b"\x91" * 100_000 + b"\x01", "nested too deep"),
}


@pytest.mark.parametrize("name", FORGED)
def test_forged_data_runs_no_code_and_is_refused(name: str) -> None:
    data, expected = FORGED[name]

    with pytest.raises(DecodeError, match=f"^The data cannot be decoded: .*{expected}"):
        Codec().decode(data)
    assert ALARMS == []


@pytest.mark.parametrize("name", ["os.system", f"{__name__}.Bomb", "builtins.eval"])
def test_names_in_data_are_never_imported(name: str) -> None:
    with pytest.raises(UnknownPayloadTypeError, match="is unknown"):
        Codec().decode(wire(11, [name, 1, {}]))


def test_tuples_nested_without_end_are_refused() -> None:
    encode = MsgpackEncoder().encode
    data = encode(1)
    for _ in range(2_000):
        data = encode(Ext(1, b"\x91" + data))

    with pytest.raises(DecodeError, match="nested too deep"):
        Codec().decode(data)


def test_damage_at_each_byte_gives_a_value_or_a_typed_error() -> None:
    codec = Codec()
    data = codec.encode({"a": (1, {2}), "b": Item(3), 1: [2**70, b"x"]})

    for place in range(len(data)):
        for flip in (1, 0x80, 0xFF):
            damaged = data[:place] + bytes([data[place] ^ flip]) + data[place + 1 :]
            with suppress(DecodeError):
                codec.decode(damaged)


def test_signed_pickle_is_refused_with_a_hint() -> None:
    data = PickleCodec(b"k" * 16).encode({"a": 1})

    with pytest.raises(DecodeError, match=r"written by a PickleCodec\. Open it with a PickleCodec that has the"):
        Codec().decode(data)
