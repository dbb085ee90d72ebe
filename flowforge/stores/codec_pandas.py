"""The door to pandas: frames, series and indexes by way of Arrow, whose notes bring back dtypes and index."""

from typing import Any

import pandas as pd  # type: ignore[import-untyped]

from flowforge.stores.codec_arrow import dump_frame, load_frame
from flowforge.stores.codec_blocks import BlockForm
from flowforge.stores.codec_scalars import RefusalError

__all__ = ["PANDAS_FORMS"]

_UNIFORM = "Give each column a dtype of its own, such as 'string' or 'Int64', and all columns names of one type."
_TEXTS = "Give each level of the index a name that is text, or none."
_NAMED, _UNNAMED = b"\1", b"\0"


def _dump_frame(frame: Any) -> bytes:
    names = frame.columns
    if names.inferred_type.startswith("mixed") and not isinstance(names, pd.MultiIndex):
        raise RefusalError("has names of columns of several types", _UNIFORM)
    if not all(name is None or isinstance(name, str) for name in frame.index.names):
        raise RefusalError("has an index whose name is no text", _TEXTS)
    data = dump_frame(frame)
    if not _comes_back(data, frame):
        raise RefusalError("does not come back as it is from Arrow", _UNIFORM)
    return data


def _comes_back(data: bytes, frame: Any) -> bool:
    try:
        back = load_frame(data)
    except ValueError:
        return False
    return (
        bool(back.equals(frame))
        and back.dtypes.tolist() == frame.dtypes.tolist()
        and _describe(back.index) == _describe(frame.index)
        and _describe(back.columns) == _describe(frame.columns)
    )


def _describe(index: Any) -> tuple[object, ...]:
    dtypes = index.dtypes.tolist() if isinstance(index, pd.MultiIndex) else [index.dtype]
    return list(index.names), dtypes


def _dump_series(series: Any) -> bytes:
    flag = _UNNAMED if series.name is None else _NAMED
    return flag + _dump_frame(series.to_frame())


def _load_series(data: bytes) -> object:
    flag, frame = data[:1], load_frame(data[1:])
    if flag not in {_NAMED, _UNNAMED} or len(frame.columns) != 1:
        raise ValueError("it is no series")
    series = frame.iloc[:, 0]
    return series if flag == _NAMED else series.rename(None)


def _dump_index(index: Any) -> bytes:
    return _dump_frame(pd.DataFrame({"": False}, index=index))


def _load_index(data: bytes) -> object:
    return load_frame(data).index


_INDEXES = (
    pd.Index,
    pd.RangeIndex,
    pd.MultiIndex,
    pd.CategoricalIndex,
    pd.DatetimeIndex,
    pd.TimedeltaIndex,
    pd.PeriodIndex,
    pd.IntervalIndex,
)

PANDAS_FORMS = [
    BlockForm("pandas.frame", 24, (pd.DataFrame,), _dump_frame, load_frame),
    BlockForm("pandas.series", 25, (pd.Series,), _dump_series, _load_series),
    BlockForm("pandas.index", 26, _INDEXES, _dump_index, _load_index),
]
