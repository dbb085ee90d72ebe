"""Which containers of a state the running step has changed, and where in the state they stand."""

from __future__ import annotations

from typing import Any, Final, Protocol

from flowforge._engine.state_errors import StateChangedOutsideStepError

__all__ = ["ABSENT", "Absent", "Changes", "Journal", "Path", "Place", "path_text"]

Path = tuple[object, ...]


class Absent:
    """The type of `ABSENT`."""

    __slots__ = ()


ABSENT: Final = Absent()


def path_text(path: Path) -> str:
    """The path as a user would write it: `state['orders'][3]`.

    The tree of a routine has what the user calls state under that very key, beside what its slots have merged.
    """
    keys = path[1:] if path[:1] == ("state",) else path
    return "state" + "".join(f"[{key!r}]" for key in keys)


class Changes(Protocol):
    """What one container was when the step began, as far as the step has changed it."""

    @property
    def place(self) -> Place:
        """Where the changed container stands."""

    def lost(self) -> list[Any]:
        """The values of the begin of the step that no longer stand where they stood."""

    def undo(self) -> None:
        """Put the container back to what it was when the step began."""

    def close(self) -> None:
        """Let the container forget these changes; what it holds now is what counts."""


class Journal:
    """The changes of the running step, by container, in the order of first change.

    Used only by the thread that runs the step.
    """

    __slots__ = ("changes", "is_open")

    def __init__(self) -> None:
        self.is_open = False
        self.changes: list[Changes] = []

    def close(self) -> None:
        """End the step: what the containers remember of it is dropped."""
        for changes in self.changes:
            changes.close()
        self.changes.clear()
        self.is_open = False


class Place:
    """Where a container stands: the dict keys that lead to it, or to what it is nested in, and its depth.

    Containers inside a list or tuple (`is_nested`) share the path of the outermost one, since a delta
    addresses no deeper.
    """

    __slots__ = ("depth", "is_nested", "journal", "path")

    def __init__(self, journal: Journal, path: Path, depth: int) -> None:
        self.journal = journal
        self.path = path
        self.depth = depth
        self.is_nested = depth > len(path)

    def require_step(self) -> None:
        """Raise StateChangedOutsideStepError when no step is running."""
        if not self.journal.is_open:
            raise StateChangedOutsideStepError(path_text(self.path))
