"""JobMigration: a job at rest, for a hook that makes it fit the next version of its flow."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

from flowforge._engine.control import check_payload
from flowforge._engine.job_data import DeadLetter
from flowforge.job_errors import MigrationTargetError
from flowforge.names import check_name
from flowforge.option_checks import check_whole_number
from flowforge.option_errors import OptionError
from flowforge.records import Delivery, Destination
from flowforge.structs import replace

if TYPE_CHECKING:
    from collections.abc import Callable

    from flowforge._engine.job_data import JobData
    from flowforge._engine.view import JobView
    from flowforge.records import Message, Timer

    Change = Callable[[dict[str, Any]], dict[str, Any] | None]
    Place = tuple[str, str]

__all__ = ["JobMigration"]


class JobMigration:
    """What a hook of `Flow.migrate` gets: a copy of a job, which counts once all hooks have returned.

    Used on the thread that resumes the job, while the hook runs. What the job has nothing of is left alone. What a
    hook leaves must be data, as states and payloads are, else the job stays as it was.
    """

    def __init__(self, data: JobData, view: JobView, from_version: int, at: float) -> None:
        self.job_id = data.job_id
        self.flow_id = data.flow_id
        self.from_version = from_version
        self.to_version = from_version + 1
        self._data = data
        self._view = view
        self._at = at

    def __repr__(self) -> str:
        return f"<JobMigration of {self.job_id!r} from version {self.from_version} to {self.to_version}>"

    # State

    @property
    def shared_data(self) -> dict[str, Any]:
        """What the routines share; to be changed in place."""
        return self._data.shared

    def state(self, routine: str) -> dict[str, Any]:
        """The state of a routine, to be changed in place; of one that has none yet, it counts if it is not left empty.

        OptionError for a routine with replicas, which have a state each.
        """
        if len(self.replica_states(routine)) > 1:
            raise OptionError("JobMigration.state", "routine", routine, "It has replicas: use replica_states.")
        tree = self._view.trees.setdefault((routine, 0), {"state": {}, "merged": {}})
        state: dict[str, Any] = tree["state"]
        return state

    def replica_states(self, routine: str) -> dict[int, dict[str, Any]]:
        """The states of a routine's replicas by number, each to be changed in place."""
        owned = sorted((replica, tree) for (owner, replica), tree in self._view.trees.items() if owner == routine)
        return {replica: tree["state"] for replica, tree in owned if replica >= 0}

    def drop_replica(self, routine: str, replica: int) -> None:
        """Forget a replica's state, when it stands in another's or nobody needs it; OptionError for no number."""
        number = check_whole_number("JobMigration.drop_replica", "replica", replica, least=0)
        self._view.trees.pop((routine, number), None)

    # Messages

    def messages(self, routine: str, slot: str) -> list[dict[str, Any]]:
        """The payloads that wait in a slot, oldest first; copies."""
        return [dict(message.payload) for message in self._data.pending.get((routine, slot), ())]

    def change_messages(self, routine: str, slot: str, function: Change) -> None:
        """Let each payload that waits in a slot, or for a timer that leads there, be what `function` makes of it.

        None sets the message aside, as a dead letter of the strategy `migrated`. Dead letters stay as they are.
        PayloadTypeError for anything but a dict with string keys.
        """
        data, where = self._data, Destination(routine, slot)
        waiting = data.pending.pop((routine, slot), [])
        kept = [changed for message in waiting if (changed := self._changed(where, message, function)) is not None]
        if kept:
            data.pending[routine, slot] = kept
        for timer in self._timers_to(where):
            assert timer.delivery is not None, "a timer that leads to a slot has a delivery"
            message = self._changed(where, timer.delivery.message, function)
            if message is None:
                del data.timers[timer.id]
            else:
                data.timers[timer.id] = replace(timer, delivery=Delivery(where, message))

    def move_messages(self, routine: str, slot: str, to_routine: str, to_slot: str) -> None:
        """Let what waits in a slot, or for a timer that leads there, wait at the end of another one.

        What was to be tried again later is tried at once there. IllegalNameError for what cannot be the name of one.
        """
        data = self._data
        target = check_name("routine id", to_routine), check_name("slot name", to_slot)
        for message in data.pending.get((routine, slot), ()):
            data.retries.pop(message.id, None)
        self._redirect(lambda place: target if place == (routine, slot) else place)

    # Names

    def rename_slot(self, routine: str, old: str, new: str) -> None:
        """Give another name to a slot, with all that waits for it, what it has merged, and its dead letters.

        IllegalNameError for what cannot be a name, MigrationTargetError if the job has something of the new one.
        """
        check_name("slot name", new)
        merged = [tree["merged"] for (owner, _), tree in self._view.trees.items() if owner == routine]
        if (routine, new) in self._slots_in_use() or any(new in gathered for gathered in merged):
            raise MigrationTargetError(self.job_id, f"{routine}.{old}", f"{routine}.{new}")
        self._redirect(lambda place: (routine, new) if place == (routine, old) else place)
        for gathered in merged:
            if old in gathered:
                gathered[new] = gathered.pop(old)
        for letter in self._letters_of(routine):
            slots = tuple(new if slot == old else slot for slot in letter.slots)
            self._data.dead_letters[letter.id] = dataclasses.replace(letter, slots=slots)

    def rename_routine(self, old: str, new: str) -> None:
        """Give another name to a routine, with its state, all that waits for it, its dead letters and its outputs.

        IllegalNameError for what cannot be a name, MigrationTargetError if the job has something of the new one.
        """
        check_name("routine id", new)
        data, view = self._data, self._view
        if any(owner == new for owner, _ in (*self._slots_in_use(), *view.trees)):
            raise MigrationTargetError(self.job_id, old, new)
        self._redirect(lambda place: (_renamed(place[0], old, new), place[1]))
        for message, retry in data.retries.items():
            data.retries[message] = retry._replace(routine=_renamed(retry.routine, old, new))
        for letter in self._letters_of(old):
            data.dead_letters[letter.id] = dataclasses.replace(letter, routine=new)
        for timer in tuple(data.timers.values()):
            if timer.routine == old:
                data.timers[timer.id] = _of_routine(timer, old, new)
        view.trees = {(_renamed(owner, old, new), n): tree for (owner, n), tree in view.trees.items()}
        view.routines = {_renamed(owner, old, new): facts for owner, facts in view.routines.items()}
        view.outputs = {_renamed(name, old, new): payloads for name, payloads in view.outputs.items()}

    # Parts of these

    def _redirect(self, turned: Callable[[Place], Place]) -> None:
        """Let what waits for each routine and slot wait for another, behind what waits there."""
        data, pending = self._data, self._data.pending
        moved = sorted(pending, key=lambda place: turned(place) != place)
        data.pending = {}
        for place in moved:
            data.pending.setdefault(turned(place), []).extend(pending[place])
            for message in pending[place]:
                if data.suspect == (place[0], message.id):
                    data.suspect = turned(place)[0], message.id
        for timer in tuple(data.timers.values()):
            if timer.delivery is not None:
                to = turned((timer.delivery.to.routine, timer.delivery.to.slot))
                delivery = Delivery(Destination(*to), timer.delivery.message)
                data.timers[timer.id] = replace(timer, delivery=delivery)

    def _changed(self, where: Destination, message: Message, function: Change) -> Message | None:
        payload = function(message.payload)
        if payload is not None:
            return replace(message, payload=check_payload(payload, f"the slot '{where.routine}.{where.slot}'"))
        data = self._data
        data.retries.pop(message.id, None)
        data.letters += 1
        letter = f"{data.job_id}-dl{data.letters}"
        facts = (where.routine, (where.slot,), (message,), "migrated", None, self._at)
        data.dead_letters[letter] = DeadLetter(letter, *facts)
        self._view.routine(where.routine).dead_letters += 1
        if data.suspect == (where.routine, message.id):
            data.suspect = None
        return None

    def _timers_to(self, where: Destination) -> list[Timer]:
        timers = self._data.timers.values()
        return [timer for timer in timers if timer.delivery is not None and timer.delivery.to == where]

    def _letters_of(self, routine: str) -> list[DeadLetter]:
        return [letter for letter in self._data.dead_letters.values() if letter.routine == routine]

    def _slots_in_use(self) -> set[Place]:
        data = self._data
        deliveries = [timer.delivery for timer in data.timers.values() if timer.delivery is not None]
        letters = [(letter.routine, slot) for letter in data.dead_letters.values() for slot in letter.slots]
        return {*data.pending, *((made.to.routine, made.to.slot) for made in deliveries), *letters}


def _of_routine(timer: Timer, old: str, new: str) -> Timer:
    output = timer.output
    if output is not None and output.is_event:
        output = replace(output, name=_renamed(output.name, old, new))
    return replace(timer, routine=new, output=output)


def _renamed(name: str, old: str, new: str) -> str:
    """The name of a routine, or `routine.event`, if the routine is another one."""
    routine, dot, event = name.partition(".")
    return f"{new if routine == old else routine}{dot}{event}"
