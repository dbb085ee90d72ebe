"""The registry of flows, under the path by which users know it."""

from flowforge.flow_registry import FlowRegistry

__all__ = ["FlowRegistry"]
