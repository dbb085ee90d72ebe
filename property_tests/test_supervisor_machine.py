"""Children that fail at random, on a random schedule, against a model that takes one task after the other."""

from collections import Counter
from dataclasses import dataclass
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from actors.messages import ChildFailed
from actors.pooled_actor import PooledActor
from actors.pykka_door import ActorDeadError, ActorRef
from actors.registry import Registry
from actors.supervision import RESTART, RESUME, SKIP, STOP, Action, Directive, RestartBudget, retry
from actors.supervisor import Supervisor
from actors.testing.stepped_dispatcher import SteppedDispatcher

DIRECTIVES = [RESUME, SKIP, STOP, RESTART, Directive(Action.RESTART, 2.0), retry(), retry(3.0)]


@dataclass(frozen=True, slots=True)
class Task:
    """A message whose k-th attempt fails as long as the plan has a k-th directive for that."""

    number: int
    plan: tuple[Directive, ...]


class Diary:
    """What one child did, over all of its instances."""

    def __init__(self) -> None:
        self.entries: list[tuple[str, int]] = []
        self.attempts: Counter[int] = Counter()
        self.told: list[Task] = []
        self.is_told_to_stop = False

    def expected(self) -> tuple[list[tuple[str, int]], bool]:
        """What a child must have done that took one task after the other, and whether it lives on."""
        entries: list[tuple[str, int]] = [("start", 0)]
        for position, task in enumerate(self.told):
            for directive in task.plan:
                entries.append(("try", task.number))
                match directive.action:
                    case Action.STOP:
                        rest = [("undelivered", left.number) for left in self.told[position:]]
                        return [*entries, ("failure", 0), *rest], False
                    case Action.RESTART:
                        entries += [("failure", 0), ("start", 0)]
                    case Action.SKIP:
                        entries.append(("undelivered", task.number))
                        break
                    case Action.RESUME:
                        break
            else:
                entries += [("try", task.number), ("done", task.number)]
        return ([*entries, ("stop", 0)], False) if self.is_told_to_stop else (entries, True)


class Child(PooledActor):
    def __init__(self, diary: Diary, ends: list[Diary]) -> None:
        super().__init__()
        self.diary = diary
        self.ends = ends

    def on_start(self) -> None:
        self.diary.entries.append(("start", 0))

    def on_receive(self, message: Task) -> None:
        self.diary.entries.append(("try", message.number))
        attempt = self.diary.attempts[message.number]
        self.diary.attempts[message.number] += 1
        if attempt < len(message.plan):
            raise LookupError(message.number)
        self.diary.entries.append(("done", message.number))

    def on_stop(self) -> None:
        self.diary.entries.append(("stop", 0))
        self.ends.append(self.diary)

    def on_failure(self, *exc_info: Any) -> None:
        self.diary.entries.append(("failure", 0))

    def on_undelivered(self, messages: list[Task]) -> None:
        self.diary.entries += [("undelivered", task.number) for task in messages]


def follow_the_plan(failure: ChildFailed) -> Directive:
    """Answer as the failed task wants it."""
    directive: Directive = failure.message.plan[failure.attempts - 1]
    return directive


class SupervisorMachine(RuleBasedStateMachine):
    """One supervisor, some children, and somebody who picks what runs next."""

    @initialize()
    def begin(self) -> None:
        self.dispatcher = SteppedDispatcher()
        self.registry = Registry()
        self.supervisor = Supervisor.start_on(
            self.dispatcher,
            strategy=follow_the_plan,
            budget=RestartBudget(10_000, 1.0),
            registry=self.registry,
        )
        self.children: list[tuple[ActorRef[Any], Diary]] = []
        self.ends: list[Diary] = []
        self.tasks = 0

    @precondition(lambda self: len(self.children) < 4)
    @rule()
    def start_child(self) -> None:
        diary = Diary()
        child = self.supervisor.proxy().start_child(Child, diary, self.ends).get()
        self.children.append((child, diary))

    @precondition(lambda self: self.children)
    @rule(data=st.data(), plan=st.lists(st.sampled_from(DIRECTIVES), max_size=3).map(tuple))
    def tell(self, data: st.DataObject, plan: tuple[Directive, ...]) -> None:
        child, diary = data.draw(st.sampled_from(self.children), label="child")
        if diary.is_told_to_stop:
            return
        self.tasks += 1
        task = Task(self.tasks, plan)
        try:
            child.tell(task)
        except ActorDeadError:
            assert any(directive is STOP for told in diary.told for directive in told.plan)
        else:
            diary.told.append(task)

    @precondition(lambda self: self.children)
    @rule(data=st.data())
    def stop_child(self, data: st.DataObject) -> None:
        child, diary = data.draw(st.sampled_from(self.children), label="child")
        child.stop(block=False)
        diary.is_told_to_stop = True

    @rule(data=st.data(), steps=st.integers(1, 8))
    def step(self, data: st.DataObject, steps: int) -> None:
        for _ in range(steps):
            if choices := self.dispatcher.choices():
                self.dispatcher.step(data.draw(st.integers(0, len(choices) - 1), label="choice"))

    @rule()
    def run_until_idle(self) -> None:
        self.dispatcher.run_until_idle()
        for child, diary in self.children:
            assert (diary.entries, child.is_alive()) == diary.expected()

    @invariant()
    def what_was_done_is_a_beginning_of_what_is_expected(self) -> None:
        for _, diary in getattr(self, "children", []):
            assert diary.entries == diary.expected()[0][: len(diary.entries)]

    def teardown(self) -> None:
        """Stop all: what was told is handled first, the youngest child stops first."""
        if not hasattr(self, "supervisor"):
            return
        self.dispatcher.run_until_idle()
        alive = [diary for child, diary in self.children if child.is_alive()]
        self.ends.clear()
        for child, diary in self.children:
            if child.is_alive():
                task = Task(self.tasks + 1, ())
                child.tell(task)
                diary.told.append(task)
                diary.is_told_to_stop = True
        assert self.supervisor.stop()
        assert self.ends == alive[::-1]
        assert all((diary.entries, False) == diary.expected() for _, diary in self.children)
        assert self.registry.get_all() == []
        self.dispatcher.shutdown()


TestSupervisorMachine = SupervisorMachine.TestCase
