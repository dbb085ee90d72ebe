"""Arrays and scalars of numpy: kept by a codec that is told of them, in a format without pickles."""

import subprocess
import sys
from typing import Any

import numpy as np
import pytest

from flowforge import Codec
from flowforge.stores.codec_errors import CodecExtraError, DecodeError, MissingExtraError, UnencodableValueError
from flowforge.stores.json_form import from_json, to_json
from flowforge.structs import Ext, MsgpackEncoder

CODEC = Codec(extras=["numpy"])
ARRAYS = {
    "no dimension": np.array(5),
    "no element": np.zeros((0, 3)),
    "every second": np.arange(10)[::2],
    "backwards": np.arange(4)[::-1],
    "by column": np.asfortranarray(np.arange(6).reshape(2, 3)),
    "transposed slice": np.arange(24).reshape(2, 3, 4)[:, 1:, ::2].T,
    "big end first": np.array([1, 2], dtype=">i4"),
    "texts": np.array(["a", "b\u00e9"]),
    "times": np.array(["2020-01-01", "NaT"], dtype="M8[D]"),
    "fields": np.array([(1, (2.5, 3.5))], dtype=[("\u00e9", "i4"), ("b", "f8", (2,))]),
    "gaps": np.frombuffer(
        bytes(range(48)), np.dtype({"names": ["a", "b"], "formats": ["i4", "i8"], "offsets": [0, 8]})
    ),
    "raw": np.array([b"abcd"], dtype="V4"),
    "complex": np.array([1 + 2j]),
}
SCALARS = [
    np.float64(0.1),
    np.float16(2),
    np.int8(-3),
    np.uint64(2**64 - 1),
    np.bool_(True),
    np.complex64(1j),
    np.datetime64("2020-01-01T00:00:01"),
    np.datetime64("NaT"),
    np.timedelta64(3, "h"),
    np.str_("\u00e9"),
    np.bytes_(b"a"),
    np.array([(1, 2.5)], dtype=[("a", "i4"), ("b", "f8")])[0],
]


def through_bytes(value: Any) -> Any:
    return CODEC.decode(CODEC.encode(value))


def through_json(value: Any) -> Any:
    return from_json(to_json(value, CODEC), CODEC)


WAYS = [through_bytes, through_json, CODEC.copy]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", ARRAYS)
def test_an_array_comes_back_with_its_dtype_and_layout(name: str, way: Any) -> None:
    array = ARRAYS[name]

    back = way({"in": [array]})["in"][0]

    assert (type(back), back.dtype, back.shape) == (np.ndarray, array.dtype, array.shape)
    assert back.tobytes() == array.tobytes()
    assert back.flags.f_contiguous == (array.flags.f_contiguous or (back.flags.c_contiguous and back.ndim < 2))


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("scalar", SCALARS, ids=repr)
def test_a_scalar_comes_back_with_its_type(scalar: Any, way: Any) -> None:
    back = way(scalar)

    assert (type(back), repr(back)) == (type(scalar), repr(scalar))


@pytest.mark.parametrize("way", WAYS)
def test_what_comes_back_is_apart_and_can_be_written(way: Any) -> None:
    array = np.arange(3)
    array.flags.writeable = False

    back = way(array)
    back[0] = 9

    assert (back.tolist(), array.tolist()) == ([9, 1, 2], [0, 1, 2])


@pytest.mark.parametrize("dtype", ["O", [("a", "i4"), ("b", "O")]])
def test_an_array_of_objects_is_refused_by_path(dtype: Any) -> None:
    array = np.zeros(1, dtype=dtype)

    for attempt in (CODEC.check, CODEC.copy, CODEC.canonical):
        with pytest.raises(
            UnencodableValueError, match=r"which holds objects\. Give it a dtype without objects"
        ) as caught:
            attempt({"x": [array]}, "payload")
        assert caught.value.path == "payload['x'][0]"


def test_what_the_format_would_drop_is_refused() -> None:
    with pytest.raises(UnencodableValueError, match=r"has metadata at its dtype 'int32'\. Keep that beside the array"):
        CODEC.encode(np.zeros(2, np.dtype("i4", metadata={"unit": "m"})))
    with pytest.raises(UnencodableValueError, match=r"ends with a zero, which numpy does not keep\. Keep it as str"):
        CODEC.encode(np.str_("a\0"))
    with pytest.raises(UnencodableValueError, match=r"has a name of a field that .*\. Name it in Latin letters"):
        CODEC.encode(np.zeros(1, [("\u0100", "i4")]))


def test_subclasses_of_arrays_are_refused() -> None:
    with pytest.raises(UnencodableValueError, match=r"type 'numpy\.ma\..*MaskedArray'\. Keep a plain array or ta"):
        CODEC.encode(np.ma.array([1], mask=[True]))


def test_a_codec_that_was_not_told_says_how() -> None:
    with pytest.raises(UnencodableValueError, match=r"told of their library, Codec\(extras=\['numpy'\]\); else keep"):
        Codec().encode({"x": np.zeros(1)})
    data = CODEC.encode(np.zeros(1))
    with pytest.raises(DecodeError, match=r"a value of the library 'numpy'\. Read it with Codec\(extras=\['numpy'\]\)"):
        Codec().decode(data)
    with pytest.raises(DecodeError, match="a value of the library 'numpy'"):
        from_json(to_json(np.zeros(1), CODEC), Codec())


def test_one_library_may_be_named_without_a_list() -> None:
    assert Codec(extras="numpy").decode(CODEC.encode(np.arange(3))).tolist() == [0, 1, 2]


def test_an_unknown_library_is_refused() -> None:
    with pytest.raises(CodecExtraError, match=r"values of the library 'polars'\. Choose of \['numpy', 'pandas', 'pya"):
        Codec(extras=["polars"])


def test_a_library_that_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "flowforge.stores.codec_numpy")
    monkeypatch.setitem(sys.modules, "numpy", None)

    with pytest.raises(
        MissingExtraError, match=r"of the library 'numpy': .*\. Install it, as pip install 'flowforge\[nu"
    ):
        Codec(extras=["numpy"])


def forged(data: bytes, code: int = 20) -> bytes:
    return MsgpackEncoder().encode(Ext(code, data))


def with_header(header: str, version: bytes = b"\x02\x00") -> bytes:
    return b"\x93NUMPY" + version + len(header).to_bytes(4, "little") + header.encode()


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x80\x04.",
        with_header("{'descr': '<i8', 'fortran_order': False, 'shape': (100000000000000000,), }"),
        with_header("{'descr': '|O', 'fortran_order': False, 'shape': (1,), }") + b"\x80\x04N.",
        with_header("{'descr': '<i8', 'fortran_order': False, 'shape': (2,), }") + bytes(8),
        with_header("{'descr': '<i8', 'fortran_order': False, 'shape': (1,), }", b"\x03\x00") + bytes(8),
        with_header("(" * 5000),
        with_header("{'descr': __import__('os').getcwd(), 'fortran_order': False, 'shape': (1,), }"),
    ],
)
def test_forged_arrays_are_decode_errors(data: bytes) -> None:
    with pytest.raises(DecodeError):
        CODEC.decode(forged(data))


def test_a_block_in_json_is_nothing_but_base64() -> None:
    tree = to_json(np.zeros(1), CODEC)
    tree["v"] = "*" + tree["v"]

    with pytest.raises(DecodeError):
        from_json(tree, CODEC)


def test_an_array_in_the_place_of_a_scalar_is_a_decode_error() -> None:
    data = CODEC.types.blocks.by_code[20].dump(np.zeros(2))

    with pytest.raises(DecodeError, match="expected a scalar"):
        CODEC.decode(forged(data, 21))


def test_importing_flowforge_imports_no_library_of_arrays() -> None:
    program = "import flowforge, sys; print(sorted({'numpy', 'pandas', 'pyarrow', 'cryptography'} & set(sys.modules)))"

    printed = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)

    assert printed.stdout == "[]\n"
