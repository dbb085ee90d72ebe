"""A registry of one owner's actors: pykka's API, constant cost, and nothing shared with other owners."""

import threading
from typing import Any

from actors.errors import DuplicateUrnError
from actors.pykka_door import ActorRef

__all__ = ["Registry"]


class Registry:
    """The running actors of one runtime in order of their start; every method is safe on any thread."""

    __slots__ = ("_lock", "_refs")

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._refs: dict[str, ActorRef[Any]] = {}

    def register(self, actor_ref: ActorRef[Any]) -> None:
        """Enter a started actor; DuplicateUrnError when another running one has its urn."""
        with self._lock:
            if self._refs.setdefault(actor_ref.actor_urn, actor_ref) is not actor_ref:
                raise DuplicateUrnError(actor_ref.actor_urn)

    def unregister(self, actor_ref: ActorRef[Any]) -> None:
        """Strike it off; one that is not there is ignored."""
        with self._lock:
            if self._refs.get(actor_ref.actor_urn) is actor_ref:
                del self._refs[actor_ref.actor_urn]

    def get_all(self) -> list[ActorRef[Any]]:
        """All running actors, the first started first."""
        with self._lock:
            return list(self._refs.values())

    def get_by_urn(self, actor_urn: str) -> ActorRef[Any] | None:
        """The running actor of that urn, or None."""
        with self._lock:
            return self._refs.get(actor_urn)

    def __len__(self) -> int:
        return len(self._refs)
