"""What a simulated run is given from outside, one thing after the other: payloads, posts and commands."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from actors.dispatcher import Group
from flowforge._engine import control
from flowforge._engine.control import check_payload
from flowforge.errors import FlowForgeError
from flowforge.job_errors import JobFinishedError
from flowforge.runtime_checks import check_fits_handler
from flowforge.stores.codec_errors import UnencodableValueError
from flowforge.testing.simulation_errors import SimulationUseError

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable

    from actors.dispatcher import TurnLimits
    from flowforge._engine.plan import FlowPlan
    from flowforge.job_state import JobState

__all__ = ["Cancel", "Close", "Command", "Driver", "Input", "Pause", "Post", "Resume", "commands_of"]


@dataclass(frozen=True, slots=True)
class Pause:
    """Pause the job at this point of the inputs; those after it wait until it rests."""

    reason: str = ""


@dataclass(frozen=True, slots=True)
class Resume:
    """Let a paused or failed job go on; one that is neither is left alone."""


@dataclass(frozen=True, slots=True)
class Cancel:
    """Cancel the job."""

    reason: str = ""


@dataclass(frozen=True, slots=True)
class Post:
    """A payload for a slot; None is the slot that a job enters by."""

    routine: str
    slot: str | None
    payload: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Close:
    """No more inputs: the last command of every run."""


Command = Post | Pause | Resume | Cancel
Input = Mapping[str, Any] | tuple[str, str | None, Mapping[str, Any]] | Command
"""An entry payload, `(routine, slot, payload)`, or a command."""


def commands_of(inputs: Iterable[Input] | Mapping[str, Any], plan: FlowPlan, entry: str | None) -> list[Command]:
    """The inputs as commands, checked; a payload goes to the entry, or to every routine that nothing is connected to.

    PayloadTypeError, PayloadMismatchError, EntryError or UnknownTargetError for what does not fit the flow.
    """
    if not isinstance(inputs, Iterable):
        raise SimulationUseError(f"The inputs of a simulation cannot be {inputs!r}.", "Give a list of them.")
    given = [inputs] if isinstance(inputs, Mapping) else list(inputs)
    found: list[Command] = []
    for item in given:
        if isinstance(item, Pause | Resume | Cancel):
            found.append(item)
        elif isinstance(item, Post):
            found.append(_checked(item, plan))
        elif isinstance(item, tuple) and len(item) == 3:
            routine, slot, payload = item
            found.append(_checked(Post(routine, slot, payload), plan))
        elif isinstance(item, Mapping):
            entries = plan.entries() if entry is None else [plan.routine(entry)]
            found += [_checked(Post(routine.id, None, dict(item)), plan) for routine in entries]
        else:
            remedy = "Give a payload, (routine, slot, payload), or Pause(), Resume() or Cancel()."
            raise SimulationUseError(f"An input of a simulation cannot be {item!r}.", remedy)
    return found


def _checked(post: Post, plan: FlowPlan) -> Post:
    routine = plan.routine(post.routine)
    lane = routine.entry_lane(post.slot)
    slot = routine.slots[lane].name
    given: object = post.payload
    payload = check_payload(dict(given) if isinstance(given, Mapping) else given, f"the slot {routine.id}.{slot}")
    check_fits_handler(routine, lane, payload)
    return Post(routine.id, slot, payload)


class Driver:
    """Does one command a turn, in order; after a crash it goes on with those that were not on disk.

    A post is done under a key of its own, so one that was on disk already is not taken twice.
    """

    name = "input"

    def __init__(
        self, commands: list[Command], position: Callable[[], int], refuse: Callable[[object, FlowForgeError], object]
    ) -> None:
        self.group = Group("input")
        self._commands: list[Command | Close] = [*commands, Close()]
        self._position = position
        self._refuse = refuse
        self._next = 0
        self._done_at: list[int] = []
        """How many records there were when each command was done."""
        self._room: threading.Event | None = None
        self._state: JobState
        self._resume: Callable[[], object]
        self._submit: Callable[[Driver], None]
        self.is_waiting = False

    def drive(
        self, state: JobState, safe: int, *, resume: Callable[[], object], submit: Callable[[Driver], None]
    ) -> None:
        """Go on with the first command that the first `safe` records do not hold, on that job."""
        self._state, self._resume, self._submit = state, resume, submit
        self._done_at = [position for position in self._done_at if position <= safe]
        self._next = len(self._done_at)
        self.go_on()

    def go_on(self) -> None:
        """Have another turn, if there is anything left to do."""
        self.is_waiting = False
        if self._next < len(self._commands):
            self._submit(self)

    @property
    def may_go_on(self) -> bool:
        """Whether what the next command waits for has come about."""
        return self._state.is_resting or (self._room is not None and self._room.is_set())

    def run_turn(self, limits: TurnLimits) -> None:
        """Do the next command, or begin to wait for what it needs; called by the dispatcher only."""
        command = self._commands[self._next]
        self._room = None
        if not self._do(command):
            self.is_waiting = True
            return
        self._next += 1
        self._done_at.append(self._position())
        self.go_on()

    def _do(self, command: Command | Close) -> bool:
        state = self._state
        try:
            if isinstance(command, Post):
                return self._post(command)
            if isinstance(command, Pause):
                # It is done when the job rests, for only then a record tells of it.
                state.request_pause(command.reason)
                return state.is_resting
            if isinstance(command, Cancel):
                state.cancel(command.reason)
            elif isinstance(command, Close):
                state.close()
            elif self._is_pausing():
                return False
            elif state.status in {"paused", "failed"}:
                self._resume()
        except UnencodableValueError:
            # That is no state of the job, but an input that no run of this kind can take.
            raise
        except FlowForgeError as error:
            self._refuse(command, error)
        return True

    def _is_pausing(self) -> bool:
        live = self._state.live
        return live is not None and not live.rested.is_set() and (live.is_pausing or live.is_over)

    def _post(self, post: Post) -> bool:
        live = self._state.live
        if live is None or live.is_over:
            raise JobFinishedError(self._state.job_id, self._state.status, "take a post", "Resume it before.")
        try:
            # What a handler does to a payload must not reach the next run.
            payload = live.codec.copy(post.payload, "an input")
        except UnencodableValueError:
            if live.is_durable or live.plan.is_isolated:
                raise
            payload = dict(post.payload)
        self._room = control.try_post(live, post.routine, post.slot, payload, f"input-{self._next}")
        return self._room is None
