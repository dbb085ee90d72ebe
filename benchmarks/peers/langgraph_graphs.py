"""LangGraph: a graph of nodes in a row, invoked for each message; durable with its SQLite saver, a thread a message."""

import tempfile
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypedDict

from langgraph.checkpoint.sqlite import SqliteSaver
from langgraph.graph import END, START, StateGraph

from benchmarks.peers.works import IN_FLIGHT, STAGES, Contenders

__all__ = ["contenders"]


class State(TypedDict):
    """What goes through a graph."""

    x: int


def node(state: State) -> State:
    """Pass it on, plus one."""
    return {"x": state["x"] + 1}


def graph(nodes: int, saver: Any = None) -> Any:
    """So many nodes in a row."""
    builder = StateGraph(State)
    names = [f"node{number}" for number in range(nodes)]
    for name in names:
        builder.add_node(name, node)
    for name, following in zip([START, *names], [*names, END], strict=True):
        builder.add_edge(name, following)
    return builder.compile(checkpointer=saver)


def invoke_each(compiled: Any, count: int) -> None:
    """One after the other."""
    for x in range(count):
        assert compiled.invoke({"x": x})["x"] > x


def invoke_kept(compiled: Any, count: int) -> None:
    """One after the other, each step on disk before the next."""
    for x in range(count):
        assert compiled.invoke({"x": x}, thread(), durability="sync")["x"] > x


def batches(compiled: Any, count: int, **options: Any) -> None:
    """A hundred at a time."""
    for start in range(0, count, IN_FLIGHT):
        inputs: Sequence[State] = [{"x": x} for x in range(start, start + IN_FLIGHT)]
        assert len(compiled.batch(inputs, [thread() for _ in inputs], **options)) == IN_FLIGHT


def thread() -> dict[str, Any]:
    """The configuration of a run of its own."""
    return {"configurable": {"thread_id": uuid.uuid4().hex}}


@contextmanager
def contenders() -> Iterator[Contenders]:
    """All works."""
    with tempfile.TemporaryDirectory() as folder, SqliteSaver.from_conn_string(str(Path(folder) / "saved.db")) as saver:
        stages, small = graph(STAGES), graph(3)
        kept_stages, kept_small = graph(STAGES, saver), graph(3, saver)
        yield {
            "pipeline": lambda count: invoke_each(stages, count),
            "jobs": lambda count: invoke_each(small, count),
            "jobs in flight": lambda count: batches(small, count),
            "durable pipeline": lambda count: invoke_kept(kept_stages, count),
            "durable jobs": lambda count: invoke_kept(kept_small, count),
            "durable jobs in flight": lambda count: batches(kept_small, count, durability="sync"),
        }
