"""A mailbox against a plain model: one list of arrivals, and who is owed a submit."""

from typing import Any

import hypothesis.strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from actors.mailbox import Lane, Mailbox
from actors.mailbox_status import MailboxStatus

IDLE, READY, RUNNING, AWAITING, CLOSED = MailboxStatus


class MailboxMachine(RuleBasedStateMachine):
    """The model keeps arrivals as (lane, item); `queued` counts the owner's places in the ready queue."""

    def __init__(self) -> None:
        super().__init__()
        self.data: list[tuple[int, int]] = []
        self.control: list[int] = []
        self.holds = 0
        self.queued = 0
        self.stage = IDLE
        self.next_item = 0

    @initialize(lanes=st.integers(1, 3))
    def create(self, lanes: int) -> None:
        self.lanes = lanes
        self.mailbox = Mailbox(Lane(f"lane-{index}") for index in range(lanes))

    def is_open(self) -> bool:
        return self.stage is not CLOSED

    def make_ready(self, answer: bool, expected: bool) -> None:
        assert answer is expected
        if answer:
            self.queued += 1
            self.stage = READY

    def has_work(self) -> bool:
        return bool(self.control or (self.data and not self.holds))

    @precondition(is_open)
    @rule(data=st.data())
    def put(self, data: st.DataObject) -> None:
        lane = data.draw(st.integers(0, self.lanes - 1))
        self.next_item += 1
        self.data.append((lane, self.next_item))
        expected = self.stage is IDLE and not self.holds
        self.make_ready(self.mailbox.put(lane, self.next_item), expected)

    @precondition(is_open)
    @rule()
    def put_control(self) -> None:
        self.next_item += 1
        self.control.append(self.next_item)
        self.make_ready(self.mailbox.put_control(self.next_item), self.stage is IDLE)

    @precondition(is_open)
    @rule()
    def wake(self) -> None:
        self.make_ready(self.mailbox.wake(), self.stage is IDLE)

    @precondition(is_open)
    @rule()
    def hold(self) -> None:
        self.mailbox.hold()
        self.holds += 1

    @precondition(lambda self: self.holds and self.is_open())
    @rule()
    def release(self) -> None:
        self.holds -= 1
        self.make_ready(self.mailbox.release(), self.stage is IDLE and self.has_work())

    @precondition(lambda self: self.queued)
    @rule()
    def dispatch(self) -> None:
        self.queued -= 1
        assert self.mailbox.start_turn() is self.is_open()
        if self.is_open():
            self.stage = RUNNING

    @precondition(lambda self: self.stage is RUNNING)
    @rule()
    def handle_control(self) -> None:
        if self.control:
            assert self.mailbox.control.popleft() == self.control.pop(0)

    @precondition(lambda self: self.stage is RUNNING)
    @rule()
    def handle_data(self) -> None:
        index = self.mailbox.peek()
        if self.holds or not self.data:
            assert index == -1
            return
        assert (index, self.mailbox.pop(index)) == self.data.pop(0)

    @precondition(lambda self: self.stage is RUNNING)
    @rule()
    def end_turn(self) -> None:
        expected = self.has_work()
        self.stage = IDLE
        self.make_ready(self.mailbox.end_turn(), expected)

    @precondition(lambda self: self.stage is RUNNING)
    @rule()
    def suspend_turn(self) -> None:
        self.mailbox.suspend_turn()
        self.stage = AWAITING

    @precondition(lambda self: self.stage is AWAITING)
    @rule()
    def resume_turn(self) -> None:
        self.make_ready(self.mailbox.resume_turn(), expected=True)

    @precondition(is_open)
    @rule(chance=st.integers(0, 9))
    def close(self, chance: int) -> None:
        if chance:
            return
        by_lane: list[Any] = [item for lane in range(self.lanes) for of, item in self.data if of == lane]
        assert self.mailbox.close() == self.control + by_lane
        self.data.clear()
        self.control.clear()
        self.stage = CLOSED

    @precondition(lambda self: self.stage is CLOSED)
    @rule()
    def find_it_closed(self) -> None:
        mailbox = self.mailbox
        assert not any([mailbox.put(0, "late"), mailbox.wake(), mailbox.end_turn(), mailbox.resume_turn()])
        assert mailbox.close() == ["late"]

    @invariant()
    def is_queued_at_most_once(self) -> None:
        assert self.queued == (1 if self.stage is READY else 0) or self.stage is CLOSED

    @invariant()
    def nobody_sleeps_on_work(self) -> None:
        assert not (self.stage is IDLE and self.has_work())

    @invariant()
    def mailbox_agrees_with_the_model(self) -> None:
        if not hasattr(self, "mailbox"):
            return
        figures = self.mailbox.statistics()
        counts = tuple(sum(of == lane for of, _ in self.data) for lane in range(self.lanes))
        assert (figures.status, figures.holds) == (self.stage, self.holds)
        assert (figures.control, figures.lanes) == (len(self.control), counts)


TestMailbox = MailboxMachine.TestCase
