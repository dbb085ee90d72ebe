"""How one type of numpy, pandas or pyarrow is kept: as a block of bytes in a format of its library."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

__all__ = ["BlockForm"]


@dataclass(frozen=True, slots=True)
class BlockForm:
    """Its tag in JSON, its extension code in bytes, its exact classes, and the way there and back.

    `dump` raises RefusalError for what `load` would not give back, `load` one of LOAD_ERRORS for what `dump` cannot
    have written. `quick_copy` gives the same as both together, in less time.
    """

    tag: str
    code: int
    classes: tuple[type, ...]
    dump: Callable[[Any], bytes]
    load: Callable[[bytes], object]
    quick_copy: Callable[[Any], object] | None = None

    def copy(self, value: Any) -> object:
        """What `load` gives of what `dump` gives; raises RefusalError."""
        return self.load(self.dump(value)) if self.quick_copy is None else self.quick_copy(value)
