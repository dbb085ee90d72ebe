"""What every store promises, as tests: derive a class of them to check a store of your own.

One that shortens long jobs, or lets jobs go, has more to promise: see `store_keeping_contract`.

class TestMyStore(StoreContract):
    @pytest.fixture
    def medium(self, tmp_path: Path) -> StoreMedium:
        return MyMedium(tmp_path)
"""

from contextlib import AbstractContextManager
from functools import partial
from typing import Protocol

import pytest

from flowforge.errors import FlowForgeError
from flowforge.records import JobClosed, JobMoved, JobReplaced, JobStarted, Record, SharedChange, SharedWritten
from flowforge.stores.store import KnownJob, Store
from flowforge.stores.store_errors import StoreClosedError

__all__ = [
    "StoreContract",
    "StoreMedium",
    "moved",
    "replaced",
    "started",
    "written",
]

_MANY = 1_000_000


class StoreMedium(Protocol):
    """What a store under test keeps its records in: a file, a server, a list."""

    def open(self) -> Store:
        """Open the store; again, with all that was safe, once the one before is closed."""
        ...

    def settle(self, store: Store, number: int) -> None:
        """Return when the record of that number is safe, and whoever waited for it was called."""
        ...

    def held(self, store: Store) -> AbstractContextManager[object]:
        """Let nothing become safe in the block."""
        ...

    def break_down(self, store: Store) -> None:
        """Let the store fail the next time that it makes something safe, if not at once."""
        ...


def started(flow: str = "flow", at: float = 1.0) -> Record:
    """The first record of a job."""
    return JobStarted(position=1, at=at, epoch=1, flow=flow, deliveries=())


def written(position: int, value: object = None, at: float = 1.0) -> Record:
    """A record that holds a value."""
    return SharedWritten(position=position, at=at, epoch=1, shared=(SharedChange("key", value),))


def moved(position: int, status: str, at: float = 1.0) -> Record:
    """A record that changes a job's status."""
    return JobMoved(position=position, at=at, epoch=1, status=status)


def replaced(position: int, status: str, at: float = 1.0) -> Record:
    """A record that stands for all that a job was."""
    return JobReplaced(position=position, at=at, epoch=1, flow="f", status=status, base=b"all of it")


class StoreContract:
    """The tests; a class derived from it gives them the fixture `medium`."""

    @pytest.fixture
    def medium(self) -> StoreMedium:
        """The medium of one test, with nothing in it."""
        raise NotImplementedError("A class derived from StoreContract has a fixture `medium` of its own.")

    def test_numbers_follow_the_last_safe_record_without_a_gap(self, medium: StoreMedium) -> None:
        """A record's number says how many come before it."""
        store = medium.open()

        numbers = [store.append("a", started()), store.append("b", started()), store.append("a", written(2))]

        assert numbers == [1, 2, 3]
        assert store.is_durable
        store.close()

    def test_nothing_is_safe_before_the_medium_has_it(self, medium: StoreMedium) -> None:
        """What is safe is known of the medium, not hoped."""
        store = medium.open()
        called: list[int] = []

        with medium.held(store):
            before = store.safe
            number = store.append("a", started())
            store.call_when_safe(number, partial(called.append, number))

            assert (store.safe, called) == (before, [])
            assert store.records("a") == []
        medium.settle(store, number)

        assert called == [number]
        store.close()

    def test_what_is_settled_is_safe_and_nobody_waits(self, medium: StoreMedium) -> None:
        """Waiting for what is safe returns at once."""
        store = medium.open()
        numbers = [store.append("a", record) for record in (started(), written(2), written(3))]

        medium.settle(store, numbers[-1])

        assert all(store.wait_until_safe(number) for number in numbers)
        assert store.safe == numbers[-1]
        assert store.failure is None
        store.close()

    def test_who_waits_no_longer_than_so_long_is_told_the_truth(self, medium: StoreMedium) -> None:
        """A wait that ends early says that nothing is known yet, and harms nothing."""
        store = medium.open()

        with medium.held(store):
            number = store.append("a", started())
            assert not store.wait_until_safe(number, timeout=0)
        medium.settle(store, number)

        assert store.wait_until_safe(number, timeout=0)
        store.close()

    def test_a_group_becomes_safe_in_one(self, medium: StoreMedium) -> None:
        """While it is open nothing of it is safe, whoever else may be."""
        store = medium.open()
        before = store.append("a", started())
        store.begin_group()
        store.append("b", started())
        store.begin_group()
        store.append("a", written(2))
        store.end_group()
        last = store.append("b", written(2))
        medium.settle(store, before)

        assert store.safe == before
        store.end_group()
        medium.settle(store, last)

        assert store.safe == last
        store.close()

    def test_a_group_that_was_not_ended_is_not_kept(self, medium: StoreMedium) -> None:
        """What a process did not bring to its end is as if it had died before."""
        store = medium.open()
        store.append("a", started())
        store.begin_group()
        lost = store.append("a", written(2))
        store.close()

        with pytest.raises(StoreClosedError):
            store.wait_until_safe(lost)
        store = medium.open()
        assert store.records("a") == [started()]
        store.close()

    def test_callbacks_come_once_each_in_the_order_of_records(self, medium: StoreMedium) -> None:
        """Whoever waits for an earlier record hears first, whenever he asked."""
        store = medium.open()
        called: list[int] = []
        with medium.held(store):
            first = store.append("a", started())
            second = store.append("a", written(2))
            for number in (first, second, first):
                store.call_when_safe(number, partial(called.append, number))
        medium.settle(store, second)

        assert called == [first, first, second]
        store.close()

    def test_a_callback_may_append_and_ask_again(self, medium: StoreMedium) -> None:
        """A callback runs with no lock held."""
        store = medium.open()
        called: list[str] = []

        def on_first() -> None:
            called.append("first")
            store.call_when_safe(store.append("a", written(2)), lambda: called.append("second"))

        with medium.held(store):
            store.call_when_safe(store.append("a", started()), on_first)
        medium.settle(store, 1)
        medium.settle(store, 2)

        assert called == ["first", "second"]
        store.close()

    def test_records_come_back_in_order_and_by_job(self, medium: StoreMedium) -> None:
        """Jobs do not see each other's records."""
        store = medium.open()
        of_a: list[Record] = [started("f"), written(2, {"x": (1, 2)}), written(3, b"\x00"), moved(4, "completed")]
        of_b: list[Record] = [started("g"), JobClosed(position=2, at=1.0, epoch=1)]
        for job, record in zip("abaaba", [of_a[0], of_b[0], of_a[1], of_a[2], of_b[1], of_a[3]], strict=True):
            store.append(job, record)
        medium.settle(store, 6)

        assert store.records("a") == of_a
        assert store.records("b") == of_b
        assert store.records("c") == []
        store.close()

    def test_jobs_are_listed_oldest_first_with_their_status(self, medium: StoreMedium) -> None:
        """What is listed is known without reading records."""
        store = medium.open()
        store.append("b", started("f", at=1.5))
        store.append("a", started("g", at=2.5))
        store.append("b", written(2, at=3.5))
        store.append("a", moved(2, "paused", at=4.5))
        medium.settle(store, 4)

        assert store.jobs() == [KnownJob("b", "f", "running", 3.5), KnownJob("a", "g", "paused", 4.5)]
        store.append("b", moved(3, "completed", at=5.5))
        medium.settle(store, 5)
        assert store.jobs()[0] == KnownJob("b", "f", "completed", 5.5)
        store.close()

    def test_a_job_that_was_replaced_is_what_its_replacement_says(self, medium: StoreMedium) -> None:
        """Such a record begins a job that came from outside, and changes one that is there."""
        store = medium.open()
        store.append("a", started("f"))
        store.append("b", replaced(8, "failed", at=2.5))
        store.append("a", replaced(2, "paused", at=3.5))
        store.append("a", written(3, at=4.5))
        medium.settle(store, 4)

        assert store.jobs() == [KnownJob("a", "f", "paused", 4.5), KnownJob("b", "f", "failed", 2.5)]
        assert store.records("b") == [replaced(8, "failed", at=2.5)]
        store.close()

    def test_any_text_may_name_a_job_and_its_flow(self, medium: StoreMedium) -> None:
        """Names are data, never part of a statement, a path or a format."""
        store = medium.open()
        names = ["", "a'b\"c", "a\0b", "a", "% _", "\u00e9\U0001f600", "line\nbreak", "x" * 1000, "../up"]
        for name in names:
            store.append(name, started(name))
        medium.settle(store, len(names))

        assert [(job.id, job.flow) for job in store.jobs()] == [(name, name) for name in names]
        assert [len(store.records(name)) for name in names] == [1] * len(names)
        store.close()

    def test_a_store_that_is_opened_again_goes_on(self, medium: StoreMedium) -> None:
        """Numbers and records go on where they were."""
        store = medium.open()
        last = [store.append("a", record) for record in (started(), written(2, "x"))][-1]
        store.close()

        again = medium.open()

        assert again.safe == last
        assert again.append("a", written(3, "y")) == last + 1
        medium.settle(again, last + 1)
        assert again.records("a") == [started(), written(2, "x"), written(3, "y")]
        again.close()

    def test_closing_makes_safe_what_was_appended(self, medium: StoreMedium) -> None:
        """A close loses nothing."""
        store = medium.open()
        records = [started(), *(written(position) for position in range(2, 500))]
        for record in records:
            store.append("a", record)
        store.close()
        store.close()

        again = medium.open()

        assert again.records("a") == records
        again.close()

    def test_a_closed_store_keeps_nothing_and_says_so(self, medium: StoreMedium) -> None:
        """Whoever waits on a closed store is told."""
        store = medium.open()
        number = store.append("a", started())
        store.close()

        late = store.append("a", written(2))

        store.wait_until_safe(number)
        assert isinstance(store.failure, StoreClosedError)
        with pytest.raises(StoreClosedError, match=r"was closed, so nothing more is kept\. Open a new runtime on it\."):
            store.wait_until_safe(late)
        again = medium.open()
        assert again.records("a") == [started()]
        again.close()

    def test_it_is_full_while_too_much_waits_and_takes_it_still(self, medium: StoreMedium) -> None:
        """A full store asks for no further steps; those that run may commit."""
        store = medium.open()
        with medium.held(store):
            count = 1
            store.append("a", started())
            while not store.is_full and count < _MANY:
                count += 1
                store.append("a", written(count))
            assert store.is_full
            number = store.append("a", written(count + 1))
        medium.settle(store, number)

        assert not store.is_full
        assert [record.position for record in store.records("a")] == list(range(1, count + 2))
        store.close()

    def test_a_failure_acknowledges_nothing_any_more(self, medium: StoreMedium) -> None:
        """After a failure it is not known what is safe, so nothing is said to be."""
        store = medium.open()
        safe = store.append("a", started())
        medium.settle(store, safe)
        called: list[int] = []

        medium.break_down(store)
        with medium.held(store):
            number = store.append("a", written(2))
            store.call_when_safe(number, partial(called.append, number))

        with pytest.raises(FlowForgeError, match="store"):
            store.wait_until_safe(number)
        store.wait_until_safe(safe)
        late = store.append("a", written(3))
        with pytest.raises(FlowForgeError, match="store"):
            store.wait_until_safe(late)
        assert (store.safe, called) == (safe, [])
        assert store.failure is not None
        store.close()
