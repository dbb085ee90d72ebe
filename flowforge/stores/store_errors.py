"""What is wrong with a store, or with the file under it."""

from flowforge.errors import FlowForgeError

__all__ = [
    "StoreClosedError",
    "StoreDamagedError",
    "StoreFailedError",
    "StoreFencedError",
    "StoreInUseError",
    "StoreSettingError",
    "StoreUrlError",
]


class StoreUrlError(FlowForgeError, ValueError):
    """A text does not name a store."""

    def __init__(
        self, url: object, remedy: str = "Give sqlite:///relative/path.db or sqlite:////absolute/path.db."
    ) -> None:
        super().__init__(f"{url!r} does not name a store. {remedy}")
        self.url = url


class StoreClosedError(FlowForgeError):
    """The store was closed."""

    def __init__(self, path: str) -> None:
        super().__init__(f"The store {path!r} was closed, so nothing more is kept. Open a new runtime on it.")
        self.path = path


class StoreInUseError(FlowForgeError):
    """Another process, or another runtime of this one, has the store open."""

    def __init__(self, path: str, holder: int | None) -> None:
        who = "another runtime" if holder is None else f"the process {holder}"
        super().__init__(
            f"The store {path!r} is in use by {who}. Shut that down, or give this runtime a store of its own."
        )
        self.path = path
        self.holder = holder


class StoreSettingError(FlowForgeError):
    """The database does not honour a setting that the promise rests on."""

    def __init__(self, path: str, setting: str, wanted: object, found: object) -> None:
        super().__init__(
            f"The store {path!r} does not honour {setting} = {wanted!r}, it has {found!r}. "
            "Put it on a local file system that supports write-ahead logs."
        )
        self.setting = setting


class StoreDamagedError(FlowForgeError):
    """What the file holds is not what was written: a record is missing or changed."""

    def __init__(self, path: str, problem: str) -> None:
        super().__init__(
            f"The store {path!r} is damaged: {problem}. Restore the file, with its -wal beside it, from a backup; "
            "nothing was read as a shorter history."
        )
        self.path = path
        self.problem = problem


class StoreFailedError(FlowForgeError):
    """The disk failed: nothing is acknowledged any more."""

    def __init__(self, path: str, problem: str) -> None:
        super().__init__(
            f"The store {path!r} has failed: {problem}. It is not known what reached the disk, so the runtime has "
            "stopped; look after the disk, then start the process again."
        )
        self.path = path
        self.problem = problem


class StoreFencedError(FlowForgeError):
    """Another process has taken the store over."""

    def __init__(self, path: str) -> None:
        super().__init__(
            f"The store {path!r} was taken over by another process, so this one can write no more. End this process; "
            "the other goes on with its jobs."
        )
        self.path = path
