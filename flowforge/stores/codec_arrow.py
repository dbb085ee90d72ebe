"""The door to pyarrow: tables and record batches as streams of Arrow's interprocess format."""

from typing import Any

import pyarrow as pa  # type: ignore[import-untyped]

from flowforge.stores.codec_blocks import BlockForm
from flowforge.stores.codec_scalars import RefusalError

__all__ = ["PYARROW_FORMS", "dump_frame", "load_frame"]

# Threads of Arrow's own would not follow a fork.
_WRITE = pa.ipc.IpcWriteOptions(use_threads=False)
_READ = pa.ipc.IpcReadOptions(use_threads=False)
_ERRORS = (pa.ArrowException, ValueError, TypeError, ArithmeticError)


def _dump(holder: Any) -> bytes:
    stream = pa.BufferOutputStream()
    with pa.ipc.new_stream(stream, holder.schema, options=_WRITE) as writer:
        writer.write(holder)
    return bytes(stream.getvalue())


def _read(data: bytes) -> tuple[Any, list[Any]]:
    """The schema and the batches of a stream."""
    try:
        reader = pa.ipc.open_stream(data, options=_READ)
        batches = list(reader)
        for batch in batches:
            # Forged offsets must not lead out of the buffers.
            batch.validate(full=True)
    except (pa.ArrowException, MemoryError) as err:
        raise ValueError(f"it is no stream of Arrow ({err})") from err
    return reader.schema, batches


def _load_table(data: bytes) -> Any:
    schema, batches = _read(data)
    return pa.Table.from_batches(batches, schema)


def _load_batch(data: bytes) -> object:
    batches = _read(data)[1]
    if len(batches) != 1:
        raise ValueError(f"expected one record batch, not {len(batches)}")
    return batches[0]


def dump_frame(frame: Any) -> bytes:
    """The bytes of a pandas DataFrame with its index; RefusalError for what Arrow has no form of."""
    try:
        # A range is kept as such, but for a frame without columns, which would lose its rows.
        keeps_index = None if len(frame.columns) else True
        table = pa.Table.from_pandas(frame, preserve_index=keeps_index, nthreads=1)
        data = _dump(table)
    except _ERRORS as err:
        raise RefusalError(f"has no form in Arrow ({err})", "Give its columns types that Arrow has.") from err
    if any(pa.types.is_nested(kind) for kind in table.schema.types):
        # Lists would come back as arrays, which compare as equal to them.
        raise RefusalError("has values that hold others", "Keep those in a pyarrow Table, or in lists and dicts.")
    return data


def load_frame(data: bytes) -> Any:
    """The DataFrame of those bytes, whose memory is its own; ValueError for any others."""
    table = _load_table(data)
    try:
        # What shares Arrow's buffers cannot be written to.
        return table.to_pandas(use_threads=False).copy()
    # Forged notes about columns and index may fail anywhere in pandas.
    except Exception as err:
        raise ValueError(f"it is no DataFrame ({err!r})") from err


PYARROW_FORMS = [
    BlockForm("pyarrow.table", 22, (pa.Table,), _dump, _load_table),
    BlockForm("pyarrow.batch", 23, (pa.RecordBatch,), _dump, _load_batch),
]
