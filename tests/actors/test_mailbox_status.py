import pytest

from actors.mailbox_status import MOVES, MailboxStatus, may_move


def test_every_status_has_its_row_in_the_table() -> None:
    assert set(MOVES) == set(MailboxStatus)


def test_a_closed_mailbox_stays_closed() -> None:
    assert not any(may_move(MailboxStatus.CLOSED, new) for new in MailboxStatus)


@pytest.mark.parametrize("status", [status for status in MailboxStatus if status is not MailboxStatus.CLOSED])
def test_every_open_mailbox_may_be_closed(status: MailboxStatus) -> None:
    assert may_move(status, MailboxStatus.CLOSED)


@pytest.mark.parametrize("status", list(MailboxStatus))
def test_no_status_is_entered_twice_in_a_row(status: MailboxStatus) -> None:
    assert not may_move(status, status)


def test_only_a_ready_mailbox_starts_running() -> None:
    assert [old for old in MailboxStatus if may_move(old, MailboxStatus.RUNNING)] == [MailboxStatus.READY]
