"""Hypothesis strategies for payloads and for valid flows, which shrink towards one plain routine."""

from dataclasses import dataclass, replace
from datetime import UTC, timedelta, timezone
from typing import Any

from hypothesis import strategies as st

from flowforge.option_errors import OptionError
from flowforge.testing.flow_shapes import Edge, FlowShape
from flowforge.testing.routine_shape import ALWAYS, ANSWERS, KINDS, MERGES, POLICY_KINDS, RoutineShape

__all__ = ["MAX_CALLS", "MAX_N", "flows", "payloads"]

MAX_N = 4
"""The largest number for which drawn flows keep to `MAX_CALLS`."""

MAX_CALLS = 120
"""How many calls of handlers a job of a drawn flow takes at the most, further attempts included."""

_GENERATORS = ("generator", "async generator")
_COROUTINES = ("async", "async generator")
_POLICIES = ("immediate", "batch", "interval", "custom")
_GIVES_UP = ("skip", "continue", "retry, then skip", "retry, then continue")


def payloads(values: st.SearchStrategy[Any] | None = None) -> st.SearchStrategy[dict[str, Any]]:
    """Payloads: dicts with text keys of `values`, or else of whatever a store keeps and is equal to itself."""
    return st.dictionaries(_text(), _values() if values is None else values, max_size=4)


def flows(
    *,
    max_routines: int = 5,
    cycles: bool = True,
    joins: bool = True,
    policies: bool = True,
    replicas: bool = True,
    merging: bool = True,
    generators: bool = True,
    coroutines: bool = True,
    errors: bool = True,
    bounds: bool = True,
    confluent: bool = False,
) -> st.SearchStrategy[FlowShape]:
    """Shapes of valid flows of up to `max_routines` routines (at most 20); `shape.build()` gives the flow.

    Enter a job at `r0` with `{"n": number}`, which may have a `data` too: it comes to rest within `MAX_CALLS` calls for
    numbers up to `MAX_N`, if it is not paused. The flags say what may occur. A confluent flow gives the same outputs,
    states, shared data and dead letters, up to their order, whatever the schedule. Raises OptionError.
    """
    if type(max_routines) is not int or not 1 <= max_routines <= 20:
        raise OptionError("flows", "max_routines", max_routines, "Give a whole number from 1 to 20.")
    choices = ((("join",), joins), (_POLICIES, policies), (_GENERATORS, generators), (_COROUTINES, coroutines))
    refused = {kind for kinds, is_chosen in choices if not is_chosen for kind in kinds}
    if confluent:
        # What it writes down is the order in which things came.
        refused.add("recorder")
    kinds = tuple(kind for kind in KINDS if kind not in refused)
    options = _Options(max_routines, kinds, cycles, replicas, merging, errors, bounds, confluent)
    return _flows(options)


@dataclass(frozen=True, slots=True)
class _Options:
    max_routines: int
    kinds: tuple[str, ...]
    cycles: bool
    replicas: bool
    merging: bool
    errors: bool
    bounds: bool
    confluent: bool


@dataclass(frozen=True, slots=True)
class _Draft:
    """A routine as it was drawn, to be made to fit those before it."""

    routine: RoutineShape
    feeders: list[int]
    """Which of the routines before it feed it."""
    returns: int | None
    """Which of the routines from itself on leads back to it; None for none."""


@st.composite
def _flows(draw: st.DrawFn, options: _Options) -> FlowShape:
    # Lists of drafts, each valid by itself, let a shrinker leave out any of them; two of them make for larger flows.
    drafts = draw(st.lists(_drafts(options), min_size=1, max_size=options.max_routines))
    drafts += draw(st.lists(_drafts(options), max_size=options.max_routines - len(drafts)))
    flow = _Assembly(is_confluent=options.confluent)
    for draft in drafts:
        if not flow.try_add(draft):
            break
    for target, draft in enumerate(drafts[: len(flow.routines)]):
        if draft.returns is not None:
            flow.try_return(target, draft.returns)
    on_error = None
    if any(routine.fails_at and routine.on_error is None for routine in flow.routines):
        on_error = draw(st.sampled_from(_GIVES_UP if options.confluent else (None, *ANSWERS)))
    return FlowShape(flow.routines, flow.edges, on_error)


@st.composite
def _drafts(draw: st.DrawFn, options: _Options) -> _Draft:
    others = st.integers(0, options.max_routines - 1)
    feeders = draw(st.lists(others, min_size=1, max_size=2, unique=True))
    seldom = st.none() | st.none() | st.none() | others
    return _Draft(draw(_routines(options)), feeders, draw(seldom) if options.cycles else None)


@st.composite
def _routines(draw: st.DrawFn, options: _Options) -> RoutineShape:
    kind = draw(st.sampled_from(options.kinds))
    # All is drawn for each kind, for else a kind that needs fewer choices would count as simpler than a plain one.
    merge = draw(st.sampled_from(MERGES)) if options.merging else "override"
    if kind in POLICY_KINDS:
        merge = "override"
    replicas = draw(st.integers(1, 3)) if options.replicas else 1
    if kind in _GENERATORS:
        # Its cursor is in the state of one replica, and another may get its message after a pause.
        replicas = 1
    ordered = not draw(st.booleans()) if options.replicas else True
    bound = draw(st.sampled_from([1000, 3, 2, 1])) if options.bounds else 1000
    shape = RoutineShape(kind, merge, replicas=replicas, ordered=ordered or replicas == 1, bound=bound)
    return draw(_failing(shape, options)) if options.errors else shape


@st.composite
def _failing(draw: st.DrawFn, shape: RoutineShape, options: _Options) -> RoutineShape:
    """The same routine, which may fail at some numbers."""
    fails_at = tuple(sorted(draw(st.sets(st.integers(0, MAX_N), max_size=2))))
    if not fails_at:
        return shape
    # Which messages a policy hands out together, and so gives up together, is up to the schedule.
    is_to_recover = options.confluent and shape.kind in _POLICIES
    fails = draw(st.sampled_from([1, 2] if is_to_recover else [ALWAYS, 1, 2]))
    answers: tuple[str | None, ...] = (None, *ANSWERS)
    if options.confluent:
        answers = ("retry",) if fails < ALWAYS else (None, *_GIVES_UP)
    on_error = draw(st.sampled_from(answers))
    is_retried = on_error is not None and on_error.startswith("retry")
    retry_delay = draw(st.sampled_from([0.0, 1.0, 5.0])) if is_retried else 0.0
    return replace(shape, fails_at=fails_at, fails=fails, on_error=on_error, retry_delay=retry_delay)


class _Assembly:
    """A shape in the making, at no time one that takes too many calls."""

    def __init__(self, *, is_confluent: bool) -> None:
        self.routines: tuple[RoutineShape, ...] = ()
        self.edges: tuple[Edge, ...] = ()
        self.is_confluent = is_confluent
        self.sends_in_order: list[bool] = []
        """Of each routine, whether it sends the same sequence whatever the schedule (Kahn, 1974)."""

    def try_add(self, draft: _Draft) -> bool:
        """Add the drafted routine, or a plain one; False if that, too, would take too many calls."""
        index = len(self.routines)
        feeders = sorted({number % index for number in draft.feeders}) if index else []
        for wish, sources in ((draft.routine, feeders), (RoutineShape(), feeders[:1])):
            is_sure = draft.returns is None and all(self.sends_in_order[source] for source in sources)
            routine = self._made_to_fit(wish, len(sources), is_sure=is_sure)
            if self._try((*self.routines, routine), _edges_to(index, routine, sources)):
                is_sure = is_sure and _has_feeder_per_slot(routine, len(sources)) and routine.kind not in _POLICIES
                self.sends_in_order.append(is_sure and (routine.replicas == 1 or routine.ordered))
                return True
        return False

    def try_return(self, target: int, number: int) -> None:
        """Add an edge that leads back to a routine, unless it would make for too many calls."""
        source = target + number % (len(self.routines) - target)
        slots = self.routines[target].slots
        self._try(self.routines, ((source, target, slots[number % len(slots)]),))

    def _made_to_fit(self, routine: RoutineShape, sources: int, *, is_sure: bool) -> RoutineShape:
        if not sources and len(routine.slots) > 1:
            # A job is entered by an only slot.
            return replace(routine, kind="plain")
        if not self.is_confluent:
            return routine
        if routine.kind == "join" and not is_sure:
            return replace(routine, kind="plain")
        if not (is_sure and _has_feeder_per_slot(routine, sources)):
            return replace(routine, merge="override")
        return routine

    def _try(self, routines: tuple[RoutineShape, ...], more_edges: tuple[Edge, ...]) -> bool:
        edges = (*self.edges, *more_edges)
        if FlowShape(routines, edges).most_calls(MAX_N) > MAX_CALLS:
            return False
        self.routines, self.edges = routines, edges
        return True


def _has_feeder_per_slot(routine: RoutineShape, sources: int) -> bool:
    """Whether no slot takes from two routines, in whichever order they happen to send."""
    return sources < 2 or len(routine.slots) == 2


def _edges_to(index: int, routine: RoutineShape, sources: list[int]) -> tuple[Edge, ...]:
    if len(routine.slots) == 1 or not sources:
        return tuple((source, index, routine.slots[0]) for source in sources)
    left, right = routine.slots
    return (sources[0], index, left), (sources[-1], index, right)


def _text() -> st.SearchStrategy[str]:
    # A lone surrogate cannot be encoded.
    return st.text(st.characters(exclude_categories=["Cs"]), max_size=8)


def _values() -> st.SearchStrategy[Any]:
    zones = st.none() | st.just(UTC) | st.just(timezone(timedelta(hours=-3, minutes=-30)))
    hashables = (
        st.none()
        | st.booleans()
        | st.integers()
        | st.integers(2**63, 2**200)
        | st.integers(-(2**200), -(2**63))
        | st.floats(allow_nan=False)
        | _text()
        | st.binary(max_size=8)
        | st.datetimes(timezones=zones)
        | st.dates()
        | st.decimals(allow_nan=False)
        | st.uuids()
    )
    return st.recursive(
        hashables | st.sets(hashables, max_size=3),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.lists(inner, max_size=3).map(tuple)
            | st.dictionaries(_text(), inner, max_size=3)
        ),
        max_leaves=6,
    )
