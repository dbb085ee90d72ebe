"""Tables of pandas and pyarrow: kept as Arrow's streams by a codec that is told of them."""

import datetime as dt
import decimal
from typing import Any

import numpy as np
import pandas as pd  # type: ignore[import-untyped]
import pyarrow as pa  # type: ignore[import-untyped]
import pytest

from flowforge import Codec
from flowforge.stores.codec_errors import DecodeError, UnencodableValueError
from flowforge.stores.json_form import from_json, to_json
from flowforge.structs import Ext, MsgpackEncoder

CODEC = Codec(extras=["pandas", "pyarrow"])
PAIRS = pd.MultiIndex.from_tuples([(1, "a"), (2, "b")], names=["x", None])
FRAMES = {
    "categories": pd.DataFrame({"a": pd.Categorical(["x", "y"], categories=["y", "x", "z"], ordered=True)}),
    "times": pd.DataFrame({"a": pd.to_datetime(["2020-01-01", None]).tz_localize("Europe/Berlin")}),
    "nullable": pd.DataFrame({"a": pd.array([1, None], dtype="Int64"), "b": pd.array([True, None], dtype="boolean")}),
    "texts": pd.DataFrame({"a": ["s", None], "b": pd.array(["s", None], dtype="string")}),
    "dates": pd.DataFrame({"a": [dt.date(2020, 1, 1)], "b": [decimal.Decimal("1.50")], "c": [b"x"]}),
    "two levels": pd.DataFrame({"a": [1.5, np.nan]}, index=PAIRS),
    "two levels above": pd.DataFrame([[1, 2]], columns=PAIRS),
    "numbers as names": pd.DataFrame([[1, 2]], columns=[7, 8]),
    "named index": pd.DataFrame({"a": [1]}, index=pd.Index([5], name="a")),
    "empty": pd.DataFrame(),
    "no column": pd.DataFrame(index=pd.RangeIndex(3)),
}
SERIES = {
    "named": pd.Series([1, 2], name="n"),
    "unnamed": pd.Series([1.5]),
    "called zero": pd.Series([1], name=0),
    "by time": pd.Series(["a"], index=pd.DatetimeIndex(["2020-01-01"], tz="UTC"), name="x"),
}
INDEXES = [
    pd.Index(["a", "b"], name="n"),
    pd.RangeIndex(3, 9, 2),
    PAIRS,
    pd.CategoricalIndex(["a", "b", "a"]),
    pd.DatetimeIndex(["2020-01-01"]),
    pd.TimedeltaIndex(["1 day"]),
    pd.period_range("2020-01", periods=2, freq="M"),
    pd.interval_range(0, 2),
]
TABLES = {
    "plain": pa.table({"a": [1, None], "b": ["x", "y"]}),
    "nested": pa.table({"a": [[{"b": 1}], []]}),
    "words": pa.table({"a": pa.array(["x", "y", "x"]).dictionary_encode()}),
    "with notes": pa.table({"a": [1]}).replace_schema_metadata({"who": "me"}),
    "no column": pa.table({}),
    "a slice": pa.table({"a": list(range(100))}).slice(50, 2),
    "no row": pa.table({"a": pa.array([], pa.decimal128(5, 2))}),
}


def through_bytes(value: Any) -> Any:
    return CODEC.decode(CODEC.encode(value))


def through_json(value: Any) -> Any:
    return from_json(to_json(value, CODEC), CODEC)


WAYS = [through_bytes, through_json, CODEC.copy]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", FRAMES)
def test_a_frame_comes_back_with_its_dtypes_and_index(name: str, way: Any) -> None:
    pd.testing.assert_frame_equal(way([FRAMES[name]])[0], FRAMES[name])


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", SERIES)
def test_a_series_comes_back_with_its_name(name: str, way: Any) -> None:
    pd.testing.assert_series_equal(way(SERIES[name]), SERIES[name])


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("index", INDEXES, ids=lambda index: type(index).__name__)
def test_an_index_comes_back_with_its_class(index: Any, way: Any) -> None:
    pd.testing.assert_index_equal(way(index), index, exact=True)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", TABLES)
def test_a_table_comes_back_with_its_schema(name: str, way: Any) -> None:
    table = TABLES[name]

    back = way(table)

    assert (type(back), back) == (pa.Table, table)
    assert back.schema.equals(table.schema, check_metadata=True)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("rows", [0, 2])
def test_a_record_batch_comes_back(rows: int, way: Any) -> None:
    batch = pa.RecordBatch.from_pydict({"a": pa.array(range(rows), pa.int8())})

    back = way(batch)

    assert (type(back), back) == (pa.RecordBatch, batch)


@pytest.mark.parametrize("way", WAYS)
def test_a_frame_that_comes_back_is_apart_and_can_be_written(way: Any) -> None:
    frame = pd.DataFrame({"a": [1, 2], "b": ["x", "y"]})

    back = way(frame)
    back.loc[0, "a"] = 9
    back["a"].to_numpy(copy=False)

    assert (back["a"].tolist(), frame["a"].tolist()) == ([9, 2], [1, 2])


SEVERAL_TYPES = r"has names of columns of several types\. Give each column a dtype of its own"
NOT_AS_IT_IS = r"does not come back as it is from Arrow\. Give each column a dtype of its own"
HOLDS_OTHERS = r"has values that hold others\. Keep those in a pyarrow Table"
NO_FORM = r"has no form in Arrow \(.*\)\. Give its columns types that Arrow has"
NO_TEXT = r"has an index whose name is no text\. Give each level of the index a name that is text, or none\."
REFUSED = {
    "objects": (pd.DataFrame({"a": [1, 2]}, dtype=object), NOT_AS_IT_IS),
    "lists": (pd.DataFrame({"a": [[1], [2]]}), HOLDS_OTHERS),
    "values of two types": (pd.DataFrame({"a": ["x", 1]}), NO_FORM),
    "dicts": (pd.DataFrame({"a": [{"x": 1}, {"y": 2}]}), HOLDS_OTHERS),
    "complex numbers": (pd.DataFrame({"a": [1j]}), NO_FORM),
    "a name twice": (pd.DataFrame([[1, 2]], columns=["a", "a"]), NO_FORM),
    "names of two types": (pd.DataFrame([[1, 2]], columns=[0, "a"]), SEVERAL_TYPES),
    "sparse": (pd.DataFrame({"a": pd.arrays.SparseArray([0, 1])}), NO_FORM),
    "truths as names": (pd.DataFrame([[1, 2]], columns=[True, False]), NOT_AS_IT_IS),
    "objects as index": (pd.DataFrame({"a": [1]}, index=pd.Index([5], dtype=object)), NOT_AS_IT_IS),
    "a number as the index's name": (pd.DataFrame({"a": [1]}, index=pd.Index([5], name=3)), NO_TEXT),
    "a name of Arrow's": (pd.DataFrame({"a": [1]}, index=pd.Index([5], name="__index_level_0__")), NOT_AS_IT_IS),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_frame_that_would_come_back_otherwise_is_refused(name: str) -> None:
    frame, reason = REFUSED[name]

    for attempt in (CODEC.check, CODEC.copy):
        with pytest.raises(UnencodableValueError, match=reason) as caught:
            attempt({"x": frame}, "payload")
        assert caught.value.path == "payload['x']"


def test_a_codec_that_was_not_told_says_how() -> None:
    with pytest.raises(UnencodableValueError, match=r"Codec\(extras=\['pandas'\]\)"):
        Codec(extras=["pyarrow"]).encode(pd.DataFrame())
    with pytest.raises(UnencodableValueError, match=r"Codec\(extras=\['pyarrow'\]\)"):
        Codec().encode(pa.table({}))
    with pytest.raises(DecodeError, match=r"Read it with Codec\(extras=\['pandas'\]\)"):
        Codec().decode(CODEC.encode(pd.DataFrame()))


@pytest.mark.parametrize("code", range(22, 27))
def test_damaged_tables_are_decode_errors_or_other_tables(code: int) -> None:
    values = {22: TABLES["plain"], 23: TABLES["plain"].to_batches()[0], 24: FRAMES["two levels"], 25: SERIES["named"]}
    data = CODEC.types.blocks.by_code[code].dump(values.get(code, PAIRS))

    for place in range(0, len(data), 7):
        damaged = data[:place] + bytes([data[place] ^ 0x41]) + data[place + 1 :]
        try:
            CODEC.decode(MsgpackEncoder().encode(Ext(code, damaged)))
        except DecodeError:
            continue


@pytest.mark.parametrize("code", range(22, 27))
@pytest.mark.parametrize("length", [0, 1, 50])
def test_truncated_tables_are_decode_errors(code: int, length: int) -> None:
    data = CODEC.types.blocks.by_code[24].dump(FRAMES["two levels"])[:length]

    with pytest.raises(DecodeError, match="it is damaged"):
        CODEC.decode(MsgpackEncoder().encode(Ext(code, data)))


def test_several_batches_in_the_place_of_one_are_refused() -> None:
    table = pa.concat_tables([TABLES["plain"], TABLES["plain"]])
    data = CODEC.types.blocks.by_code[22].dump(table)

    with pytest.raises(DecodeError, match="expected one record batch, not 2"):
        CODEC.decode(MsgpackEncoder().encode(Ext(23, data)))


def test_two_columns_in_the_place_of_a_series_are_refused() -> None:
    data = CODEC.types.blocks.by_code[24].dump(pd.DataFrame({"a": [1], "b": [2]}))

    with pytest.raises(DecodeError, match="it is no series"):
        CODEC.decode(MsgpackEncoder().encode(Ext(25, b"\1" + data)))
