"""The order that edges impose on nodes."""

from flowforge.graph_order import components, topological_rank


def test_nodes_without_edges_keep_their_order() -> None:
    assert components("abc", []) == [["a"], ["b"], ["c"]]


def test_an_edge_puts_its_source_first() -> None:
    assert components("ab", [("b", "a")]) == [["b"], ["a"]]


def test_an_order_that_is_topological_already_is_kept() -> None:
    assert components("abcd", [("a", "c"), ("b", "d"), ("a", "d")]) == [["a"], ["b"], ["c"], ["d"]]


def test_a_cycle_is_one_group_in_the_given_order() -> None:
    assert components("abc", [("c", "b"), ("b", "a"), ("a", "c")]) == [["a", "b", "c"]]


def test_a_loop_of_one_node_is_a_group_like_any_other() -> None:
    assert components("ab", [("a", "a"), ("a", "b")]) == [["a"], ["b"]]


def test_two_cycles_are_ordered_by_the_edge_between_them() -> None:
    edges = [("a", "b"), ("b", "a"), ("c", "d"), ("d", "c"), ("d", "a")]

    assert components("abcd", edges) == [["c", "d"], ["a", "b"]]


def test_a_cycle_shares_one_rank() -> None:
    ranks = topological_rank("abcd", [("a", "b"), ("b", "c"), ("c", "b"), ("c", "d")])

    assert ranks == {"a": 0, "b": 1, "c": 1, "d": 2}


def test_an_empty_graph_has_no_groups() -> None:
    assert components([], []) == []


def test_ten_thousand_nodes_in_a_row_need_no_deep_recursion() -> None:
    nodes = range(10_000)
    edges = [(node, node + 1) for node in nodes[:-1]]

    assert topological_rank(nodes, edges) == {node: node for node in nodes}
    assert components(nodes, [*edges, (9_999, 0)]) == [list(nodes)]
