"""Where records and values are kept."""

__all__: list[str] = []
