"""`shared_data` and `shared_log` of a job, as its handlers and its owner see them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, MutableMapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, overload

from flowforge._engine.shared import SharedBuffer
from flowforge._engine.step import Step
from flowforge.at_rest import commit_shared, wait_until_safe
from flowforge.step_context import CURRENT_STEP, call_with_lock

if TYPE_CHECKING:
    from flowforge.job_state import JobState

__all__ = ["SharedData", "SharedLog"]


def _own_step(job_state: JobState) -> Step | None:
    step = CURRENT_STEP.get()
    if isinstance(step, Step) and step.is_open and step.job_state is job_state:
        return step
    return None


def _commit_with_its_step(commit: Callable[[], None]) -> None:
    """Write to a job from outside of its steps: at once, or, inside a step of another job, when that commits."""
    step = CURRENT_STEP.get()
    if isinstance(step, Step) and step.is_open:
        step.do_after_commit(commit)
    else:
        commit()


class SharedData(MutableMapping[str, Any]):
    """A mapping that all routines of a job share.

    Inside a step, reads see what is committed and the step's own writes; writes take effect with the step, and of two
    steps that assign one key the last to commit wins. Outside, each call takes effect at once, and returns with a store
    once that is on disk; inside a step of another job it takes effect when that commits. Values are copied.
    """

    __slots__ = ("_job_state",)

    def __init__(self, job_state: JobState) -> None:
        self._job_state = job_state

    def __getitem__(self, key: str) -> Any:
        missing = object()
        value = self._read(lambda buffer: buffer.get(key, missing))
        if value is missing:
            raise KeyError(key)
        return value

    def __setitem__(self, key: str, value: Any) -> None:
        self._write(lambda buffer: buffer.set(key, value))

    def __delitem__(self, key: str) -> None:
        self[key]
        self._write(lambda buffer: buffer.delete(key))

    def __iter__(self) -> Iterator[str]:
        return iter(self._read(lambda buffer: buffer.keys()))

    def __len__(self) -> int:
        return len(self._read(lambda buffer: buffer.keys()))

    def __repr__(self) -> str:
        return f"SharedData({dict(self)!r})"

    def update_with(self, key: str, change: Callable[[Any], Any]) -> None:
        """Set `key` to `change(value)`, or `change(None)`, computed at commit on the committed value: loses nothing.

        `change` must be pure; it is called with the job's lock held, and once before to show this step its result.
        """
        self._write(lambda buffer: buffer.update_with(key, change))

    def add(self, key: str, amount: float = 1) -> None:
        """Add to a number, from 0, at commit: concurrent additions are all counted."""
        self.update_with(key, lambda value: amount if value is None else value + amount)

    def _read(self, use: Callable[[SharedBuffer], Any]) -> Any:
        step = _own_step(self._job_state)
        if step is not None:
            return use(step.shared_buffer())
        with self._job_state.control_lock:
            return use(self._job_state.shared_buffer())

    def _write(self, use: Callable[[SharedBuffer], None]) -> None:
        step = _own_step(self._job_state)
        if step is not None:
            use(step.shared_buffer())
            return
        with self._job_state.control_lock:
            buffer = self._job_state.shared_buffer()
            call_with_lock(use, buffer)

            def commit() -> None:
                with self._job_state.control_lock:
                    # Apart from what is whole: Ctrl-C ends a function of the user's that does not.
                    changes = call_with_lock(buffer.changes)
                    commit_shared(self._job_state, changes, ())

            _commit_with_its_step(commit)
        wait_until_safe(self._job_state)


class SharedLog(Sequence[Any]):
    """A log that all routines of a job append to; what a step appends takes effect with it.

    What is appended outside takes effect as in `SharedData`.
    """

    __slots__ = ("_job_state",)

    def __init__(self, job_state: JobState) -> None:
        self._job_state = job_state

    def append(self, entry: Any) -> None:
        """Add an entry, which is copied."""
        step = _own_step(self._job_state)
        if step is not None:
            step.append_shared(entry)
            return
        entries = (self._job_state.copy_value(entry, "shared_log entry"),)
        _commit_with_its_step(partial(commit_shared, self._job_state, (), entries))
        wait_until_safe(self._job_state)

    @overload
    def __getitem__(self, index: int) -> Any: ...

    @overload
    def __getitem__(self, index: slice) -> list[Any]: ...

    def __getitem__(self, index: int | slice) -> Any:
        return self._entries()[index]

    def __len__(self) -> int:
        return len(self._entries())

    def __eq__(self, other: object) -> bool:
        return self._entries() == list(other) if isinstance(other, Sequence) else NotImplemented

    __hash__ = None  # type: ignore[assignment]  # compares by its entries, which change

    def __repr__(self) -> str:
        return f"SharedLog({self._entries()!r})"

    def _entries(self) -> list[Any]:
        step = _own_step(self._job_state)
        with self._job_state.control_lock:
            committed = self._job_state.copy_value(self._job_state.data.shared_log, "shared_log")
        own = step.shared_log if step is not None else None
        return [*committed, *(own or ())]
