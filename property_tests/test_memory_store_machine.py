"""MemoryStore against a plain model: a list of what is safe, and a list of what waits."""

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from flowforge.records import JobClosed, Record
from flowforge.stores.codec import Codec
from flowforge.stores.memory import MemoryStore

jobs = st.sampled_from(["a", "b", "c"])


class MemoryStoreMachine(RuleBasedStateMachine):
    """Appends, flushes and crashes in any order."""

    def __init__(self) -> None:
        super().__init__()
        self.asked = 0
        self.store = MemoryStore(Codec(), self.note_asked)
        self.safe: list[tuple[str, Record]] = []
        self.waiting: list[tuple[str, Record]] = []
        self.awaited: dict[int, bool] = {}
        self.count = 0

    def note_asked(self) -> None:
        self.asked += 1

    @rule(job=jobs)
    def append(self, job: str) -> None:
        self.count += 1
        record = JobClosed(position=self.count, at=0.0, epoch=1)
        asked, was_empty = self.asked, not self.waiting

        number = self.store.append(job, record)

        self.waiting.append((job, record))
        assert number == len(self.safe) + len(self.waiting)
        assert self.asked == asked + was_empty

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

        count = len(self.waiting) if most is None else most
        self.safe += self.waiting[:count]
        del self.waiting[:count]

    @rule()
    def crash(self) -> None:
        self.store.crash()

        for _, record in self.waiting:
            self.awaited.pop(record.position, None)
        self.waiting.clear()

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
