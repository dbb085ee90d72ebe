"""Running actors without threads, under a chosen schedule and a manual clock."""

__all__: list[str] = []
