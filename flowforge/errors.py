"""What FlowForge raises: one base class, few subclasses, each carrying its facts as attributes."""

__all__ = ["FlowForgeError"]


class FlowForgeError(Exception):
    """Base of every error that FlowForge raises itself."""
