"""The flows of a process, by name.

Guarantees, each kept by one lock around one dict:
- Every method may be called from any thread, and takes effect whole or not at all.
- A name never changes its flow: it must be unregistered first.
"""

import threading

from flowforge.flow_graph import FlowGraph
from flowforge.graph_errors import FlowNameTakenError, UnknownFlowError
from flowforge.names import check_name
from flowforge.option_errors import OptionError

__all__ = ["FlowRegistry"]


class FlowRegistry:
    """Flows that can be asked for by name, in the order they were registered."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._flows: dict[str, FlowGraph] = {}

    @staticmethod
    def get_instance() -> "FlowRegistry":
        """Return the registry that a runtime uses unless it is given another; one for the whole process."""
        return _DEFAULT

    def register(self, flow: FlowGraph) -> None:
        """Make `flow` known by its own id; raise as `register_by_name` does."""
        self.register_by_name(flow.flow_id, flow)

    def register_by_name(self, name: str, flow: FlowGraph) -> None:
        """Make `flow` known as `name`; the same flow again is fine, another raises `FlowNameTakenError`."""
        check_name("flow name", name)
        if not isinstance(flow, FlowGraph):
            raise OptionError("A registry", "flow", flow, "Give a Flow.")
        with self._lock:
            if self._flows.setdefault(name, flow) is not flow:
                raise FlowNameTakenError(name)

    def get(self, name: str) -> FlowGraph:
        """Return the flow known as `name`; raise `UnknownFlowError` if there is none."""
        with self._lock:
            if name not in self._flows:
                raise UnknownFlowError(name, self._flows)
            return self._flows[name]

    def unregister(self, name: str) -> FlowGraph:
        """Forget the flow known as `name` and return it; raise `UnknownFlowError` if there is none."""
        with self._lock:
            if name not in self._flows:
                raise UnknownFlowError(name, self._flows)
            return self._flows.pop(name)

    def list(self) -> list[str]:
        """Return the names of all flows."""
        with self._lock:
            return [*self._flows]


_DEFAULT = FlowRegistry()
