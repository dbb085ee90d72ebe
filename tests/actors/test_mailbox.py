import threading

import pytest

from actors.errors import IllegalMailboxMoveError, LaneOptionError
from actors.mailbox import Lane, Mailbox
from actors.mailbox_status import MailboxStatus


def mailbox_with(*names: str) -> Mailbox:
    return Mailbox(Lane(name) for name in names)


def drain(mailbox: Mailbox) -> list[object]:
    handed_out = []
    while (index := mailbox.peek()) >= 0:
        handed_out.append(mailbox.pop(index))
    return handed_out


def test_only_the_first_message_makes_the_owner_ready() -> None:
    mailbox = mailbox_with("in")

    answers = [mailbox.put(0, "a"), mailbox.put(0, "b"), mailbox.put_control("c")]

    assert answers == [True, False, False]


def test_data_comes_out_in_order_of_arrival_over_all_lanes() -> None:
    mailbox = mailbox_with("left", "right")

    for index, item in [(1, "a"), (0, "b"), (0, "c"), (1, "d")]:
        mailbox.put(index, item)

    assert drain(mailbox) == ["a", "b", "c", "d"]


def test_a_peeked_message_stays_first_until_popped() -> None:
    mailbox = mailbox_with("in")
    mailbox.put(0, "a")

    assert [mailbox.peek(), mailbox.peek()] == [0, 0]
    assert mailbox.pop(0) == "a"
    assert mailbox.peek() == -1


def test_a_held_mailbox_hands_out_no_data_but_wakes_for_control() -> None:
    mailbox = mailbox_with("in")
    mailbox.hold()

    assert mailbox.put(0, "a") is False
    assert mailbox.peek() == -1
    assert mailbox.put_control("stop") is True


def test_the_last_release_makes_a_waiting_owner_ready() -> None:
    mailbox = mailbox_with("in")
    mailbox.hold()
    mailbox.hold()
    mailbox.put(0, "a")

    assert [mailbox.release(), mailbox.release()] == [False, True]


def test_releasing_what_is_not_held_is_an_error() -> None:
    with pytest.raises(IllegalMailboxMoveError, match=r"A mailbox that is released cannot become not held."):
        mailbox_with("in").release()


def test_a_turn_that_leaves_work_ends_ready() -> None:
    mailbox = mailbox_with("in")
    mailbox.put(0, "a")
    mailbox.put(0, "b")

    assert mailbox.start_turn()
    mailbox.pop(0)

    assert mailbox.end_turn() is True
    assert mailbox.status is MailboxStatus.READY


def test_a_message_that_arrives_during_a_turn_is_seen_at_its_end() -> None:
    mailbox = mailbox_with("in")
    mailbox.wake()
    mailbox.start_turn()

    assert mailbox.put(0, "late") is False
    assert mailbox.end_turn() is True


def test_a_suspended_turn_ends_when_it_is_resumed() -> None:
    mailbox = mailbox_with("in")
    mailbox.put(0, "a")
    mailbox.start_turn()
    mailbox.suspend_turn()

    assert mailbox.put(0, "b") is False
    assert mailbox.resume_turn() is True
    assert mailbox.status is MailboxStatus.READY


def test_closing_gives_back_control_first_then_lane_by_lane() -> None:
    mailbox = mailbox_with("left", "right")
    mailbox.put(1, "r")
    mailbox.put(0, "l")
    mailbox.put_control("c")

    assert mailbox.close() == ["c", "l", "r"]
    assert mailbox.status is MailboxStatus.CLOSED


def test_a_closed_mailbox_takes_part_in_no_turn() -> None:
    mailbox = mailbox_with("in")
    mailbox.close()

    mailbox.suspend_turn()

    assert not any([mailbox.start_turn(), mailbox.end_turn(), mailbox.resume_turn(), mailbox.wake()])


def test_a_closed_mailbox_leaves_late_messages_to_a_second_close() -> None:
    mailbox = mailbox_with("in")
    mailbox.close()

    assert mailbox.put(0, "late") is False
    assert mailbox.close() == ["late"]


def test_starting_a_turn_of_an_idle_owner_is_an_error() -> None:
    with pytest.raises(IllegalMailboxMoveError, match=r"A mailbox that is idle cannot become running."):
        mailbox_with("in").start_turn()


def test_mailboxes_may_share_one_lock() -> None:
    lock = threading.RLock()

    assert Mailbox([Lane("a")], lock).lock is Mailbox([Lane("b")], lock).lock


@pytest.mark.parametrize("capacity", [0, -1])
def test_a_lane_without_room_is_refused(capacity: int) -> None:
    with pytest.raises(LaneOptionError, match=r"The capacity of lane 'in' cannot be .*\. Give a whole number"):
        Lane("in", capacity=capacity)


@pytest.mark.parametrize("watermark", [0.0, 1.5])
def test_a_watermark_outside_the_lane_is_refused(watermark: float) -> None:
    with pytest.raises(LaneOptionError, match=r"The watermark of lane 'in' cannot be .*\. Give a share"):
        Lane("in", watermark=watermark)


def test_a_lane_is_below_again_at_half_of_its_bound() -> None:
    lane = Lane("in", capacity=10, watermark=0.8)

    assert (lane.high, lane.low) == (8, 4)


def test_statistics_tell_what_waits_where() -> None:
    mailbox = mailbox_with("left", "right")
    mailbox.put(1, "r")
    mailbox.put_control("c")
    mailbox.hold()

    figures = mailbox.statistics()

    assert (figures.status, figures.holds) == (MailboxStatus.READY, 1)
    assert (figures.control, figures.lanes) == (1, (0, 1))
