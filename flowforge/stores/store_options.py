"""What a store is made with, checked before anything is opened; OptionError names the value and the remedy."""

from __future__ import annotations

import os

from flowforge.option_checks import check_amount, check_whole_number
from flowforge.option_errors import OptionError
from flowforge.stores.codec import Codec

__all__ = ["check_codec", "check_counts", "check_interval", "check_path"]

_STORE = "SqliteStore"


def check_codec(owner: str, codec: object) -> None:
    """Whether `codec` is one, and not its class."""
    if not isinstance(codec, Codec):
        raise OptionError(owner, "codec", codec, "Give a codec, such as Codec().")


def check_path(path: object) -> None:
    """Whether there can be a file of that name."""
    text = os.fspath(path) if isinstance(path, os.PathLike) else path
    if not isinstance(text, str) or "\0" in text or not _is_a_name(text):
        raise OptionError(_STORE, "path", path, "Give the path of a file, as a text or a Path.")


def _is_a_name(text: str) -> bool:
    try:
        os.fsencode(text)
    except UnicodeEncodeError:
        return False
    return True


def check_counts(least: int, **counts: object) -> None:
    """Whether these options of a store are whole numbers, and not less than that."""
    for option, value in counts.items():
        check_whole_number(_STORE, option, value, least=least)


def check_interval(seconds: object) -> None:
    """Whether a store may wait that long between two attempts."""
    check_amount(_STORE, "retry_interval", seconds)
