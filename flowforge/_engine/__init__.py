"""The private engine: a job on actors."""

__all__: list[str] = []
