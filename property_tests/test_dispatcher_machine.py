"""The stepped dispatcher and the ready queue against plain models."""

import hypothesis.strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from actors.dispatcher import Group, TurnLimits
from actors.ready_queue import ReadyQueue
from actors.testing.stepped_dispatcher import SteppedDispatcher
from actors.timers import PendingTimer


class Named:
    """An actor that writes its name into a log."""

    def __init__(self, name: str, log: list[str], group: Group) -> None:
        self.name = name
        self.log = log
        self.group = group

    def run_turn(self, limits: TurnLimits) -> None:
        self.log.append(self.name)


class SteppedDispatcherMachine(RuleBasedStateMachine):
    """The model is a list of what is ready, a list of what waits for its time, and the time."""

    def __init__(self) -> None:
        super().__init__()
        self.dispatcher = SteppedDispatcher()
        self.group = Group()
        self.log: list[str] = []
        self.expected_log: list[str] = []
        self.ready: list[str] = []
        self.waiting: list[tuple[float, int, str]] = []
        self.timers: dict[str, PendingTimer] = {}
        self.now = 0.0
        self.made = 0

    def new_name(self) -> str:
        self.made += 1
        return f"n{self.made}"

    def collect(self) -> None:
        """What every step and look begins with: timers that are due become ready."""
        due = sorted(entry for entry in self.waiting if entry[0] <= self.now)
        self.waiting = [entry for entry in self.waiting if entry not in due]
        self.ready.extend(name for _, _, name in due)

    @rule()
    def submit(self) -> None:
        name = self.new_name()
        self.dispatcher.submit(Named(name, self.log, self.group))
        self.ready.append(name)

    @rule(delay=st.sampled_from([0.0, 0.5, 1.0, 3.0, -1.0]))
    def call_later(self, delay: float) -> None:
        name = self.new_name()
        self.timers[name] = self.dispatcher.call_later(delay, lambda: self.log.append(name))
        self.waiting.append((self.now + max(0.0, delay), self.made, name))

    @precondition(lambda self: self.timers)
    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        name = data.draw(st.sampled_from(sorted(self.timers)))
        is_pending = name in self.ready or any(name == waiting for _, _, waiting in self.waiting)
        assert self.timers[name].cancel() is is_pending
        self.ready = [other for other in self.ready if other != name]
        self.waiting = [entry for entry in self.waiting if entry[2] != name]

    @rule(data=st.data())
    def step(self, data: st.DataObject) -> None:
        self.collect()
        if not self.ready:
            assert self.dispatcher.step() is False
            return
        choice = data.draw(st.integers(0, len(self.ready) - 1))
        assert self.dispatcher.step(choice) is True
        self.expected_log.append(self.ready.pop(choice))

    @rule(seconds=st.sampled_from([0.25, 1.0]))
    def advance(self, seconds: float) -> None:
        self.dispatcher.clock.advance(seconds)
        self.now += seconds

    @rule()
    def run_until_idle(self) -> None:
        steps = 0
        while self.ready or self.waiting:
            self.collect()
            if self.ready:
                self.expected_log.append(self.ready.pop(0))
                steps += 1
            else:
                self.now = min(self.waiting)[0]
        assert self.dispatcher.run_until_idle() == steps

    @invariant()
    def everything_runs_once_and_in_the_order_chosen(self) -> None:
        assert self.log == self.expected_log

    @invariant()
    def the_choices_are_those_of_the_model(self) -> None:
        self.collect()
        assert len(self.dispatcher.choices()) == len(self.ready)

    @invariant()
    def time_is_that_of_the_model(self) -> None:
        assert self.dispatcher.clock.monotonic() == self.now

    def teardown(self) -> None:
        assert self.dispatcher.shutdown()


class ReadyQueueMachine(RuleBasedStateMachine):
    """The model is a list of groups in the order of their turns, each a list of names."""

    def __init__(self) -> None:
        super().__init__()
        self.queue = ReadyQueue()
        self.groups = [Group(str(index)) for index in range(3)]
        self.model: list[tuple[int, list[str]]] = []
        self.made = 0

    @rule(index=st.integers(0, 2))
    def push(self, index: int) -> None:
        self.made += 1
        name = f"n{self.made}"
        self.queue.push(Named(name, [], self.groups[index]))
        for group, names in self.model:
            if group == index:
                names.append(name)
                return
        self.model.append((index, [name]))

    @rule()
    def pop(self) -> None:
        actor = self.queue.pop()
        if not self.model:
            assert actor is None
            return
        index, names = self.model.pop(0)
        assert isinstance(actor, Named)
        assert actor.name == names.pop(0)
        if names:
            self.model.append((index, names))

    @invariant()
    def it_counts_what_the_model_holds(self) -> None:
        assert len(self.queue) == sum(len(names) for _, names in self.model)
        assert bool(self.queue) is bool(self.model)


TestSteppedDispatcher = SteppedDispatcherMachine.TestCase
TestReadyQueue = ReadyQueueMachine.TestCase
