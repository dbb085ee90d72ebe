"""A supervisor decides on failed children, restarts them within a budget, and stops them in order."""

from collections.abc import Callable
from typing import Any

import pytest

from actors.errors import RestartBudgetSpentError, SupervisorStoppingError
from actors.messages import Apply, ChildFailed, SetUp
from actors.pooled_actor import PooledActor
from actors.pooled_dispatcher import PooledDispatcher
from actors.pooled_ref import PooledActorRef
from actors.pykka_door import ActorRef, ActorRegistry
from actors.registry import Registry
from actors.supervision import RESTART, RESUME, SKIP, STOP, Directive, RestartBudget, retry
from actors.supervisor import Supervisor
from actors.testing.stepped_dispatcher import SteppedDispatcher

Strategy = Callable[[ChildFailed], Directive]


class Log:
    """What happened, and how often each message still fails; shared by all instances of a child."""

    def __init__(self, **faults: int) -> None:
        self.seen: list[str] = []
        self.faults = faults

    def note(self, text: str) -> None:
        self.seen.append(text)
        if self.faults.get(text, 0) > 0:
            self.faults[text] -= 1
            raise LookupError(text)


class Worker(PooledActor):
    def __init__(self, log: Log, name: str = "") -> None:
        super().__init__()
        self.log = log
        self.name = name
        self.log.note(f"{name}init")

    def on_start(self) -> None:
        self.log.note(f"{self.name}start")

    def on_receive(self, message: Any) -> Any:
        self.log.note(f"{self.name}{message}")
        return message

    def on_stop(self) -> None:
        self.log.note(f"{self.name}stop")

    def on_failure(self, *exc_info: Any) -> None:
        self.log.note(f"{self.name}failure")

    def on_undelivered(self, messages: list[Any]) -> None:
        self.log.note(f"{self.name}undelivered {' '.join(messages)}")


class Family(Supervisor):
    """Starts its workers by itself, and notes what its children do to it."""

    def __init__(self, log: Log, *names: str, **options: Any) -> None:
        super().__init__(**options)
        self.log = log
        self.names = names

    def on_start(self) -> None:
        self.log.note("family")
        for name in self.names:
            self.start_child(Worker, self.log, name)

    def on_stop(self) -> None:
        self.log.note("family stop")

    def on_failure(self, *exc_info: Any) -> None:
        self.log.note(f"family {exc_info[0].__name__}")

    def on_children_stopped(self) -> None:
        self.log.note("childless")


def supervise(
    dispatcher: Any, log: Log, strategy: Strategy | Directive | None = None, **options: Any
) -> tuple[PooledActorRef[Supervisor], PooledActorRef[Worker]]:
    """A supervisor with one worker that has started."""
    decide = (lambda _: strategy) if isinstance(strategy, Directive) else strategy
    supervisor = Supervisor.start_on(dispatcher, strategy=decide, **options)
    child: PooledActorRef[Worker] = supervisor.proxy().start_child(Worker, log).get()
    dispatcher.run_until_idle()
    return supervisor, child


def tell_all(dispatcher: SteppedDispatcher, child: ActorRef[Any], *messages: str) -> None:
    for message in messages:
        child.tell(message)
    dispatcher.run_until_idle()


@pytest.mark.parametrize(
    ("directive", "rest"),
    [
        (RESUME, ["b"]),
        (SKIP, ["undelivered a", "b"]),
        (retry(), ["a", "b"]),
        (retry(5), ["a", "b"]),
        (RESTART, ["failure", "init", "start", "a", "b"]),
        (STOP, ["failure", "undelivered a b"]),
    ],
)
def test_a_failed_child_does_as_directed(stepped: SteppedDispatcher, directive: Directive, rest: list[str]) -> None:
    log = Log(a=1)
    _, child = supervise(stepped, log, directive)
    tell_all(stepped, child, "a", "b")

    assert log.seen == ["init", "start", "a", *rest]
    assert child.is_alive() is (directive is not STOP)


def test_the_strategy_sees_what_failed_and_how_often(stepped: SteppedDispatcher) -> None:
    failures: list[ChildFailed] = []
    log = Log(a=2)

    def strategy(failure: ChildFailed) -> Directive:
        failures.append(failure)
        return retry()

    _, child = supervise(stepped, log, strategy)
    tell_all(stepped, child, "a", "b")
    log.faults["b"] = 1
    tell_all(stepped, child, "b")

    assert [(f.child, f.message, f.attempts) for f in failures] == [
        (child, "a", 1),
        (child, "a", 2),
        (child, "b", 1),
    ]
    assert isinstance(failures[0].error, LookupError)


def test_a_failed_child_hands_out_nothing_until_decided(stepped: SteppedDispatcher) -> None:
    log = Log(a=1)
    _, child = supervise(stepped, log, retry(10))
    child.tell("a")
    child.tell("b")
    while stepped.step():
        pass

    assert log.seen == ["init", "start", "a"]
    stepped.run_until_idle()
    assert log.seen == ["init", "start", "a", "a", "b"]
    assert stepped.clock.monotonic() == 10


def test_a_restarted_child_keeps_its_reference(stepped: SteppedDispatcher) -> None:
    log = Log(a=1)
    _, child = supervise(stepped, log, RESTART)
    first = child.actor_inbox.owner
    proxy = child.proxy()
    tell_all(stepped, child, "a")

    assert child.actor_inbox.owner is not first
    assert child.ask("b") == "b"
    assert child.proxy().log.get() is log
    assert proxy.name.get() == ""
    assert ActorRegistry.get_by_urn(child.actor_urn) is child
    assert child.stop() is True


@pytest.mark.parametrize("phase", ["init", "start"])
def test_a_restart_that_fails_is_decided_on_again(stepped: SteppedDispatcher, phase: str) -> None:
    log = Log(a=1)
    _, child = supervise(stepped, log, RESTART)
    log.faults[phase] = 1
    tell_all(stepped, child, "a", "b")

    assert log.seen[-4:] == ["init", "start", "a", "b"]
    assert log.seen.count("failure") == 2


@pytest.mark.parametrize(
    ("directive", "rest"),
    [
        (retry(), ["start", "a"]),
        (RESTART, ["failure", "init", "start", "a"]),
        (RESUME, ["a"]),
        (STOP, ["undelivered a"]),
    ],
)
def test_a_child_that_cannot_start_is_decided_on(
    stepped: SteppedDispatcher, directive: Directive, rest: list[str]
) -> None:
    messages: list[Any] = []
    log = Log(start=1)

    def strategy(failure: ChildFailed) -> Directive:
        messages.append(failure.message)
        return directive

    supervisor = Supervisor.start_on(stepped, strategy=strategy)
    supervisor.proxy().start_child(Worker, log).get().tell("a")
    stepped.run_until_idle()

    assert messages == [SetUp()]
    assert log.seen == ["init", "start", *rest]


def test_an_asked_child_that_raises_has_not_failed(stepped: SteppedDispatcher) -> None:
    log = Log(a=1)
    _, child = supervise(stepped, log, STOP)

    with pytest.raises(LookupError):
        child.ask("a")
    assert child.ask("b") == "b"


def test_a_decide_override_takes_the_place_of_a_strategy(stepped: SteppedDispatcher) -> None:
    class Skipping(Supervisor):
        def decide(self, failure: ChildFailed) -> Directive:
            return SKIP

    log = Log(a=1)
    child = Skipping.start_on(stepped).proxy().start_child(Worker, log).get()
    tell_all(stepped, child, "a")

    assert log.seen[-1] == "undelivered a"


def test_a_child_whose_supervisor_is_gone_stops(stepped: SteppedDispatcher) -> None:
    log = Log(a=1)
    supervisor, child = supervise(stepped, log)
    # Nothing but a defect could end it before its children; here it is made to.
    supervisor.actor_inbox.owner = None
    ActorRegistry.unregister(supervisor)
    tell_all(stepped, child, "a", "b")

    assert log.seen == ["init", "start", "a", "failure", "undelivered b"]


def test_no_directive_and_no_decision_waits_behind_told_messages(stepped: SteppedDispatcher) -> None:
    log = Log(xa=1)
    family = Family.start_on(stepped, log, "x", strategy=lambda _: SKIP)
    child = family.proxy().children.get()[0]
    for message in ["a", *["b"] * 20]:
        child.tell(message)
        family.tell(message)
    stepped.run_until_idle(6)

    assert "xundelivered a" in log.seen


# Restart budget


def test_restarts_wait_longer_each_time(stepped: SteppedDispatcher) -> None:
    log = Log(a=3)
    _, child = supervise(stepped, log, budget=RestartBudget(5, 100, first_delay=1))
    tell_all(stepped, child, "a")

    assert stepped.clock.monotonic() == 1 + 2 + 4
    assert child.is_alive()


def test_a_spent_budget_stops_child_and_supervisor(
    stepped: SteppedDispatcher, caplog: pytest.LogCaptureFixture
) -> None:
    log = Log(a=9)
    supervisor, child = supervise(stepped, log, budget=RestartBudget(2, 100))
    tell_all(stepped, child, "a", "b")

    assert log.seen.count("a") == 3
    assert log.seen[-2:] == ["failure", "undelivered a b"]
    assert not supervisor.is_alive()
    assert "failed, and 2 restarts in 100 s are used up. Find the cause" in caplog.text


def test_an_override_of_on_escalation_may_go_on(stepped: SteppedDispatcher) -> None:
    class Lenient(Supervisor):
        def on_escalation(self, failure: ChildFailed) -> None:
            self.direct(failure.child, SKIP)

    log = Log(a=9)
    supervisor = Lenient.start_on(stepped, budget=RestartBudget(1, 100))
    child = supervisor.proxy().start_child(Worker, log).get()
    tell_all(stepped, child, "a", "b")

    assert log.seen[-3:] == ["a", "undelivered a", "b"]
    assert supervisor.is_alive()


def test_an_escalation_names_the_child_and_the_budget(stepped: SteppedDispatcher) -> None:
    told: list[str] = []

    class Telling(Supervisor):
        def on_escalation(self, failure: ChildFailed) -> None:
            with pytest.raises(
                RestartBudgetSpentError,
                match=r"^The actor .* failed, and 1 restarts in 100 s are used up\. Find the cause in the error before",
            ) as caught:
                super().on_escalation(failure)
            told.append(type(caught.value.__cause__).__name__)

    supervisor = Telling.start_on(stepped, budget=RestartBudget(1, 100))
    tell_all(stepped, supervisor.proxy().start_child(Worker, Log(a=9)).get(), "a")

    assert told == ["LookupError"]


def test_a_parent_restarts_a_supervisor_that_escalates(stepped: SteppedDispatcher) -> None:
    log = Log(xa=2)
    parent = Supervisor.start_on(stepped)
    family = parent.proxy().start_child(Family, log, "x", "y", budget=RestartBudget(1, 100)).get()
    stepped.run_until_idle()
    first_x = family.proxy().children.get()[0]
    tell_all(stepped, first_x, "a")

    fresh = ["family", "xinit", "yinit", "xstart", "ystart"]
    assert log.seen[-7:] == ["ystop", "family RestartBudgetSpentError", *fresh]
    assert family.is_alive()
    assert not first_x.is_alive()
    assert len(family.proxy().children.get()) == 2


def test_a_failure_meanwhile_waits_for_the_supervisors_own(stepped: SteppedDispatcher) -> None:
    log = Log(xa=1, yb=1)
    parent = Supervisor.start_on(stepped, strategy=lambda _: Directive(RESUME.action, 5))
    family = parent.proxy().start_child(Family, log, "x", "y", budget=RestartBudget(0)).get()
    stepped.run_until_idle()
    for child, message in zip(family.proxy().children.get(), "ab", strict=True):
        child.tell(message)
    stepped.run_until_idle()

    assert stepped.clock.monotonic() == 10
    assert family.proxy().children.get() == ()
    assert family.is_alive()


def test_a_strategy_that_raises_stops_the_family(stepped: SteppedDispatcher) -> None:
    def strategy(failure: ChildFailed) -> Directive:
        raise KeyError(failure.message)

    log = Log(xa=1)
    family = Family.start_on(stepped, log, "x", "y", strategy=strategy)
    child = family.proxy().children.get()[0]
    tell_all(stepped, child, "a")

    assert log.seen[-4:] == ["ystop", "xfailure", "xundelivered a", "family KeyError"]
    assert not family.is_alive()


@pytest.mark.parametrize("directive", [RESUME, SKIP, retry()])
def test_a_child_that_nobody_decided_on_stops_or_is_decided_again(
    stepped: SteppedDispatcher, directive: Directive
) -> None:
    answers: list[Directive | Exception] = [KeyError("undecided"), SKIP]

    def strategy(failure: ChildFailed) -> Directive:
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    log = Log(xa=1)
    parent = Supervisor.start_on(stepped, strategy=lambda _: directive)
    family = parent.proxy().start_child(Family, log, "x", strategy=strategy).get()
    child = family.proxy().children.get()[0]
    tell_all(stepped, child, "a", "b")

    assert family.is_alive()
    assert log.seen[-2:] == (["xundelivered a", "xb"] if directive == retry() else ["xfailure", "xundelivered a b"])


def test_a_restart_without_a_supervisor_gives_the_message_back(stepped: SteppedDispatcher) -> None:
    log = Log(a=1)
    supervisor, child = supervise(stepped, log, Directive(RESTART.action, 5))
    log.faults["init"] = 1
    child.tell("a")
    while stepped.step():
        pass
    # Nothing but a defect could end it before its children; here it is made to.
    supervisor.actor_inbox.owner = None
    ActorRegistry.unregister(supervisor)
    tell_all(stepped, child, "b")

    assert log.seen[-3:] == ["init", "failure", "undelivered a b"]


# Ordered stop


def test_children_stop_in_the_reverse_order_of_their_start(stepped: SteppedDispatcher) -> None:
    log = Log()
    family = Family.start_on(stepped, log, "x", "y", "z")
    for child in family.proxy().children.get():
        child.tell("a")
    assert family.stop() is True

    assert log.seen[-4:] == ["zstop", "ystop", "xstop", "family stop"]
    assert {"xa", "ya", "za"} <= set(log.seen)
    assert ActorRegistry.get_all() == []


def test_stop_children_leaves_the_supervisor_running(stepped: SteppedDispatcher) -> None:
    log = Log()
    family = Family.start_on(stepped, log, "x", "y")
    family.proxy().stop_children().get()
    stepped.run_until_idle()

    assert log.seen[-3:] == ["ystop", "xstop", "childless"]
    assert family.proxy().children.get() == ()
    assert family.proxy().start_child(Worker, log, "w").get().is_alive()


def test_no_child_starts_while_children_are_stopped(stepped: SteppedDispatcher) -> None:
    log = Log()
    proxy = Family.start_on(stepped, log, "x").proxy()
    inbox = proxy.children.get()[0].actor_inbox
    stepped.run_until_idle()
    inbox.mailbox.hold()
    proxy.stop_children().get()
    proxy.stop_children().get()

    with pytest.raises(SupervisorStoppingError, match=r"cannot start a 'Worker'\. Start it in"):
        proxy.start_child(Worker, log).get()
    assert inbox.mailbox.release()
    stepped.submit(inbox.owner)
    stepped.run_until_idle()
    assert log.seen[-2:] == ["xstop", "childless"]


def test_a_suspended_child_does_not_hold_up_the_stop(stepped: SteppedDispatcher) -> None:
    log = Log(xa=1)
    family = Family.start_on(stepped, log, "x", "y", strategy=lambda _: retry(1000))
    child = family.proxy().children.get()[0]
    child.tell("a")
    child.tell("b")
    while stepped.step():
        pass
    family.stop(block=False)
    stepped.run_until_idle()

    assert log.seen[-4:] == ["ystop", "xfailure", "xundelivered a b", "family stop"]
    assert stepped.clock.monotonic() == 0


def test_a_child_that_fails_while_stopping_stops_there(stepped: SteppedDispatcher) -> None:
    log = Log(xa=9)
    family = Family.start_on(stepped, log, "x", "y", strategy=lambda _: retry())
    child = family.proxy().children.get()[0]
    family.stop(block=False)
    child.tell("a")
    stepped.run_until_idle()

    assert log.seen[-4:] == ["ystop", "xfailure", "xundelivered a", "family stop"]


def test_what_is_told_to_a_stopping_supervisor_is_undelivered(stepped: SteppedDispatcher) -> None:
    undelivered: list[Any] = []

    class Busy(Family):
        def on_undelivered(self, messages: list[Any]) -> None:
            undelivered.extend(messages)

    family = Busy.start_on(stepped, Log(), "x", "y")
    stepped.run_until_idle()
    stop, second = family.stop(block=False), family.stop(block=False)
    family.tell("late")
    stepped.run_until_idle()

    assert undelivered == ["late"]
    assert stop.get() is second.get() is True


def test_a_second_order_to_stop_changes_nothing(stepped: SteppedDispatcher) -> None:
    log = Log()
    family = Family.start_on(stepped, log, "x", "y")
    stepped.run_until_idle()
    family.tell_control(Apply(STOP))
    family.tell_control(Apply(STOP))
    stepped.run_until_idle()

    assert log.seen[-3:] == ["ystop", "xstop", "family stop"]


def test_a_child_that_stops_by_itself_is_struck_off(stepped: SteppedDispatcher) -> None:
    supervisor, child = supervise(stepped, Log())
    child.stop()
    stepped.run_until_idle()

    assert supervisor.proxy().children.get() == ()


def test_directing_a_stranger_changes_nothing(stepped: SteppedDispatcher) -> None:
    supervisor, child = supervise(stepped, Log())
    stranger = Worker.start_on(stepped, Log())
    supervisor.proxy().direct(stranger, STOP).get()
    supervisor.proxy().direct(child, RESTART).get()
    stepped.run_until_idle()

    assert stranger.is_alive()
    assert child.proxy().log.get().seen == ["init", "start"]


def test_children_live_where_their_supervisor_lives(stepped: SteppedDispatcher) -> None:
    registry = Registry()
    family = Family.start_on(stepped, Log(), "x", registry=registry)
    other = SteppedDispatcher()

    class Elsewhere(Worker):
        dispatcher = other

    family.proxy().start_child(Elsewhere, Log()).get()
    stepped.run_until_idle()

    assert len(registry.get_all()) == 3
    assert len(other.choices()) == 1
    other.run_until_idle()
    family.stop(block=False)
    stepped.run_until_idle()
    other.run_until_idle()
    stepped.run_until_idle()
    assert registry.get_all() == ActorRegistry.get_all() == []


def test_an_unknown_control_message_to_a_supervisor_is_logged(
    stepped: SteppedDispatcher, caplog: pytest.LogCaptureFixture
) -> None:
    Supervisor.start_on(stepped).tell_control("odd")
    stepped.run_until_idle()

    assert "Unexpected control message" in caplog.text


def test_supervision_works_on_a_pool_of_threads() -> None:
    pool = PooledDispatcher(size=3)
    log = Log(xa=2, ya=2, za=2)
    family = Family.start_on(pool, log, "x", "y", "z", budget=RestartBudget(10, 100))
    children = family.proxy().children.get()
    for child in children:
        child.tell("a")
        child.tell("b")
    assert family.stop(timeout=10) is True

    assert [entry for entry in log.seen if entry.endswith("stop")][-1] == "family stop"
    assert not any(child.is_alive() for child in children)
    assert pool.shutdown(timeout=5)
