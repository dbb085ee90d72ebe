"""MemoryStore against a plain model: a list of what is safe, and a list of what waits."""

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from flowforge.records import JobClosed, Record
from flowforge.stores.codec import Codec
from flowforge.stores.memory import MemoryStore

jobs = st.sampled_from(["a", "b", "c"])


class MemoryStoreMachine(RuleBasedStateMachine):
    """Appends, groups, flushes and crashes in any order."""

    def __init__(self) -> None:
        super().__init__()
        self.asked = 0
        self.store = MemoryStore(Codec(), self.note_asked)
        self.safe: list[tuple[str, Record]] = []
        self.waiting: list[tuple[str, Record]] = []
        self.awaited: dict[int, bool] = {}
        self.count = 0
        self.groups = self.open = 0
        self.group_of: dict[int, int] = {}
        """The group of each record that was appended in one."""

    def note_asked(self) -> None:
        self.asked += 1

    @rule(job=jobs)
    def append(self, job: str) -> None:
        self.count += 1
        record = JobClosed(position=self.count, at=0.0, epoch=1)
        asked, was_empty = self.asked, not self.waiting

        number = self.store.append(job, record)

        self.waiting.append((job, record))
        if self.open:
            self.group_of[self.count] = self.groups
        assert number == len(self.safe) + len(self.waiting)
        assert self.asked == asked + was_empty

    @rule()
    def begin_group(self) -> None:
        self.store.begin_group()
        self.groups += not self.open
        self.open += 1

    @precondition(lambda self: self.open)
    @rule()
    def end_group(self) -> None:
        asked = self.asked

        self.store.end_group()

        self.open -= 1
        assert self.asked == asked + (not self.open and bool(self.waiting))

    def is_open(self, index: int) -> bool:
        return bool(self.open) and self.group_at(index) == self.groups

    def group_at(self, index: int) -> int | None:
        return self.group_of.get(self.waiting[index][1].position)

    def whole(self, count: int) -> int:
        """All of a group whose first record is among so many, or none of one that is open."""
        while 0 < count < len(self.waiting) and self.group_at(count - 1) == self.group_at(count) is not None:
            count += 1
        while count and self.is_open(count - 1):
            count -= 1
        return count

    @rule(job=jobs)
    def append_and_await(self, job: str) -> None:
        self.append(job)
        number, count = len(self.safe) + len(self.waiting), self.count
        self.awaited[count] = False

        def call() -> None:
            assert self.store.safe >= number
            assert not self.awaited[count]
            self.awaited[count] = True

        self.store.call_when_safe(number, call)

    @rule(most=st.none() | st.integers(0, 4))
    def flush(self, most: int | None) -> None:
        self.store.flush(most)

        count = self.whole(len(self.waiting) if most is None else min(most, len(self.waiting)))
        self.safe += self.waiting[:count]
        del self.waiting[:count]

    @rule()
    def crash(self) -> None:
        self.store.crash()

        for _, record in self.waiting:
            self.awaited.pop(record.position, None)
        self.waiting.clear()
        self.open = 0

    @invariant()
    def what_is_safe_can_be_read(self) -> None:
        assert (self.store.safe, self.store.waiting) == (len(self.safe), len(self.waiting))
        for job in "abc":
            assert self.store.records(job) == [record for owner, record in self.safe if owner == job]

    @invariant()
    def who_waited_was_called_once_it_was_safe(self) -> None:
        safe = {record.position for _, record in self.safe}
        assert {count for count, was_called in self.awaited.items() if was_called} == safe.intersection(self.awaited)


TestMemoryStore = MemoryStoreMachine.TestCase
