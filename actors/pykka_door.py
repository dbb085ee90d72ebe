"""The only importer of pykka, its private names included: a new release has one place to break."""

from collections.abc import Iterable, Iterator
from typing import Any, Protocol, TypeVar, cast, overload

from pykka import (
    Actor,
    ActorDeadError,
    ActorProxy,
    ActorRef,
    ActorRegistry,
    Future,
    ThreadingActor,
    ThreadingFuture,
    Timeout,
    get_all,
    messages,
    traversable,
)
from pykka._actor import ActorInbox
from pykka._envelope import Envelope
from pykka.messages import _ActorStop as ActorStop

__all__ = [
    "Actor",
    "ActorDeadError",
    "ActorInbox",
    "ActorProxy",
    "ActorRef",
    "ActorRegistry",
    "ActorStop",
    "Envelope",
    "Future",
    "OrderedRefs",
    "RefRegistry",
    "SharedRegistry",
    "ThreadingActor",
    "ThreadingFuture",
    "Timeout",
    "get_all",
    "messages",
    "traversable",
]

A = TypeVar("A", bound=Actor)


class RefRegistry(Protocol):
    """Where a started actor is entered, and struck off when it stops; from any thread."""

    def register(self, actor_ref: ActorRef[Any]) -> None:
        """Enter a started actor."""
        ...

    def unregister(self, actor_ref: ActorRef[Any]) -> None:
        """Strike it off; one that is not there is ignored."""
        ...


class OrderedRefs:
    """What pykka's registry uses of a list, in order of arrival, with `in` and `remove` at constant cost.

    The caller holds the registry's lock. A reference entered twice stands twice, at its first place.
    """

    __slots__ = ("_counts", "_length")

    def __init__(self, refs: Iterable[ActorRef[Any]] = ()) -> None:
        self._counts: dict[ActorRef[Any], int] = {}
        self._length = 0
        for ref in refs:
            self.append(ref)

    def append(self, ref: ActorRef[Any]) -> None:
        """Put at the end."""
        self._counts[ref] = self._counts.get(ref, 0) + 1
        self._length += 1

    def remove(self, ref: ActorRef[Any]) -> None:
        """Take one entry of `ref` out; ValueError when there is none."""
        count = self._counts.get(ref)
        if count is None:
            raise ValueError(ref)
        if count == 1:
            del self._counts[ref]
        else:
            self._counts[ref] = count - 1
        self._length -= 1

    def __contains__(self, ref: object) -> bool:
        return ref in self._counts

    def __iter__(self) -> Iterator[ActorRef[Any]]:
        for ref, count in self._counts.items():
            for _ in range(count):
                yield ref

    def __len__(self) -> int:
        return self._length

    @overload
    def __getitem__(self, index: int) -> ActorRef[Any]: ...

    @overload
    def __getitem__(self, index: slice) -> list[ActorRef[Any]]: ...

    def __getitem__(self, index: int | slice) -> ActorRef[Any] | list[ActorRef[Any]]:
        return list(self)[index]


class SharedRegistry:
    """pykka's process-wide ActorRegistry, made fit for many actors.

    The first registration puts an `OrderedRefs` in the place of pykka's list, under pykka's lock: the API and
    its order stay, and `unregister` no longer scans all actors of the process.
    """

    __slots__ = ()

    @staticmethod
    def register(actor_ref: ActorRef[Any]) -> None:
        """Enter a started actor."""
        with ActorRegistry._actor_refs_lock:  # noqa: SLF001 - the lock that guards the list.
            refs: object = ActorRegistry._actor_refs  # noqa: SLF001
            if type(refs) is list:
                ActorRegistry._actor_refs = cast("list[ActorRef[Any]]", OrderedRefs(refs))  # noqa: SLF001
            ActorRegistry.register(actor_ref)

    @staticmethod
    def unregister(actor_ref: ActorRef[Any]) -> None:
        """Strike it off; one that is not there is ignored."""
        ActorRegistry.unregister(actor_ref)
