"""Pooled actors on pykka: mailboxes, dispatchers, supervision."""

__all__: list[str] = []
