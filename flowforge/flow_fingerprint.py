"""What matters of a flow to a job at rest, as data that is kept with the job and compared."""

from collections.abc import Iterator

from flowforge.flow_graph import FlowGraph
from flowforge.records import FlowFingerprint, RoutineFingerprint

__all__ = ["changes_between", "fingerprint_of"]


def fingerprint_of(flow: FlowGraph) -> FlowFingerprint:
    """The fingerprint of a flow as it is now: equal to another's if both have the same version and structure."""
    return FlowFingerprint(
        flow.version,
        tuple(
            RoutineFingerprint(name, tuple(sorted(routine.slots)), tuple(sorted(routine.events)), routine.concurrency)
            for name, routine in sorted(flow.routines.items())
        ),
        tuple(
            sorted(
                (
                    f"{made.source_routine_id}.{made.source_event}",
                    f"{made.target_routine_id}.{made.target_slot}",
                    tuple(sorted(made.param_mapping.items())),
                )
                for made in flow.connections
            )
        ),
    )


def changes_between(before: FlowFingerprint, after: FlowFingerprint) -> tuple[str, ...]:
    """What is gone and what is new, a phrase each."""
    parts, now = dict.fromkeys(_parts(before)), dict.fromkeys(_parts(after))
    gone = [f"{part} is gone" for part in parts if part not in now]
    return (*gone, *(f"{part} is new" for part in now if part not in parts))


def _parts(fingerprint: FlowFingerprint) -> Iterator[str]:
    yield f"version {fingerprint.version}"
    for routine in fingerprint.routines:
        yield f"the routine {routine.id!r}"
        yield from (f"the slot '{routine.id}.{slot}'" for slot in routine.slots)
        yield from (f"the event '{routine.id}.{event}'" for event in routine.events)
        if routine.concurrency > 1:
            yield f"the concurrency {routine.concurrency} of {routine.id!r}"
    for source, target, mapping in fingerprint.connections:
        yield f"the connection '{source} -> {target}'"
        if mapping:
            yield f"the mapping {dict(mapping)!r} of '{source} -> {target}'"
