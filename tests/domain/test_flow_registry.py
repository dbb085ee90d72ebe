"""The registry of flows."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from flowforge.flow_graph import FlowGraph
from flowforge.flow_registry import FlowRegistry
from flowforge.graph_errors import FlowNameTakenError, IllegalNameError, UnknownFlowError
from flowforge.monitoring import flow_registry as users_path
from flowforge.option_errors import OptionError


def test_the_default_registry_is_the_same_for_everyone() -> None:
    assert FlowRegistry.get_instance() is users_path.FlowRegistry.get_instance()
    assert isinstance(FlowRegistry.get_instance(), FlowRegistry)


def test_a_registry_of_ones_own_knows_nothing_of_others() -> None:
    first, second = FlowRegistry(), FlowRegistry()
    first.register(FlowGraph("demo"))

    assert (first.list(), second.list()) == (["demo"], [])


def test_a_flow_is_found_by_its_id_or_by_a_name() -> None:
    registry, flow = FlowRegistry(), FlowGraph("demo")
    registry.register(flow)
    registry.register_by_name("other", flow)

    assert registry.get("demo") is registry.get("other") is flow
    assert registry.list() == ["demo", "other"]


def test_the_same_flow_may_be_registered_again() -> None:
    registry, flow = FlowRegistry(), FlowGraph("demo")
    registry.register(flow)
    registry.register(flow)

    assert registry.list() == ["demo"]


def test_a_name_never_changes_its_flow() -> None:
    registry, flow = FlowRegistry(), FlowGraph("demo")
    registry.register(flow)

    with pytest.raises(FlowNameTakenError, match=r"Another flow is registered as 'demo'\. Unregister that one first"):
        registry.register_by_name("demo", FlowGraph())
    assert registry.get("demo") is flow


def test_an_unregistered_name_is_free_again() -> None:
    registry, flow = FlowRegistry(), FlowGraph("demo")
    registry.register(flow)

    assert registry.unregister("demo") is flow
    registry.register_by_name("demo", FlowGraph())
    assert registry.list() == ["demo"]


def test_an_unknown_name_is_answered_with_those_there_are() -> None:
    registry = FlowRegistry()
    registry.register(FlowGraph("demo"))

    with pytest.raises(UnknownFlowError, match=r"No flow is registered as 'dmeo'\. Register it.*There is: 'demo'\."):
        registry.get("dmeo")
    with pytest.raises(LookupError, match="No flow is registered as 'other'"):
        registry.unregister("other")


def test_a_registry_holds_flows_only() -> None:
    with pytest.raises(OptionError, match=r"A registry cannot take flow='demo'\. Give a Flow\."):
        FlowRegistry().register_by_name("demo", "demo")  # type: ignore[arg-type]  # wrong on purpose


@pytest.mark.parametrize("name", ["", "a.b", None])
def test_a_flow_name_is_a_text_without_dot(name: Any) -> None:
    with pytest.raises(IllegalNameError, match="The flow name"):
        FlowRegistry().register_by_name(name, FlowGraph())


def test_every_method_may_be_called_from_any_thread() -> None:
    registry, flows = FlowRegistry(), [FlowGraph() for _ in range(8)]

    def claim(flow: FlowGraph) -> bool:
        try:
            registry.register_by_name("demo", flow)
        except FlowNameTakenError:
            return False
        return registry.get("demo") is flow

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(claim, flows)) == 1
