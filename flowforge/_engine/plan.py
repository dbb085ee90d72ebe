"""A flow compiled for its jobs: routines and slots as numbers, connections as look-ups, the order of the graph."""

from flowforge.binding import Caller, HandlerShape, compile_caller
from flowforge.connection import Connection
from flowforge.flow_fingerprint import fingerprint_of
from flowforge.flow_graph import FlowGraph
from flowforge.graph_order import topological_rank
from flowforge.job_errors import EntryError, UnknownTargetError
from flowforge.records import Destination
from flowforge.routine import Routine
from flowforge.routine_instances import Blueprint

__all__ = ["FlowPlan", "RoutinePlan", "Target", "plan_of"]


class Target:
    """Where an emitted payload goes."""

    __slots__ = ("connection", "destination", "lane", "routine", "source")

    def __init__(self, routine: int, lane: int, connection: Connection) -> None:
        self.routine = routine
        self.lane = lane
        self.source = f"{connection.source_routine_id}.{connection.source_event}"
        """What messages say that they come from."""
        self.destination = Destination(connection.target_routine_id, connection.target_slot)
        self.connection = connection if connection.param_mapping else None


class RoutinePlan:
    """One routine of a flow, as its actors need it."""

    __slots__ = (
        "_callers",
        "concurrency",
        "has_start",
        "has_stop",
        "id",
        "index",
        "lanes",
        "merges",
        "rank",
        "slots",
        "sources",
        "targets",
        "template",
        "upstream",
    )

    def __init__(
        self, index: int, routine_id: str, template: Routine, callers: dict[tuple[HandlerShape, str], Caller]
    ) -> None:
        self.index = index
        self.id = routine_id
        self.template = template
        self.concurrency = template.concurrency
        self.slots = tuple(template.slots.values())
        self.lanes = {slot.name: number for number, slot in enumerate(self.slots)}
        self.merges = any(slot.merge_strategy != "override" for slot in self.slots)
        """Whether a slot gathers what it gets."""
        self.targets: dict[str, tuple[Target, ...]] = dict.fromkeys(template.events, ())
        self.sources = {name: f"{routine_id}.{name}" for name in template.events}
        """What messages say they come from, for each event."""
        self.upstream: tuple[tuple[int, ...], ...] = tuple(() for _ in self.slots)
        """For each lane, the routines outside this one's cycle that feed it and so are held back when it is full."""
        self.rank = 0
        self._callers = callers
        if template.activation_policy is not None:
            template.activation_policy.check_slots(tuple(self.lanes))
        self.has_start = type(template).on_start is not Routine.on_start
        self.has_stop = type(template).on_stop is not Routine.on_stop

    def lane_of(self, slot: str) -> int:
        """The number of a slot's lane; UnknownTargetError if there is none."""
        if slot not in self.lanes:
            raise UnknownTargetError(f"slot of the routine {self.id!r} named", slot, self.lanes)
        return self.lanes[slot]

    def caller(self, lane: int, shape: HandlerShape) -> Caller:
        """What calls a slot's handlers of that shape; compiled once for all jobs."""
        # With one parameter nothing can be missing, so it names no slot: all routines of a flow can have the same.
        where = "" if shape.is_single else f"{self.id}.{self.slots[lane].name}"
        if (shape, where) not in self._callers:
            self._callers[shape, where] = compile_caller(shape, where)
        return self._callers[shape, where]

    def entry_lane(self, slot: str | None = None) -> int:
        """The lane that a job enters by: the one named, else `trigger`, else the only one."""
        if slot is not None:
            return self.lane_of(slot)
        if "trigger" in self.lanes:
            return self.lanes["trigger"]
        if len(self.lanes) == 1:
            return 0
        raise EntryError("Give an entry_slot, for it is not clear where to enter the routine", self.id, self.lanes)


class FlowPlan:
    """All routines of a flow, in topological order of the condensation of its graph."""

    __slots__ = (
        "_blueprints",
        "by_id",
        "error_handler",
        "fingerprint",
        "flow_id",
        "has_noted_change",
        "has_warned",
        "is_isolated",
        "migrations",
        "order",
        "places",
        "revision",
        "routines",
        "timeout",
        "version",
    )

    def __init__(self, flow: FlowGraph) -> None:
        self.flow_id = flow.flow_id
        self.has_warned = self.has_noted_change = False
        self.revision = flow.revision
        self.version = flow.version
        self.migrations = dict(flow.migrations)
        self.fingerprint = fingerprint_of(flow)
        self.error_handler = flow.error_handler
        self.timeout = flow.timeout
        self.is_isolated = flow.isolate
        callers: dict[tuple[HandlerShape, str], Caller] = {}
        self.routines = tuple(
            RoutinePlan(i, name, routine, callers) for i, (name, routine) in enumerate(flow.routines.items())
        )
        self.by_id = {plan.id: plan for plan in self.routines}
        self.places = {
            Destination(plan.id, slot): (plan, lane) for plan in self.routines for slot, lane in plan.lanes.items()
        }
        """The routine and the lane of each slot."""
        self._blueprints: tuple[Blueprint, ...] = ()
        self._connect(flow.connections)
        edges = [(c.source_routine_id, c.target_routine_id) for c in flow.connections]
        rank_of = topological_rank(list(flow.routines), edges)
        for plan in self.routines:
            plan.rank = rank_of[plan.id]
        self._find_upstream(flow.connections, rank_of)
        self.order = tuple(sorted(self.routines, key=lambda plan: (plan.rank, plan.index)))

    def routine(self, routine_id: str) -> RoutinePlan:
        """The plan of one routine; UnknownTargetError if the flow has none of that id."""
        if routine_id not in self.by_id:
            raise UnknownTargetError(f"routine in the flow {self.flow_id!r} named", routine_id, self.by_id)
        return self.by_id[routine_id]

    def entries(self) -> list[RoutinePlan]:
        """The routines that nothing is connected to: where a job enters if it is not told."""
        fed = {target.routine for plan in self.routines for ts in plan.targets.values() for target in ts}
        found = [plan for plan in self.routines if plan.index not in fed and plan.slots]
        if not found:
            raise EntryError(
                "Give an entry_routine_id, for every routine is connected to in the flow", self.flow_id, self.by_id
            )
        return found

    def blueprints(self) -> tuple[Blueprint, ...]:
        """What a job that begins now builds the instances of each routine from."""
        known = self._blueprints
        if not known:
            known = self._blueprints = tuple(Blueprint(plan.template, plan.id) for plan in self.routines)
        elif not all(blueprint.is_current() for blueprint in known):
            known = tuple(old if old.is_current() else Blueprint(old.template, old.routine_id) for old in known)
            self._blueprints = known
        return known

    def _connect(self, connections: list[Connection]) -> None:
        for c in connections:
            source, target = self.by_id[c.source_routine_id], self.by_id[c.target_routine_id]
            known = source.targets.get(c.source_event, ())
            source.targets[c.source_event] = (*known, Target(target.index, target.lanes[c.target_slot], c))

    def _find_upstream(self, connections: list[Connection], rank_of: dict[str, int]) -> None:
        feeders: dict[tuple[int, int], dict[int, None]] = {}
        for c in connections:
            if rank_of[c.source_routine_id] != rank_of[c.target_routine_id]:
                target = self.by_id[c.target_routine_id]
                lane = target.lanes[c.target_slot]
                feeders.setdefault((target.index, lane), {})[self.by_id[c.source_routine_id].index] = None
        for plan in self.routines:
            plan.upstream = tuple(tuple(feeders.get((plan.index, lane), ())) for lane in range(len(plan.slots)))

    def fits(self, flow: FlowGraph) -> bool:
        """Whether it was compiled from `flow` and its routines as they are now."""
        settings = (flow.revision, flow.version, flow.error_handler, flow.timeout, flow.isolate)
        mine = (self.revision, self.version, self.error_handler, self.timeout, self.is_isolated)
        return settings == mine and all(
            len(plan.slots) == len(plan.template.slots)
            and len(plan.targets) == len(plan.template.events)
            and plan.concurrency == plan.template.concurrency
            for plan in self.routines
        )


def plan_of(flow: FlowGraph) -> FlowPlan:
    """The plan of `flow` as it is now; compiled once for each of its revisions."""
    plan = flow.compiled
    if not isinstance(plan, FlowPlan) or not plan.fits(flow):
        flow.validate()
        plan = flow.compiled = FlowPlan(flow)
    return plan
