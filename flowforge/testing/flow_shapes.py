"""A random flow as a small value: it can be read, compared and pasted into a test, and built any number of times."""

from collections import Counter
from dataclasses import dataclass, field, fields
from typing import Any, TypeAlias

from flowforge.flow import Flow
from flowforge.option_errors import UnknownChoiceError
from flowforge.testing.flow_routines import stage_of
from flowforge.testing.routine_shape import ANSWERS, RoutineShape, answer_of

__all__ = ["Edge", "FlowShape"]

Edge: TypeAlias = tuple[int, int, str]
"""From a routine to a slot of another, by their numbers: `(0, 1, "input")`."""


@dataclass(frozen=True, repr=False)
class FlowShape:
    """The routines `r0`, `r1` and so on of a flow, and what connects them; `build()` makes the flow.

    A job enters it at `r0`, with `{"n": 3}` or any number from 0 up, and comes to rest by itself. An edge to an earlier
    routine, or to itself, carries numbers that grow smaller. The repr leaves out what is as usual.
    Raises UnknownChoiceError for an answer that there is not; `build` raises what `Flow.connect` does.
    """

    routines: tuple[RoutineShape, ...] = field(default=(RoutineShape(),))
    edges: tuple[Edge, ...] = ()
    on_error: str | None = None
    """The flow's own answer to errors; one of `ANSWERS`, or None for none."""

    def __post_init__(self) -> None:
        if self.on_error not in {None, *ANSWERS}:
            raise UnknownChoiceError("FlowShape", "on_error", self.on_error, ("None", *ANSWERS))

    def __repr__(self) -> str:
        shown = [
            f"{f.name}={v!r}" for f in fields(self) if (v := getattr(self, f.name)) != f.default or f.name == "routines"
        ]
        return f"{type(self).__name__}({', '.join(shown)})"

    def _repr_pretty_(self, printer: Any, _is_cycle: object) -> None:
        # Hypothesis would print each field of a dataclass.
        printer.text(repr(self))

    def build(self, flow_id: str = "flow") -> Flow:
        """A new flow of this shape."""
        flow = Flow(flow_id, None if self.on_error is None else answer_of(self.on_error))
        loops = {source for source, target, _ in self.edges if target <= source}
        for index, routine in enumerate(self.routines):
            flow.add_routine(stage_of(routine, loops=index in loops), f"r{index}")
        for source, target, slot in self.edges:
            event = "again" if target <= source else "out"
            flow.connect(f"r{source}", event, f"r{target}", slot)
        return flow

    def most_calls(self, n: int) -> int:
        """How many calls of handlers, further attempts included, a job takes at the most if it enters with `n`.

        A job that is paused in between may take more, for what fails some times begins to count anew.
        """
        return sum(
            count * self.routines[index].most_calls(number) for (index, number), count in self._arrivals(n).items()
        )

    def _arrivals(self, n: int) -> Counter[tuple[int, int]]:
        """How many messages with each number reach each routine, if joins passed on both of a pair."""
        arrivals = Counter({(0, n): 1})
        for number in range(n, -1, -1):
            for index in range(len(self.routines)):
                for source, target, _ in self.edges:
                    if target == index:
                        arrivals[index, number] += self._sent(arrivals, source, target, number, n)
        return arrivals

    def _sent(self, arrivals: Counter[tuple[int, int]], source: int, target: int, number: int, most: int) -> int:
        if target <= source:
            return arrivals[source, number + 1]
        if self.routines[source].spreads:
            return sum(arrivals[source, above] for above in range(number, most + 1))
        return arrivals[source, number]
