"""From what a user gives as a store to the store."""

from flowforge.stores.codec import Codec
from flowforge.stores.memory import MemoryLog
from flowforge.stores.sqlite import SqliteStore
from flowforge.stores.store import Log
from flowforge.stores.store_errors import StoreUrlError

__all__ = ["opened"]

_SQLITE = "sqlite:///"


def opened(store: Log | str | None, codec: Codec) -> Log:
    """The log that a runtime writes to: none, a store, or the one of a URL; raises as `SqliteStore` does.

    `sqlite:///jobs.db` is relative to the working directory, `sqlite:////var/lib/jobs.db` is not.
    """
    if store is None:
        return MemoryLog()
    if not isinstance(store, str):
        if not hasattr(store, "append") or not hasattr(store, "is_durable"):
            raise StoreUrlError(store)
        return store
    path = store.removeprefix(_SQLITE)
    if path == store or not path or path.startswith(":"):
        raise StoreUrlError(store)
    return SqliteStore(path, codec)
