"""What the actor machinery raises: one base class, few subclasses, each carrying its facts as attributes."""

__all__ = [
    "ActorError",
    "ClockError",
    "DispatcherClosedError",
    "DispatcherOptionError",
    "DuplicateUrnError",
    "ForkedDispatcherError",
    "IllegalMailboxMoveError",
    "LaneOptionError",
    "NoDispatcherError",
    "RestartBudgetSpentError",
    "SupervisionOptionError",
    "SupervisorStoppingError",
    "UninitialisedActorError",
    "WaitInsideTurnError",
]


class ActorError(Exception):
    """Base of every error that the actor machinery raises itself."""


class LaneOptionError(ActorError, ValueError):
    """A mailbox lane was given a bound that cannot be kept."""

    def __init__(self, lane: str, option: str, value: float, remedy: str) -> None:
        super().__init__(f"The {option} of lane {lane!r} cannot be {value!r}. {remedy}")
        self.lane = lane
        self.option = option
        self.value = value


class IllegalMailboxMoveError(ActorError):
    """A mailbox was moved in a way its table does not allow; a defect of the caller."""

    def __init__(self, old: str, new: str) -> None:
        super().__init__(f"A mailbox that is {old} cannot become {new}.")
        self.old = old
        self.new = new


class WaitInsideTurnError(ActorError):
    """A turn wanted to wait for another actor, which would take a thread away from the pool."""

    def __init__(self, awaited: str) -> None:
        super().__init__(
            f"A turn cannot wait for {awaited!r}. "
            "Use tell, or ask with block=False, and let the answer come as a message."
        )
        self.awaited = awaited


class NoDispatcherError(ActorError):
    """A pooled actor was started with nothing to give it turns."""

    def __init__(self, actor_class: str) -> None:
        super().__init__(
            f"The actor class {actor_class!r} has no dispatcher. "
            "Set its class attribute `dispatcher`, or start it with start_on(dispatcher, ...)."
        )
        self.actor_class = actor_class


class UninitialisedActorError(ActorError):
    """An actor's __init__ did not call its superclass."""

    def __init__(self, actor_class: str) -> None:
        super().__init__(
            f"The __init__ of actor class {actor_class!r} did not set the actor up. Call super().__init__() in it."
        )
        self.actor_class = actor_class


class DuplicateUrnError(ActorError):
    """Two running actors of one registry were given the same urn."""

    def __init__(self, actor_urn: str) -> None:
        super().__init__(f"An actor with the urn {actor_urn!r} is running already. Give each actor its own urn.")
        self.actor_urn = actor_urn


class SupervisionOptionError(ActorError, ValueError):
    """A directive or a restart budget was given a value that makes no sense."""

    def __init__(self, option: str, value: float, remedy: str) -> None:
        super().__init__(f"The supervision option {option!r} cannot be {value!r}. {remedy}")
        self.option = option
        self.value = value


class RestartBudgetSpentError(ActorError):
    """A child failed more often than its supervisor may restart its children."""

    def __init__(self, child: str, restarts: int, within_seconds: float) -> None:
        super().__init__(
            f"The actor {child!r} failed, and {restarts!r} restarts in {within_seconds!r} s are used up. "
            "Find the cause in the error before this one, or give the supervisor a larger RestartBudget."
        )
        self.child = child
        self.restarts = restarts
        self.within_seconds = within_seconds


class ClockError(ActorError, ValueError):
    """A manual clock was asked to go back."""

    def __init__(self, seconds: float) -> None:
        super().__init__(f"A clock cannot be advanced by {seconds!r} seconds. Give a number that is 0 or more.")
        self.seconds = seconds


class DispatcherOptionError(ActorError, ValueError):
    """A dispatcher was given an option it cannot work with."""

    def __init__(self, option: str, value: object, remedy: str) -> None:
        super().__init__(f"The {option} of a dispatcher cannot be {value!r}. {remedy}")
        self.option = option
        self.value = value


class DispatcherClosedError(ActorError):
    """Work was given to a dispatcher that has been shut down."""

    def __init__(self, name: str) -> None:
        super().__init__(f"Dispatcher {name!r} has been shut down and takes no more work. Create a new one.")
        self.name = name


class ForkedDispatcherError(ActorError):
    """A dispatcher was used in a process forked from its own, where its threads do not exist."""

    def __init__(self, name: str) -> None:
        super().__init__(f"Dispatcher {name!r} belongs to the parent of this process. Create a new one in the child.")
        self.name = name


class SupervisorStoppingError(ActorError):
    """A supervisor was to start a child while it stops its children."""

    def __init__(self, supervisor: str, actor_class: str) -> None:
        super().__init__(
            f"The supervisor {supervisor!r} is stopping its children and cannot start a {actor_class!r}. "
            "Start it in `on_children_stopped`."
        )
        self.supervisor = supervisor
        self.actor_class = actor_class
