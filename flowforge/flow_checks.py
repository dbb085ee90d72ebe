"""What is wrong with a flow as a whole: all of it, before anything runs."""

from collections.abc import Iterator, Mapping, Sequence

from flowforge.binding import check_parameters
from flowforge.connection import Connection
from flowforge.option_errors import UnknownPolicySlotError
from flowforge.routine import Routine

__all__ = ["find_mistakes"]


def find_mistakes(routines: Mapping[str, Routine], connections: Sequence[Connection]) -> list[str]:
    """List every mistake as a sentence or two: those of the routines, then those of the connections."""
    if not routines:
        return ["It has no routines. Call add_routine first."]
    mistakes = [mistake for routine_id, routine in routines.items() for mistake in _in_routine(routine_id, routine)]
    for connection in connections:
        mistakes.extend(_in_connection(connection, routines))
    return mistakes


def _in_routine(routine_id: str, routine: Routine) -> Iterator[str]:
    if not routine.slots:
        yield (
            f"The routine {routine_id!r} has no slot, so nothing can ever start it. "
            f"Define a slot, or give its class a __call__ method."
        )
    if routine.activation_policy is not None:
        try:
            routine.activation_policy.check_slots(tuple(routine.slots))
        except UnknownPolicySlotError as err:
            yield f"The routine {routine_id!r}: {err}"
    if routine.logic is None and routine.activation_policy is not None:
        yield (f"The routine {routine_id!r} has an activation policy but no logic. Call set_logic, or drop the policy.")
    if routine.logic is not None:
        return
    for slot in routine.slots.values():
        if slot.handler is None:
            yield (
                f"The slot {f'{routine_id}.{slot.name}'!r} has no handler and its routine no logic. "
                f"Give the slot a handler, or call set_logic."
            )


def _in_connection(connection: Connection, routines: Mapping[str, Routine]) -> Iterator[str]:
    declared = routines[connection.source_routine_id].events[connection.source_event].output_params
    if not declared:
        return
    mapping = connection.param_mapping
    for unknown in (name for name in mapping if name not in declared):
        yield (
            f"The connection {str(connection)!r} renames {unknown!r}, "
            f"but its event declares only {_listed(declared)}. "
            f"Correct the param_mapping or the output_params."
        )
    target = routines[connection.target_routine_id]
    slot = target.slots[connection.target_slot]
    if target.logic is not None or slot.shape is None or callable(slot.merge_strategy):
        return
    keys = [mapping.get(name, name) for name in declared]
    missing = check_parameters(slot.shape, keys)
    if missing:
        yield (
            f"The connection {str(connection)!r} brings {_listed(keys)}, "
            f"but the handler of its slot also requires {_listed(missing)}. "
            f"Emit and declare what is lacking, rename a key with param_mapping, "
            f"or give the parameter a default."
        )


def _listed(names: Sequence[str]) -> str:
    return ", ".join(map(repr, names))
