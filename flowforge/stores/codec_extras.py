"""The libraries whose values a codec keeps when it is told to: a closed table, of which data chooses nothing."""

import base64
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from flowforge.option_errors import OptionError
from flowforge.stores.codec_blocks import BlockForm
from flowforge.stores.codec_errors import CodecExtraError, DecodeError, MissingExtraError

__all__ = ["BlockForms", "extra_of"]


def _numpy() -> list[BlockForm]:
    from flowforge.stores.codec_numpy import NUMPY_FORMS  # noqa: PLC0415 - an optional extra

    return NUMPY_FORMS


def _pandas() -> list[BlockForm]:
    from flowforge.stores.codec_pandas import PANDAS_FORMS  # noqa: PLC0415 - an optional extra

    return PANDAS_FORMS


def _pyarrow() -> list[BlockForm]:
    from flowforge.stores.codec_arrow import PYARROW_FORMS  # noqa: PLC0415 - an optional extra

    return PYARROW_FORMS


_FORMS: Final[Mapping[str, Callable[[], list[BlockForm]]]] = {"numpy": _numpy, "pandas": _pandas, "pyarrow": _pyarrow}
# Codes are part of the stored format: a number is never given a second meaning.
_BY_CODE: Final = {20: "numpy", 21: "numpy", 22: "pyarrow", 23: "pyarrow", 24: "pandas", 25: "pandas", 26: "pandas"}


def extra_of(cls: type) -> str | None:
    """The library of a class, if codecs can be told to keep values of it."""
    library = cls.__module__.partition(".")[0]
    return library if library in _FORMS else None


class BlockForms:
    """The forms of the libraries that one codec was told of; any thread may call."""

    __slots__ = ("by_class", "by_code", "by_tag", "extras")

    def __init__(self, extras: Iterable[str] = ()) -> None:
        self.by_class: dict[type, BlockForm] = {}
        self.by_code: dict[int, BlockForm] = {}
        self.by_tag: dict[str, BlockForm] = {}
        if not isinstance(extras, Iterable):
            raise OptionError("Codec", "extras", extras, f"Give a list of names among {sorted(_FORMS)!r}.")
        self.extras = (extras,) if isinstance(extras, str) else tuple(extras)
        for extra in self.extras:
            for form in _forms_of(extra):
                self.by_class |= dict.fromkeys(form.classes, form)
                self.by_code[form.code] = self.by_tag[form.tag] = form

    def load(self, code: int, data: bytes) -> object | None:
        """The value of a block, None for a code that is none of a block's; raises DecodeError or LOAD_ERRORS."""
        form = self.by_code.get(code)
        if form is not None:
            return form.load(data)
        if code in _BY_CODE:
            raise _unread(_BY_CODE[code])
        return None

    def load_tagged(self, tag: str, text: Any) -> object | None:
        """The value of a block in JSON, None for a tag that is none of a block's; raises as `load` does."""
        form = self.by_tag.get(tag)
        if form is not None:
            return form.load(base64.b64decode(text, validate=True))
        library = tag.partition(".")[0]
        if library in _FORMS:
            raise _unread(library)
        return None


def _unread(extra: str) -> DecodeError:
    return DecodeError(f"it holds a value of the library {extra!r}", f"Read it with Codec(extras=[{extra!r}]).")


def _forms_of(extra: str) -> list[BlockForm]:
    if extra not in _FORMS:
        raise CodecExtraError(extra, sorted(_FORMS))
    try:
        return _FORMS[extra]()
    except ImportError as err:
        raise MissingExtraError(extra, str(err)) from err
