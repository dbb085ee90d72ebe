"""How one type of numpy, pandas or pyarrow is kept: as a block of bytes in a format of its library."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

__all__ = ["BlockForm"]


@dataclass(frozen=True, slots=True)
class BlockForm:
    """Its tag in JSON, its extension code in bytes, its exact classes, and the way there and back.

    `dump` raises RefusalError for what `load` would not give back, `load` one of LOAD_ERRORS for what `dump` cannot
    have written. `copy` gives what `load` would give of what `dump` gives.
    """

    tag: str
    code: int
    classes: tuple[type, ...]
    dump: Callable[[Any], bytes]
    load: Callable[[bytes], object]
    copy: Callable[[Any], object]
