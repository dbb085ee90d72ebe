"""The queue in front of the disk: what fills it."""

from flowforge.stores.commit_queue import CommitQueue
from flowforge.stores.frames import Entry

SMALL, LARGE = Entry("job", b"x", 1.0), Entry("job", bytes(1000), 1.0)


def test_a_queue_is_full_of_so_many_records() -> None:
    queue = CommitQueue(0, window=3, window_bytes=1 << 20)
    told = []
    for _ in range(4):
        told.append(queue.is_full)
        queue.append(SMALL)

    assert told == [False, False, False, True]


def test_a_queue_is_full_of_so_many_bytes() -> None:
    queue = CommitQueue(0, window=1000, window_bytes=1000)
    queue.append(SMALL)
    assert not queue.is_full

    queue.append(LARGE)

    assert queue.is_full


def test_large_values_that_stand_apart_fill_a_queue_too() -> None:
    queue = CommitQueue(0, window=1000, window_bytes=1000)

    queue.append(SMALL, {b"digest": bytes(1000)})

    assert queue.is_full


def test_a_queue_has_room_again_when_what_it_held_is_safe() -> None:
    queue = CommitQueue(0, window=2, window_bytes=1000)
    queue.append(LARGE, {b"digest": bytes(1000)})
    last = queue.append(SMALL)

    queue.take_now()
    assert queue.is_full
    queue.made_safe(last)

    assert not queue.is_full


def test_a_queue_is_quiet_when_its_writer_has_waited_in_vain() -> None:
    queue = CommitQueue(0, window=10, window_bytes=1000)
    queue.append(SMALL)
    assert queue.wait_for_work(30)
    assert not queue.is_quiet
    queue.made_safe(queue.take_now().first)

    assert queue.wait_for_work(0.001)

    assert queue.is_quiet
    queue.append(SMALL)
    assert queue.wait_for_work(30)
    assert not queue.is_quiet
