"""The order of a graph, against plain reachability."""

from hypothesis import given
from hypothesis import strategies as st

from flowforge.graph_order import components, topological_rank

Edge = tuple[int, int]
SIZE = 8

edge_lists = st.lists(st.tuples(st.integers(0, SIZE - 1), st.integers(0, SIZE - 1)), max_size=20)
node_orders = st.permutations(range(SIZE))


def reachable(edges: list[Edge]) -> list[set[int]]:
    reached = [{node} for node in range(SIZE)]
    for _ in range(SIZE):
        for source, target in edges:
            reached[source] |= reached[target]
    return reached


@given(node_orders, edge_lists)
def test_groups_are_the_nodes_that_reach_each_other(nodes: list[int], edges: list[Edge]) -> None:
    reached = reachable(edges)

    for group in components(nodes, edges):
        for node in group:
            assert group == [other for other in nodes if other in reached[node] and node in reached[other]]


@given(node_orders, edge_lists)
def test_each_node_is_in_exactly_one_group(nodes: list[int], edges: list[Edge]) -> None:
    assert sorted(node for group in components(nodes, edges) for node in group) == sorted(nodes)


@given(node_orders, edge_lists)
def test_edges_lead_to_higher_ranks_or_stay_in_a_cycle(nodes: list[int], edges: list[Edge]) -> None:
    reached = reachable(edges)
    rank = topological_rank(nodes, edges)

    for source, target in edges:
        assert rank[source] < rank[target] or (rank[source] == rank[target] and source in reached[target])


@given(node_orders, edge_lists)
def test_an_order_that_is_topological_already_is_kept(nodes: list[int], edges: list[Edge]) -> None:
    forward = [(source, target) for source, target in edges if nodes.index(source) < nodes.index(target)]

    assert components(nodes, forward) == [[node] for node in nodes]
