"""Fixtures that every test may use."""

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from types import MethodType
from typing import Any

import pytest

from flowforge.flow import Flow
from flowforge.routine import Routine

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


@pytest.fixture(scope="session")
def repository() -> Path:
    """The folder that holds pyproject.toml."""
    return Path(__file__).resolve().parents[1]


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
