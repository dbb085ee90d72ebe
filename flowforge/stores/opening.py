"""From what a user gives as a store to the store."""

from flowforge.stores.codec import Codec
from flowforge.stores.memory import MemoryLog
from flowforge.stores.sqlite import SqliteStore
from flowforge.stores.store import Log
from flowforge.stores.store_errors import StoreCodecError, StoreUrlError
from flowforge.stores.store_options import check_codec

__all__ = ["codec_for", "opened"]

_SQLITE = "sqlite:///"


def codec_for(store: Log | str | None, codec: Codec | None) -> Codec:
    """The codec of a runtime: the given one, else its store's, else a new one; StoreCodecError if these two differ.

    OptionError for one that is none.
    """
    if codec is not None:
        check_codec("Runtime", codec)
    kept = getattr(store, "codec", None)
    if isinstance(kept, Codec):
        if codec is not None and codec is not kept:
            path = str(getattr(store, "path", store))
            raise StoreCodecError(path, "it was opened with another one", "Give the runtime the store alone.")
        return kept
    return codec or Codec()


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
