"""What watches flows and jobs."""

from flowforge.monitoring.flow_registry import FlowRegistry

__all__ = ["FlowRegistry"]
