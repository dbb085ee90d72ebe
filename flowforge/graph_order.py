"""The order that a graph's edges impose on its nodes: cycles, and what comes before what."""

from collections.abc import Hashable, Iterable, Sequence
from typing import TypeVar

__all__ = ["components", "topological_rank"]

Node = TypeVar("Node", bound=Hashable)


def components(nodes: Sequence[Node], edges: Iterable[tuple[Node, Node]]) -> list[list[Node]]:
    """Group the nodes that can reach each other, each group before all that it leads to; in linear time.

    Nodes keep their given order inside a group, and so do groups wherever that order is already topological.
    Every edge must join two of `nodes`.
    """
    found = _strong_components(nodes, edges)
    number_of = {node: number for number, component in enumerate(reversed(found)) for node in component}
    ordered: list[list[Node]] = [[] for _ in found]
    for node in nodes:
        ordered[number_of[node]].append(node)
    return ordered


def topological_rank(nodes: Sequence[Node], edges: Iterable[tuple[Node, Node]]) -> dict[Node, int]:
    """Number each node by its group in `components`: edges lead to higher ranks, a cycle shares one."""
    return {node: rank for rank, group in enumerate(components(nodes, edges)) for node in group}


def _strong_components(nodes: Sequence[Node], edges: Iterable[tuple[Node, Node]]) -> list[list[Node]]:
    """Find the strongly connected components, each after all that it leads to.

    R. Tarjan, "Depth-first search and linear graph algorithms", SIAM Journal on Computing 1(2), 1972, with a
    stack of its own in place of recursion.
    """
    successors: dict[Node, list[Node]] = {node: [] for node in nodes}
    for source, target in edges:
        successors[source].append(target)
    index: dict[Node, int] = {}
    low: dict[Node, int] = {}
    pending: dict[Node, None] = {}
    found: list[list[Node]] = []
    # Backwards, so that the components, which come out last first, keep the given order.
    for root in reversed(nodes):
        path = [] if root in index else [root]
        while path:
            node = path[-1]
            if node not in index:
                index[node] = low[node] = len(index)
                pending[node] = None
            if successors[node]:
                target = successors[node].pop()
                if target not in index:
                    path.append(target)
                elif target in pending:
                    low[node] = min(low[node], index[target])
                continue
            path.pop()
            if path:
                low[path[-1]] = min(low[path[-1]], low[node])
            if low[node] == index[node]:
                found.append(_unwind(pending, node))
    return found


def _unwind(pending: dict[Node, None], node: Node) -> list[Node]:
    component: list[Node] = []
    while not component or component[-1] != node:
        component.append(pending.popitem()[0])
    return component
