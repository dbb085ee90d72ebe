"""Runtimes on both dispatchers, and short ways to build a flow, run it and take single turns of its actors."""

from collections.abc import Callable, Iterator
from itertools import pairwise
from types import MethodType
from typing import Any

import pytest

from actors.dispatcher import Dispatcher
from actors.pooled_dispatcher import PooledDispatcher
from actors.testing.stepped_dispatcher import SteppedDispatcher
from flowforge.flow import Flow
from flowforge.job_state import JobState
from flowforge.routine import Routine
from flowforge.runtime import Runtime

Handler = Callable[..., Any]


class Node(Routine):
    """Its only slot `input` calls `handler(self, ...)`; it has the events named, or `out`, and an initial state."""

    def __init__(self, handler: Handler, *events: str, **state: Any) -> None:
        super().__init__()
        self.define_slot("input", handler=MethodType(handler, self))
        for event in events or ("out",):
            self.define_event(event)
        self.state.update(state)


def made_graph(routines: dict[str, Routine | Handler], *connections: str, **options: Any) -> Flow:
    flow = Flow("flow", **options)
    for routine_id, routine in routines.items():
        flow.add_routine(routine if isinstance(routine, Routine) else Node(routine), routine_id)
    for connection in connections:
        flow.connect(*connection.split(" -> "))
    return flow


@pytest.fixture
def node() -> type[Node]:
    return Node


@pytest.fixture
def graph() -> Callable[..., Flow]:
    """`graph({"a": handler, ...}, "a.out -> b.input", ...)`."""
    return made_graph


@pytest.fixture
def chain() -> Callable[..., Flow]:
    """`chain(handler, ...)`: the routines a, b, c and so on, each connected to the next."""

    def chained(*routines: Routine | Handler, **options: Any) -> Flow:
        names = "abcdefgh"[: len(routines)]
        connections = [f"{one}.out -> {next_one}.input" for one, next_one in pairwise(names)]
        return made_graph(dict(zip(names, routines, strict=True)), *connections, **options)

    return chained


@pytest.fixture
def dispatcher() -> SteppedDispatcher:
    """The dispatcher of `stepped`."""
    return SteppedDispatcher()


@pytest.fixture
def stepped(dispatcher: SteppedDispatcher) -> Iterator[Runtime]:
    """A runtime that does nothing until `dispatcher` is stepped or something is waited for."""
    with Runtime(dispatcher=dispatcher) as runtime:
        yield runtime


@pytest.fixture(params=["stepped", "pooled"])
def runtime(request: pytest.FixtureRequest) -> Iterator[Runtime]:
    """A runtime on each of the two dispatchers."""
    chosen: Dispatcher = SteppedDispatcher() if request.param == "stepped" else PooledDispatcher(4)
    with Runtime(dispatcher=chosen) as runtime:
        yield runtime


@pytest.fixture
def run(runtime: Runtime) -> Callable[..., JobState]:
    """`run(flow, n=1)`: a job of the flow, entered with those parameters, once it rests."""

    def run_to_rest(flow: Flow, **params: Any) -> JobState:
        job = runtime.exec(flow, entry_params=params)
        assert job.wait(30), f"{job} does not come to rest"
        return job

    return run_to_rest


@pytest.fixture
def ready(dispatcher: SteppedDispatcher) -> Callable[[], list[str]]:
    """What `stepped` can run now: ids of routines, `supervisor`, `timer`, `loop`."""

    def names() -> list[str]:
        return [_name_of(choice) for choice in dispatcher.choices()]

    return names


@pytest.fixture
def turn(dispatcher: SteppedDispatcher, ready: Callable[[], list[str]]) -> Callable[..., None]:
    """`turn("a", "b")`: one turn of each of these, in this order."""

    def take(*names: str) -> None:
        for name in names:
            dispatcher.step(ready().index(name))

    return take


def _name_of(choice: object) -> str:
    urn = getattr(choice, "actor_urn", None)
    if urn is None:
        return "timer" if hasattr(choice, "cancel") else "loop"
    parts = str(urn).split(":")
    return parts[3] if len(parts) > 3 else parts[-1]
