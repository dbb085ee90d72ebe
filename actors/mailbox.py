"""A mailbox: a control lane that goes first, and one FIFO lane per slot.

Guarantees:

- Every method is called with `mailbox.lock` held; the lock may be shared by many mailboxes, which then change together.
- A mailbox is in the ready queue at most once: the methods that return a bool answer True exactly when the
  caller must submit the owner to its dispatcher.
- Control messages are handed out before data; data in the order of arrival over all lanes, FIFO in each;
  `prefer` lets a lane go first.
- A message is peeked, then popped: until it is popped it stays first in its lane.
- A held mailbox hands out no data; control messages pass.
- Nothing vanishes: what is left at `close` is returned to the caller.
"""

import threading
from collections import deque
from collections.abc import Iterable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Final

from actors.errors import IllegalMailboxMoveError, LaneOptionError
from actors.mailbox_status import MailboxStatus, may_move

__all__ = ["Lane", "Mailbox", "MailboxStatistics"]

_IDLE, _READY, _RUNNING, _AWAITING, _CLOSED = MailboxStatus


@dataclass(frozen=True, slots=True)
class MailboxStatistics:
    """What a mailbox holds at one moment."""

    status: MailboxStatus
    holds: int
    control: int
    lanes: tuple[int, ...]


# An empty deque takes 760 bytes, and most mailboxes are empty: these share one, to which nothing can be added.
_NOTHING: Final[deque[Any]] = deque(maxlen=0)


class Lane:
    """One FIFO of a mailbox, with the two marks that backpressure goes by.

    It is over its bound from the moment it holds `high` messages until it has fallen to `low`.
    """

    __slots__ = ("arrivals", "high", "is_over", "items", "low", "name")

    def __init__(self, name: str, *, capacity: int = 1000, watermark: float = 0.8) -> None:
        if capacity < 1:
            raise LaneOptionError(name, "capacity", capacity, "Give a whole number of messages, 1 or more.")
        if not 0 < watermark <= 1:
            raise LaneOptionError(name, "watermark", watermark, "Give a share of the capacity above 0 and up to 1.")
        self.name = name
        self.items = _NOTHING
        self.arrivals: deque[int] = _NOTHING
        """When each item came; a mailbox with a single lane has no use for it."""
        self.is_over = False
        self.set_bound(max(1, int(capacity * watermark)))

    def set_bound(self, high: int) -> None:
        """Count the lane as over from `high` messages on, and as below again at half of that."""
        self.high = high
        self.low = high // 2


class Mailbox:
    """The messages of one actor and its place in the ready queue."""

    __slots__ = ("_arrived", "control", "holds", "lanes", "lock", "status")

    def __init__(self, lanes: Iterable[Lane] = (), lock: AbstractContextManager[Any] | None = None) -> None:
        self.lock: AbstractContextManager[Any] = threading.RLock() if lock is None else lock
        self.lanes: tuple[Lane, ...] = tuple(lanes)
        self.control = _NOTHING
        self.status = _IDLE
        self.holds = 0
        self._arrived = 0

    def put(self, index: int, item: object) -> bool:
        """Append to lane `index`; True when the owner must be submitted."""
        lane = self.lanes[index]
        if lane.items is _NOTHING:
            lane.items = deque()
        lane.items.append(item)
        if len(self.lanes) > 1:
            self._arrived += 1
            if lane.arrivals is _NOTHING:
                lane.arrivals = deque()
            lane.arrivals.append(self._arrived)
        if self.status is _IDLE and not self.holds:
            self.status = _READY
            return True
        return False

    def put_control(self, item: object) -> bool:
        """Append to the control lane; True when the owner must be submitted."""
        if self.control is _NOTHING:
            self.control = deque()
        self.control.append(item)
        return self.wake()

    def put_control_first(self, item: object) -> None:
        """Put ahead of all control messages; the owner is in its turn."""
        self.control = deque((item, *self.control))

    def wake(self) -> bool:
        """Give the owner a turn even if it holds no message; True when it must be submitted."""
        if self.status is _IDLE:
            self.status = _READY
            return True
        return False

    def peek(self) -> int:
        """The index of the lane whose first message is next, or -1 if no data may be handed out."""
        if self.holds:
            return -1
        lanes = self.lanes
        if len(lanes) == 1:
            return 0 if lanes[0].items else -1
        oldest = best = -1
        for index, lane in enumerate(lanes):
            if lane.items and (best < 0 or lane.arrivals[0] < oldest):
                best, oldest = index, lane.arrivals[0]
        return best

    def prefer(self, index: int) -> None:
        """Hand out the first message of lane `index` next, as if it had come before those of the other lanes."""
        if len(self.lanes) > 1:
            self.lanes[index].arrivals[0] = 0

    def pop(self, index: int) -> Any:
        """Take the first message of lane `index`."""
        lane = self.lanes[index]
        if len(self.lanes) > 1:
            lane.arrivals.popleft()
        return lane.items.popleft()

    def has_work(self) -> bool:
        """Whether a turn would find a control message or data that may be handed out."""
        if self.control:
            return True
        if self.holds:
            return False
        return any(lane.items for lane in self.lanes)

    def start_turn(self) -> bool:
        """Ready to running; False when it was closed in the meantime, and there is nothing to do."""
        if self.status is _CLOSED:
            return False
        self._move(_RUNNING)
        return True

    def end_turn(self) -> bool:
        """Running to ready if there is more to do (True: submit the owner), else to idle."""
        if self.status is _CLOSED:
            return False
        if self.has_work():
            self._move(_READY)
            return True
        self._rest()
        return False

    def rest_turn(self) -> None:
        """Running to idle, although data may wait: its owner has no use for it until more comes."""
        if self.status is not _CLOSED:
            self._rest()

    def _rest(self) -> None:
        self._move(_IDLE)
        if not self.control:
            self.control = _NOTHING
        for lane in self.lanes:
            if not lane.items:
                lane.items = lane.arrivals = _NOTHING

    def suspend_turn(self) -> None:
        """Running to awaiting: the owner stays busy, without a thread, until `resume_turn`."""
        if self.status is not _CLOSED:
            self._move(_AWAITING)

    def resume_turn(self) -> bool:
        """Awaiting or running to ready; True when the owner must be submitted, False when it was closed."""
        if self.status is _CLOSED:
            return False
        self._move(_READY)
        return True

    def hold(self) -> None:
        """Hand out no data until released as often as held."""
        self.holds += 1

    def release(self) -> bool:
        """Undo one `hold`; True when the owner must be submitted."""
        if not self.holds:
            raise IllegalMailboxMoveError("released", "not held")
        self.holds -= 1
        if self.status is _IDLE and self.has_work():
            self.status = _READY
            return True
        return False

    def close(self) -> list[Any]:
        """Close for good; what was queued comes back, control first, then lane by lane."""
        self.status = _CLOSED
        left = list(self.control)
        self.control.clear()
        for lane in self.lanes:
            left.extend(lane.items)
            lane.items.clear()
            if len(self.lanes) > 1:
                lane.arrivals.clear()
        return left

    def statistics(self) -> MailboxStatistics:
        """A frozen account of what it holds."""
        return MailboxStatistics(
            self.status, self.holds, len(self.control), tuple(len(lane.items) for lane in self.lanes)
        )

    def _move(self, new: MailboxStatus) -> None:
        if not may_move(self.status, new):
            raise IllegalMailboxMoveError(self.status.value, new.value)
        self.status = new
