"""Exceptions as text, to be kept and sent."""

import traceback

from flowforge.records import ErrorInfo

__all__ = ["error_info"]


def error_info(error: BaseException) -> ErrorInfo:
    """What is kept of `error`: its type, text, traceback and cause; formatting it raises nothing."""
    cause = error.__cause__ or error.__context__
    return ErrorInfo(
        type(error).__name__,
        _text_of(error),
        _encodable("".join(traceback.format_exception(error))),
        None if cause is None else f"{type(cause).__name__}: {_text_of(cause)}",
    )


def _encodable(text: str) -> str:
    """`text` with what UTF-8 has no form of, as in the names of odd files, written as escapes."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def _text_of(error: BaseException) -> str:
    try:
        return _encodable(str(error))
    except Exception as failure:  # noqa: BLE001 - a user's exception may fail to describe itself
        return f"<{type(error).__name__} that cannot be shown: {type(failure).__name__}>"
