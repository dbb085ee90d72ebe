"""MemoryStore: what is flushed outlives a crash, what is not does not; and MemoryLog keeps nothing."""

import pytest

from flowforge.records import JobClosed, Record, SharedChange, SharedWritten
from flowforge.stores.codec import Codec
from flowforge.stores.codec_errors import UnencodableValueError
from flowforge.stores.memory import MemoryLog, MemoryStore
from flowforge.stores.store_errors import StoreFailedError


def closed(position: int) -> Record:
    return JobClosed(position=position, at=0.0, epoch=1)


@pytest.fixture
def asked() -> list[int]:
    """How many records waited each time when a flush was asked for."""
    return []


@pytest.fixture
def store(asked: list[int]) -> MemoryStore:
    made = MemoryStore(Codec(), lambda: asked.append(made.waiting))
    return made


def test_a_flush_is_asked_for_once_for_all_that_waits(store: MemoryStore, asked: list[int]) -> None:
    for position in (1, 2, 3):
        store.append("j", closed(position))

    assert asked == [1]
    assert (store.safe, store.waiting) == (0, 3)


def test_a_flush_is_asked_for_again_after_the_last(store: MemoryStore, asked: list[int]) -> None:
    store.append("j", closed(1))
    store.flush()
    store.append("j", closed(2))

    assert asked == [1, 1]


def test_what_a_flush_leaves_is_asked_for_again(store: MemoryStore, asked: list[int]) -> None:
    store.append("j", closed(1))
    store.append("j", closed(2))
    store.flush(1)

    assert asked == [1, 1]
    assert (store.safe, store.waiting) == (1, 1)


def test_a_crash_loses_what_was_not_flushed(store: MemoryStore) -> None:
    for position in (1, 2, 3):
        store.append("j", closed(position))
    store.flush(2)
    store.crash()

    assert store.records("j") == [closed(1), closed(2)]
    assert store.waiting == 0


def test_what_waits_is_not_read(store: MemoryStore) -> None:
    store.append("j", closed(1))

    assert store.records("j") == []
    assert list(store.jobs()) == []


def test_records_are_kept_apart_by_job_and_in_order(store: MemoryStore) -> None:
    for position, job in enumerate("abab", 1):
        store.append(job, closed(position))
    store.flush()

    assert store.records("a") == [closed(1), closed(3)]
    assert store.records("b") == [closed(2), closed(4)]
    assert store.records("c") == []


def test_a_record_is_kept_as_it_was_when_it_was_appended(store: MemoryStore) -> None:
    value = [1]
    store.append("j", SharedWritten(position=1, at=0.0, epoch=1, shared=(SharedChange("key", value),)))
    value.append(2)
    store.flush()

    (record,) = store.records("j")
    assert record == SharedWritten(position=1, at=0.0, epoch=1, shared=(SharedChange("key", [1]),))


def test_a_record_that_cannot_be_kept_leaves_nothing(store: MemoryStore, asked: list[int]) -> None:
    with pytest.raises(UnencodableValueError, match="object"):
        store.append("j", SharedWritten(position=1, at=0.0, epoch=1, shared=(SharedChange("key", object()),)))

    assert store.waiting == 0
    assert asked == []


def test_who_waits_for_a_record_is_called_at_its_flush(store: MemoryStore) -> None:
    called: list[str] = []
    first, second = store.append("j", closed(1)), store.append("j", closed(2))
    store.call_when_safe(second, lambda: called.append("second"))
    store.call_when_safe(first, lambda: called.append("first"))

    store.flush(1)
    assert called == ["first"]
    store.flush()
    assert called == ["first", "second"]


def test_the_end_of_a_group_asks_for_its_flush(store: MemoryStore, asked: list[int]) -> None:
    store.begin_group()
    store.append("j", closed(1))
    store.flush()
    asked.clear()

    store.end_group()

    assert asked == [1]
    store.flush()
    assert store.records("j") == [closed(1)]


def test_a_flush_of_a_part_of_a_group_makes_all_of_it_safe(store: MemoryStore) -> None:
    store.begin_group()
    store.append("j", closed(1))
    store.append("j", closed(2))
    store.end_group()
    store.append("j", closed(3))

    store.flush(1)

    assert store.safe == 2


def test_nothing_is_flushed_after_a_failure(store: MemoryStore) -> None:
    number = store.append("j", closed(1))
    store.failure = StoreFailedError("memory", "somebody pulled the plug")

    store.flush()

    assert (store.safe, store.records("j")) == (0, [])
    with pytest.raises(StoreFailedError, match="somebody pulled the plug"):
        store.wait_until_safe(number)


def test_a_crash_forgets_who_waited(store: MemoryStore) -> None:
    called: list[str] = []
    store.call_when_safe(store.append("j", closed(1)), lambda: called.append("never"))

    store.crash()
    store.append("j", closed(1))
    store.flush()

    assert called == []


def test_a_store_is_full_when_its_window_is() -> None:
    store = MemoryStore(Codec(), lambda: None, window=2)
    store.append("j", closed(1))
    assert not store.is_full

    store.append("j", closed(2))
    assert store.is_full
    store.flush()
    assert not store.is_full


def test_a_log_in_memory_counts_and_keeps_nothing() -> None:
    log = MemoryLog()
    log.append("j", closed(1))

    assert log.records == 1
    assert not log.is_durable
