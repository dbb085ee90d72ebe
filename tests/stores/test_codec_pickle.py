"""The signed pickle codec: arbitrary objects for those who ask, and nobody else's."""

from typing import Any

import pytest

from flowforge._engine.tracked_dict import TrackedDict
from flowforge._engine.tracked_list import TrackedList
from flowforge.stores.codec import Codec
from flowforge.stores.codec_errors import DecodeError, SigningKeyError, UnencodableValueError
from flowforge.stores.pickle_codec import PickleCodec

KEY = b"0123456789abcdef"
LOADED: list[str] = []


class Witness:
    def __reduce__(self) -> Any:
        return LOADED.append, ("loaded",)


class Stubborn:
    def __reduce__(self) -> Any:
        raise RuntimeError("stays here")

    def __repr__(self) -> str:
        return "<a Stubborn>"


def fail_to_build() -> None:
    raise RuntimeError("moved away")


class Moved:
    def __reduce__(self) -> Any:
        return fail_to_build, ()


def test_any_object_comes_back_even_a_closure() -> None:
    codec, factor = PickleCodec(KEY), 3

    back = codec.decode(codec.encode({"scale": lambda x: x * factor, "big": 1j, "ring": (1,)}))

    assert (back["scale"](5), back["big"], back["ring"]) == (15, 1j, (1,))


def test_copy_is_apart_from_the_original() -> None:
    original = {"list": [1]}

    assert PickleCodec(KEY).copy(original) == original
    assert PickleCodec(KEY).copy(original)["list"] is not original["list"]


def test_tracked_state_is_pickled_as_plain_data() -> None:
    back = PickleCodec(KEY).copy(TrackedDict({"list": TrackedList([1])}))

    assert (type(back), type(back["list"]), back) == (dict, list, {"list": [1]})


def test_tampered_data_is_refused_before_it_is_loaded() -> None:
    codec = PickleCodec(KEY)
    data = codec.encode(Witness())

    for place in range(1, len(data)):
        damaged = data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :]
        with pytest.raises(DecodeError, match=r"its signature does not match\. Use the key"):
            codec.decode(damaged)
    assert LOADED == []


def test_data_signed_with_another_key_is_refused() -> None:
    data = PickleCodec(b"another key, as long").encode(Witness())

    with pytest.raises(DecodeError, match="its signature does not match"):
        PickleCodec(KEY).decode(data)
    assert LOADED == []


@pytest.mark.parametrize("length", range(0, 33, 8))
def test_truncated_data_is_refused(length: int) -> None:
    data = PickleCodec(KEY).encode(1)

    with pytest.raises(DecodeError):
        PickleCodec(KEY).decode(data[:length])


@pytest.mark.parametrize("key", [b"", b"123456789012345"])
def test_short_key_is_refused(key: bytes) -> None:
    with pytest.raises(SigningKeyError, match=rf"A signing key of {len(key)} bytes is too short\. Use at least 16"):
        PickleCodec(key)


def test_data_of_a_plain_codec_is_refused() -> None:
    with pytest.raises(DecodeError, match=r"it was not written by a PickleCodec\. Open it with a Codec"):
        PickleCodec(KEY).decode(Codec().encode({"a": 1}))


def test_object_that_cannot_be_pickled_is_refused() -> None:
    with pytest.raises(UnencodableValueError, match=r"cannot be pickled .*'stays here'.*\. Keep what") as caught:
        PickleCodec(KEY).check([Stubborn()], "state")
    assert (caught.value.path, caught.value.value) == ("state", "[<a Stubborn>]")


def test_object_that_cannot_be_built_again_is_a_decode_error() -> None:
    codec = PickleCodec(KEY)

    with pytest.raises(DecodeError, match=r"its objects cannot be built again \(RuntimeError\('moved away'\)\)"):
        codec.decode(codec.encode(Moved()))


def test_canonical_form_stays_closed() -> None:
    assert PickleCodec(KEY).canonical({"b": 1, "a": 2}) == Codec().canonical({"a": 2, "b": 1})
    with pytest.raises(UnencodableValueError, match="unregistered type"):
        PickleCodec(KEY).canonical(Stubborn())
