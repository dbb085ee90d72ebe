"""What carries a payload from an event to a slot."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from flowforge.graph_errors import IllegalEndError, ParamMappingError
from flowforge.names import check_name

__all__ = ["Connection", "read_ends"]


@dataclass(frozen=True, slots=True)
class Connection:
    """A link from one event to one slot, with what is renamed on the way (source name to target name)."""

    source_routine_id: str
    source_event: str
    target_routine_id: str
    target_slot: str
    param_mapping: Mapping[str, str] = field(default_factory=dict, hash=False)

    def __post_init__(self) -> None:
        check_name("routine id", self.source_routine_id)
        check_name("event name", self.source_event)
        check_name("routine id", self.target_routine_id)
        check_name("slot name", self.target_slot)
        object.__setattr__(self, "param_mapping", _checked_mapping(self.param_mapping))

    @property
    def key(self) -> tuple[str, str, str, str]:
        """Both ends, without the mapping; a flow has each at most once."""
        return (self.source_routine_id, self.source_event, self.target_routine_id, self.target_slot)

    @property
    def source(self) -> str:
        """The event, as `routine.event`."""
        return f"{self.source_routine_id}.{self.source_event}"

    @property
    def target(self) -> str:
        """The slot, as `routine.slot`."""
        return f"{self.target_routine_id}.{self.target_slot}"

    def apply(self, payload: dict[str, Any]) -> dict[str, Any]:
        """Return a fresh payload with mapped keys renamed; an unmapped key whose name is taken gives way."""
        mapping = self.param_mapping
        if not mapping:
            return payload.copy()
        result = {key: value for key, value in payload.items() if key not in mapping}
        for source, target in mapping.items():
            if source in payload:
                result[target] = payload[source]
        return result

    def __str__(self) -> str:
        return f"{self.source} -> {self.target}"


def _checked_mapping(mapping: object) -> dict[str, str]:
    if not isinstance(mapping, Mapping):
        raise ParamMappingError(mapping, "is no mapping; give a dict of source names to target names")
    if not all(isinstance(name, str) and name for pair in mapping.items() for name in pair):
        raise ParamMappingError(mapping, "holds something else than names; map one string to another")
    if len(set(mapping.values())) < len(mapping):
        raise ParamMappingError(mapping, "gives two keys the same name; give each key a name of its own")
    return dict(mapping)


def read_ends(source: str, event: str, target: str | None = None, slot: str | None = None) -> tuple[str, str, str, str]:
    """Read both ends from four names, or from the two texts `a.output` and `b.input`.

    Raise `IllegalEndError` for anything between the two.
    """
    if target is not None and slot is not None:
        return (source, event, target, slot)
    if target is None and slot is None:
        routine_and_event, routine_and_slot = str(source).split("."), str(event).split(".")
        if len(routine_and_event) == len(routine_and_slot) == 2:
            return (routine_and_event[0], routine_and_event[1], routine_and_slot[0], routine_and_slot[1])
    raise IllegalEndError(tuple(end for end in (source, event, target, slot) if end is not None))
