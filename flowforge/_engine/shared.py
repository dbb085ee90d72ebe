"""Data that the routines of a job share: what is committed, and what one step reads and writes of it."""

from collections.abc import Callable
from typing import Any

from flowforge.records import SharedChange
from flowforge.stores.codec import Codec

__all__ = ["SharedBuffer"]

_SCALARS = frozenset({type(None), bool, int, float, str, bytes})
_GONE = object()


class SharedBuffer:
    """One step's view of `shared_data`: the committed values, and its own writes over them.

    A value that can change in place is handed out as a copy; if the copy was changed by the end of the step, that
    counts as an assignment. Not shared between threads but by the step's own helpers.
    """

    __slots__ = ("_codec", "_committed", "_local", "_read", "_writes")

    def __init__(self, committed: dict[str, Any], codec: Codec) -> None:
        self._committed = committed
        self._codec = codec
        self._local: dict[str, Any] = {}
        self._read: dict[str, bytes] = {}
        self._writes: list[tuple[str, Callable[[Any], Any] | None]] = []

    def get(self, key: str, default: Any = None) -> Any:
        """The value under `key`, as this step sees it."""
        if key in self._local:
            value = self._local[key]
            if value is _GONE:
                return default
            if key not in self._read and type(value) not in _SCALARS:
                self._read[key] = self._codec.encode(value, path=f"shared_data[{key!r}]")
            return value
        value = self._committed.get(key, _GONE)
        if value is _GONE:
            return default
        if type(value) not in _SCALARS:
            path = f"shared_data[{key!r}]"
            value = self._codec.copy(value, path)
            self._read[key] = self._codec.encode(value, path=path)
            self._local[key] = value
        return value

    def keys(self) -> list[str]:
        """The keys that this step sees."""
        gone = {key for key, value in self._local.items() if value is _GONE}
        added = [key for key in self._local if key not in self._committed and key not in gone]
        return [key for key in list(self._committed) if key not in gone] + added

    def set(self, key: str, value: Any) -> None:
        """Assign; of several steps that assign the same key, the last to commit wins."""
        self._read.pop(key, None)
        self._local[key] = value
        self._writes.append((key, None))

    def delete(self, key: str) -> None:
        """Remove a key."""
        self.set(key, _GONE)

    def update_with(self, key: str, change: Callable[[Any], Any]) -> None:
        """Set `key` to `change(committed value or None)` at commit, so that no concurrent change is lost."""
        seen = self.get(key)
        self._read.pop(key, None)
        self._writes.append((key, change))
        self._local[key] = change(seen)

    def changes(self) -> tuple[SharedChange, ...]:
        """What to commit, computed on the values committed now; raises what a change function or the codec raises."""
        for key, before in self._read.items():
            if self._codec.encode(self._local[key], path=f"shared_data[{key!r}]") != before:
                self._writes.insert(0, (key, None))
        result: dict[str, Any] = {}
        assigned: set[str] = set()
        for key, change in self._writes:
            if change is None:
                result[key] = self._local[key]
                assigned.add(key)
            elif key not in assigned:
                value = result.get(key, self._committed.get(key, _GONE))
                result[key] = change(None if value is _GONE else self._codec.copy(value, f"shared_data[{key!r}]"))
        return tuple(self._change(key, value) for key, value in result.items())

    def _change(self, key: str, value: Any) -> SharedChange:
        if value is _GONE:
            return SharedChange(key, None, is_deleted=True)
        return SharedChange(key, self._codec.copy(value, f"shared_data[{key!r}]"))
