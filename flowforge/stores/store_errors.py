"""What is wrong with a store, or with the file under it."""

from flowforge.errors import FlowForgeError

__all__ = [
    "StoreClosedError",
    "StoreCodecError",
    "StoreDamagedError",
    "StoreFailedError",
    "StoreFencedError",
    "StoreForkedError",
    "StoreFullError",
    "StoreInUseError",
    "StoreKeyError",
    "StoreLayersError",
    "StoreModeError",
    "StoreRetentionError",
    "StoreSettingError",
    "StoreUnreachableError",
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


class StoreCodecError(FlowForgeError):
    """The values of a store were written by a codec of another kind, or with another key."""

    def __init__(self, path: str, problem: str, remedy: str) -> None:
        super().__init__(f"The store {path!r} cannot be read with this codec: {problem}. {remedy}")
        self.path = path
        self.problem = problem


class StoreLayersError(FlowForgeError):
    """A store was written through other layers than it is opened with."""

    def __init__(self, path: str, stored: list[str], given: list[str]) -> None:
        super().__init__(
            f"The store {path!r} was written through the layers {stored!r} and is opened with {given!r}. "
            "Give SqliteStore those that it was written through, in that order."
        )
        self.path = path
        self.stored = stored
        self.given = given


class StoreKeyError(FlowForgeError):
    """A layer cannot read what a store holds, for want of a key."""

    def __init__(self, path: str, layer: str, problem: str, remedy: str) -> None:
        super().__init__(f"The store {path!r} cannot be read through its layer {layer!r}: {problem}. {remedy}")
        self.path = path
        self.layer = layer
        self.problem = problem


class StoreInUseError(FlowForgeError):
    """Another process, another runtime of this one, or a program that is none of ours has the store open."""

    def __init__(self, path: str, holder: int | str | None) -> None:
        who = "another runtime" if holder is None else f"the process {holder}" if isinstance(holder, int) else holder
        super().__init__(
            f"The store {path!r} is in use by {who}. Shut that down, or give this runtime a store of its own."
        )
        self.path = path
        self.holder = holder


class StoreModeError(FlowForgeError):
    """Others can read or write a file of a store, and this process may not change that."""

    def __init__(self, path: str, mode: int) -> None:
        super().__init__(
            f"The file {path!r} of a store has the mode {mode:04o}, so others can get at it, and this process may "
            "not change that. Have its owner run chmod 600 on it, and open the store as that user."
        )
        self.path = path
        self.mode = mode


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
            f"The store {path!r} is damaged: {problem}. Nothing was read as a shorter history; restore it from a "
            "backup together with the -wal and .lock files beside it."
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


class StoreForkedError(FlowForgeError):
    """This process was forked from the one that has the store open."""

    def __init__(self, path: str) -> None:
        super().__init__(
            f"The store {path!r} belongs to the process that this one was forked from, so this one can neither read "
            "nor write it. Open a runtime with a store of its own in the child."
        )
        self.path = path


class StoreFullError(FlowForgeError):
    """There is no space for what a store has to write, as it has to before it lets go of jobs."""

    def __init__(self, path: str, problem: str) -> None:
        super().__init__(f"The store {path!r} has no space: {problem}. Free some on its disk.")
        self.path = path
        self.problem = problem


class StoreRetentionError(FlowForgeError, ValueError):
    """Jobs of that kind are not let go."""

    def __init__(self, name: str, value: object, remedy: str) -> None:
        super().__init__(f"A store cannot let go of jobs with {name} = {value!r}. {remedy}")
        self.name = name
        self.value = value


class StoreUnreachableError(FlowForgeError):
    """The file cannot be opened."""

    def __init__(self, path: str, problem: str) -> None:
        super().__init__(
            f"The store {path!r} cannot be opened: {problem}. Create its folder, and let this process write there."
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
