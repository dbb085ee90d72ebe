"""What a run led to, for comparison with another: status, outputs, states, shared data, dead letters."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from flowforge.stores.codec_errors import UnencodableValueError
from flowforge.stores.codec_walk import shorten
from flowforge.testing.simulation_errors import SimulationUseError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from flowforge._engine.plan import FlowPlan
    from flowforge.stores.codec import Codec
    from flowforge.testing.simulated_run import SimulatedRun

__all__ = ["check_ignored", "difference_of", "outcome_of"]

_Outcome = dict[str, Any]


def check_ignored(ignoring: Collection[str], plan: FlowPlan) -> None:
    """Raise SimulationUseError for a name that no outcome of the flow can have."""
    if isinstance(ignoring, str):
        raise SimulationUseError(f"What to ignore cannot be {ignoring!r}.", "Give a list of names.")
    known = ["status", "shared_data", "shared_log", "dead_letters", *plan.by_id]
    known += [source for routine in plan.routines for source in routine.sources.values()]
    for name in ignoring:
        if name not in known and not name.startswith("shared_data."):
            raise SimulationUseError(f"There is nothing to ignore that is named {name!r}.", f"Give some of {known!r}.")


def outcome_of(run: SimulatedRun, ignoring: Collection[str], codec: Codec) -> _Outcome:
    """What counts of a run, by name; the order of outputs and dead letters does not.

    `ignoring` names a routine, an output `"routine.event"`, `"shared_data"`, `"shared_data.key"`, `"dead_letters"`,
    `"shared_log"` or `"status"`.
    """
    job = run.job_state
    found: _Outcome = {"status": str(job.status)}
    for name, payloads in job.outputs.items():
        found[name] = _bag(payloads, codec)
    for routine, state in job.routine_states.items():
        if state:
            found[f"the state of {routine}"] = _form(state, codec)
    for key in job.shared_data:
        found[f"shared_data.{key}"] = _form(job.shared_data[key], codec)
    found["shared_log"] = _bag(job.shared_log, codec)
    letters = [
        [letter.routine, list(letter.slots), [m.payload for m in letter.messages]] for letter in job.dead_letters
    ]
    found["dead_letters"] = _bag(letters, codec)
    return {name: value for name, value in found.items() if not _is_ignored(name, ignoring)}


def difference_of(expected: _Outcome, found: _Outcome) -> str | None:
    """How two outcomes differ, in a phrase; None if they do not."""
    for name in dict.fromkeys((*expected, *found)):
        before, after = expected.get(name), found.get(name)
        if before == after:
            continue
        if isinstance(before, Counter) or isinstance(after, Counter):
            missing, more = (before or Counter()) - (after or Counter()), (after or Counter()) - (before or Counter())
            parts = [f"{what} {_listed(bag)}" for what, bag in (("lacks", missing), ("has in addition", more)) if bag]
            return f"{name} {' and '.join(parts)}"
        return f"{name} is {_text(after)} instead of {_text(before)}"
    return None


def _is_ignored(name: str, ignoring: Collection[str]) -> bool:
    owner = name.removeprefix("the state of ") if name.startswith("the state of ") else name.partition(".")[0]
    return name in ignoring or owner in ignoring


def _bag(values: Iterable[Any], codec: Codec) -> Counter[tuple[bytes, str]]:
    return Counter(_form(value, codec) for value in values)


def _form(value: Any, codec: Codec) -> tuple[bytes, str]:
    """What two equal values have in common, and how it is shown."""
    try:
        return codec.canonical(value), shorten(value)
    except UnencodableValueError:
        return b"", shorten(value)


def _listed(bag: Counter[tuple[bytes, str]]) -> str:
    return ", ".join(shown if count == 1 else f"{count} times {shown}" for (_, shown), count in bag.items())


def _text(value: Any) -> str:
    return value[1] if isinstance(value, tuple) else "absent" if value is None else repr(value)
