"""Properties of arrays and tables in the codec: what it accepts comes back the same, live and after a restart."""

from typing import Any

import numpy as np
import pandas as pd  # type: ignore[import-untyped]
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays_of
from hypothesis.extra import pandas as frames_of

from flowforge.stores.codec import Codec
from flowforge.stores.codec_errors import DecodeError, UnencodableValueError
from flowforge.structs import Ext, MsgpackEncoder

CODEC = Codec(extras=["numpy", "pandas"])


def _two_fields(dtype: Any, aligned: bool) -> Any:
    return np.dtype([("x", "i1"), ("y", dtype, (2,))], align=aligned)


scalars = arrays_of.scalar_dtypes() | arrays_of.byte_string_dtypes() | arrays_of.unicode_string_dtypes()
dtypes = scalars | st.builds(_two_fields, scalars, st.booleans())
arrays: st.SearchStrategy[Any] = arrays_of.arrays(dtypes, arrays_of.array_shapes(min_dims=0, min_side=0, max_side=4))
columns = [
    frames_of.column("number", dtype=int),
    frames_of.column("fraction", dtype=float),
    frames_of.column("is_known", dtype=bool),
    frames_of.column("at", dtype="datetime64[ns]"),
    frames_of.column("text", elements=st.text(st.characters(codec="utf-8"))),
]


def views(array: Any) -> list[Any]:
    """The array in layouts that are not its own."""
    return [array, array.T, array[..., ::-1] if array.ndim else array, np.asfortranarray(array)]


@given(arrays)
def test_arrays_come_back_the_same_in_each_layout(array: Any) -> None:
    for view in views(array):
        for back in (CODEC.decode(CODEC.encode(view)), CODEC.copy(view)):
            assert (back.dtype, back.shape, back.tolist().__repr__()) == (
                view.dtype,
                view.shape,
                view.tolist().__repr__(),
            )
            assert back.flags.writeable
            assert not np.shares_memory(back, view)


@given(arrays)
def test_a_copy_has_the_layout_of_what_is_read_back(array: Any) -> None:
    for view in views(array):
        copy, back = CODEC.copy(view), CODEC.decode(CODEC.encode(view))

        assert (copy.flags.c_contiguous, copy.flags.f_contiguous) == (back.flags.c_contiguous, back.flags.f_contiguous)
        assert CODEC.encode(copy) == CODEC.encode(back) == CODEC.encode(view)


@given(frames_of.data_frames(columns))
def test_frames_come_back_the_same(frame: Any) -> None:
    for back in (CODEC.decode(CODEC.encode(frame)), CODEC.copy(frame)):
        pd.testing.assert_frame_equal(back, frame)


@given(st.lists(st.one_of(st.none(), st.integers(), st.text(), st.floats(), st.dates(), st.lists(st.integers()))))
def test_a_series_of_any_objects_comes_back_or_is_refused(values: list[Any]) -> None:
    series = pd.Series(values, dtype=object)
    try:
        data = CODEC.encode(series)
    except UnencodableValueError:
        return
    pd.testing.assert_series_equal(CODEC.decode(data).fillna(0), series.fillna(0))


@given(st.sampled_from([20, 21, 24, 25, 26]), st.binary(max_size=200))
def test_random_blocks_give_a_value_or_a_decode_error(code: int, data: bytes) -> None:
    try:
        CODEC.decode(MsgpackEncoder().encode(Ext(code, data)))
    except DecodeError:
        return
