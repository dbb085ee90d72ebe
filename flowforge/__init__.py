"""Event-driven flows that must not break, on supervised actors."""

__all__: list[str] = []
