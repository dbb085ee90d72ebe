"""The door to numpy: arrays and scalars in its own `.npy` format, never with pickles in them."""

import io
from typing import Any

import numpy as np

from flowforge.stores.codec_blocks import BlockForm
from flowforge.stores.codec_scalars import RefusalError

__all__ = ["NUMPY_FORMS"]

_VERSION = (2, 0)
_LEAVE_OBJECTS = "Give it a dtype without objects, or keep a list."


def _dump_array(array: Any) -> bytes:
    if array.dtype.hasobject:
        raise RefusalError(f"has the dtype {str(array.dtype)!r}, which holds objects", _LEAVE_OBJECTS)
    if np.lib.format.drop_metadata(array.dtype) is not array.dtype:
        raise RefusalError(f"has metadata at its dtype {str(array.dtype)!r}", "Keep that beside the array.")
    file = io.BytesIO()
    try:
        np.lib.format.write_array(file, array, version=_VERSION, allow_pickle=False)
    except UnicodeEncodeError as err:
        raise RefusalError(
            f"has a name of a field that numpy cannot write ({err})", "Name it in Latin letters."
        ) from err
    return file.getvalue()


def _load_array(data: bytes) -> Any:
    file = io.BytesIO(data)
    try:
        if np.lib.format.read_magic(file) != _VERSION:
            raise ValueError("its format has another version")
        shape, is_by_column, dtype = np.lib.format.read_array_header_2_0(file)
        if dtype.hasobject:
            raise ValueError("it holds objects")
        # Over the bytes as they are, what lies between the fields included, and none are taken that are not there.
        return np.ndarray(shape, dtype, bytearray(file.read()), order="F" if is_by_column else "C")
    # A forged header is parsed as Python's literals, with a tokenizer even, and may fail anywhere in there.
    except Exception as err:
        raise ValueError(f"its header is damaged ({err!r})") from err


def _copy_array(array: Any) -> Any:
    if array.dtype.hasobject or array.dtype.fields is not None:
        return _load_array(_dump_array(array))
    # The layout that is read back: that of columns only for what is laid out in columns alone.
    is_by_column = array.flags.f_contiguous and not array.flags.c_contiguous
    return array.copy(order="F" if is_by_column else "C")


def _dump_scalar(scalar: Any) -> bytes:
    if isinstance(scalar, str | bytes) and scalar[-1:] in {"\0", b"\0"}:
        raise RefusalError("ends with a zero, which numpy does not keep", "Keep it as str or bytes.")
    return _dump_array(np.asarray(scalar))


def _load_scalar(data: bytes) -> object:
    scalar: object = _load_array(data)[()]
    if not isinstance(scalar, np.generic):
        raise TypeError(f"expected a scalar, not {scalar!r}")
    return scalar


_SCALARS = tuple({np.dtype(code).type for code in np.typecodes["All"]} - {np.object_})

NUMPY_FORMS = [
    BlockForm("numpy.array", 20, (np.ndarray,), _dump_array, _load_array, _copy_array),
    BlockForm("numpy.scalar", 21, _SCALARS, _dump_scalar, _load_scalar),
]
