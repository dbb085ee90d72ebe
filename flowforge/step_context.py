"""The step that the calling code belongs to: what `emit`, state and job context resolve to."""

import contextvars
import random
from collections.abc import Callable
from typing import Any, ParamSpec, Protocol, TypeVar

__all__ = ["CURRENT_STEP", "MAY_WAIT", "StepContext", "call_with_lock"]

P = ParamSpec("P")
T = TypeVar("T")


class StepContext(Protocol):
    """What the engine's step offers to the routine whose handler it calls; for that handler's thread or task only."""

    @property
    def is_open(self) -> bool:
        """False once the step has ended; whatever still refers to it then is too late."""
        ...

    @property
    def routine(self) -> object:
        """The instance whose handler is called."""
        ...

    @property
    def state(self) -> dict[str, Any]:
        """The routine's state, tracked; changes take effect with the step."""
        ...

    @property
    def job_state(self) -> Any:
        """The job's JobState."""
        ...

    @property
    def routine_id(self) -> str:
        """The id of the routine in its flow."""
        ...

    @property
    def is_cancelled(self) -> bool:
        """Whether this step's effects will be refused: its job was cancelled, or its time is over."""
        ...

    @property
    def random(self) -> random.Random:
        """Seeded by what the step was called with, so every attempt draws the same numbers."""
        ...

    def owns(self, routine: object) -> bool:
        """Whether `routine` is the one whose step this is: its instance or its template."""
        ...

    def emit(self, event: str, payload: dict[str, Any]) -> None:
        """Buffer `payload` for all that `event` is connected to."""
        ...

    def emit_later(self, event: str, payload: dict[str, Any], due: float, delay: float) -> None:
        """Buffer `payload` for all that `event` is connected to, to be sent at `due`, in `delay` seconds."""
        ...

    def send_output(self, name: str, payload: dict[str, Any]) -> None:
        """Buffer `payload` for the job's output handler."""
        ...

    def now(self) -> float:
        """Seconds since the epoch, by the runtime's clock."""
        ...

    def idempotency_key(self) -> str:
        """The same text for every attempt at this call, another for each further call inside the step."""
        ...


CURRENT_STEP: contextvars.ContextVar[StepContext | None] = contextvars.ContextVar("flowforge_step", default=None)

MAY_WAIT: contextvars.ContextVar[bool] = contextvars.ContextVar("flowforge_may_wait", default=True)
"""Whether a command may wait for the disk here: not where a job's lock is held, which the store's writer may need."""


def call_with_lock(call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Call a function of the user's with a job's lock held: what it asks of jobs is done, but not waited for."""

    def unwaiting() -> T:
        MAY_WAIT.set(False)
        return call(*args, **kwargs)

    # In a context of its own: whoever is interrupted has nothing to put back.
    return contextvars.copy_context().run(unwaiting)
