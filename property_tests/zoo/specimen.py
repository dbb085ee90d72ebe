"""A seeded defect and how it is looked for: by schedules, on a flow that shows nothing of it in the usual order."""

from __future__ import annotations

import contextlib
import functools
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from hypothesis import Phase, find, settings
from hypothesis.strategies import SearchStrategy

from flowforge.errors import FlowForgeError
from flowforge.flow import Flow
from flowforge.flow_graph import FlowGraph
from flowforge.routine import Routine
from flowforge.stores.codec import Codec
from flowforge.testing.inputs import Input, Resume
from flowforge.testing.outcomes import difference_of, outcome_of
from flowforge.testing.schedule import Schedule
from flowforge.testing.schedule_strategies import schedules
from flowforge.testing.simulated_run import SimulatedRun
from flowforge.testing.simulation import simulate

__all__ = ["MOST_EXAMPLES", "WAIT", "Find", "Handler", "Part", "Patch", "Specimen", "pass_on", "wired"]

MOST_EXAMPLES = 200
"""In how many examples a defect is to be found."""

WAIT = Resume()
"""An input that does nothing to a job that runs: it lets the job get ahead of the inputs."""

# A broken log may also make recovery stumble over what is not there.
_FINDINGS = (AssertionError, FlowForgeError, LookupError)

Judge = Callable[[SimulatedRun], object]
Handler = Callable[..., Any]


class Part(Routine):
    """A routine whose handlers are functions of it and of a payload's values."""

    transient = {"kept"}

    def __init__(
        self, slots: Mapping[str, Handler], state: Mapping[str, Any] | None = None, **options: Mapping[str, Any]
    ) -> None:
        super().__init__()
        self.kept: list[Any] = []
        self.define_event("out")
        self.state.update(state or {})
        for name, handler in slots.items():
            self.define_slot(name, handler=functools.partial(handler, self), **options.get(name, {}))


def pass_on(part: Part, n: int = 0) -> None:
    """A handler that emits what it gets."""
    part.emit("out", n=n)


def wired(parts: Mapping[str, Routine], *edges: str, **options: Any) -> Flow:
    """A flow of these routines; an edge `"a b.left"` leads from a's event to that slot."""
    flow = Flow("zoo", **options)
    for name, part in parts.items():
        flow.add_routine(part, name)
    for edge in edges:
        source, target = edge.split()
        flow.connect(f"{source}.out", target)
    return flow


@dataclass(frozen=True, slots=True)
class Patch:
    """Something of the engine, and what takes its place: a property, or a function that gets the original first."""

    owner: object
    name: str
    replacement: Callable[..., Any] | property

    @contextlib.contextmanager
    def applied(self) -> Iterator[None]:
        """Have it in place in the block."""
        original, replacement = getattr(self.owner, self.name), self.replacement

        def replaced(*args: Any, **options: Any) -> Any:
            assert not isinstance(replacement, property)
            return replacement(original, *args, **options)

        setattr(self.owner, self.name, replacement if isinstance(replacement, property) else replaced)
        try:
            yield
        finally:
            setattr(self.owner, self.name, original)


@dataclass(frozen=True, slots=True)
class Find:
    """How a defect was found."""

    examples: int
    """How many schedules were tried until one showed it."""
    schedule: Schedule
    """What that one shrank to."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Specimen:
    """A seeded defect, and what is to be true of every run without it."""

    name: str
    flow: Callable[[], FlowGraph]
    """The flow that is right."""
    wrong: Callable[[], FlowGraph] | None = None
    """The flow that is not, unless the defect is in the engine."""
    patches: Sequence[Patch] = ()
    inputs: Sequence[Input] = ({"n": 1},)
    judges: Sequence[Judge] = ()
    """What is asserted of each run, beside that it leads to what the usual order leads to."""
    ignoring: Sequence[str] | None = ()
    """What may depend on the order; None for everything."""
    crashes: int = 0
    errors: int = 0
    options: Mapping[str, Any] = field(default_factory=dict)
    """Of `simulate`."""

    @property
    def kind(self) -> str:
        """Where the defect is: "engine" or "flow"."""
        return "engine" if self.wrong is None else "flow"

    def schedules(self) -> SearchStrategy[Schedule]:
        """What is tried: the default settings, with crashes or errors if the defect is about these."""
        return schedules(self.flow(), crashes=self.crashes, errors=self.errors)

    def trial(self, *, is_seeded: bool) -> Callable[[Schedule], None]:
        """What runs a schedule and raises what is wrong; in the patch if it is to be that of the defect."""
        flow = self.wrong() if is_seeded and self.wrong is not None else self.flow()
        codec = Codec()
        expected = None

        def run(tried: FlowGraph, schedule: Schedule) -> SimulatedRun:
            is_durable = self.crashes > 0
            return simulate(tried, self.inputs, schedule=schedule, codec=codec, is_durable=is_durable, **self.options)

        if self.ignoring is not None:
            expected = outcome_of(run(flow, Schedule()), self.ignoring, codec)

        def try_schedule(schedule: Schedule) -> None:
            with contextlib.ExitStack() as stack:
                for patch in self.patches if is_seeded else ():
                    stack.enter_context(patch.applied())
                shown = run(flow, schedule)
                for judge in self.judges:
                    judge(shown)
            if expected is not None:
                found = difference_of(expected, outcome_of(shown, self.ignoring or (), codec))
                assert found is None, found

        return try_schedule

    def shows(self, trial: Callable[[Schedule], None], schedule: Schedule) -> bool:
        """Whether a schedule shows that something is wrong."""
        try:
            trial(schedule)
        except _FINDINGS:
            return True
        return False

    def search(self, seed: int) -> Find:
        """Look for the defect, then shrink what shows it; NoSuchExample if it is not found."""
        trial = self.trial(is_seeded=True)
        tried, found_after = 0, 0

        def fails(schedule: Schedule) -> bool:
            nonlocal tried, found_after
            tried += 1
            has_failed = self.shows(trial, schedule)
            if has_failed and not found_after:
                found_after = tried
            return has_failed

        limits = settings(
            max_examples=MOST_EXAMPLES, database=None, deadline=None, phases=[Phase.generate, Phase.shrink]
        )
        smallest = find(self.schedules(), fails, settings=limits, random=random.Random(seed))
        return Find(found_after, smallest)
