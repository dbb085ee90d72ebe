"""Where a pooled actor differs from pykka's on purpose, row by row of docs/pykka.md, and what it adds."""

import gc
import logging
import queue
import threading
import uuid
import weakref
from collections.abc import Iterator
from typing import Any

import pytest

from actors.dispatcher import Group, TurnLimits
from actors.errors import NoDispatcherError, UninitialisedActorError, WaitInsideTurnError
from actors.mailbox import Lane, Mailbox
from actors.messages import SetUp
from actors.pooled_actor import PooledActor
from actors.pooled_dispatcher import PooledDispatcher
from actors.pooled_future import PooledFuture
from actors.pykka_door import ActorDeadError, ActorRef, ActorRegistry, Timeout
from actors.registry import Registry
from actors.testing.stepped_dispatcher import SteppedDispatcher


@pytest.fixture(params=["pooled", "stepped"])
def dispatcher(request: pytest.FixtureRequest) -> Iterator[Any]:
    dispatcher: Any = PooledDispatcher(size=2) if request.param == "pooled" else SteppedDispatcher()
    yield dispatcher
    ActorRegistry.stop_all()
    dispatcher.shutdown(timeout=5)


class Raiser(PooledActor):
    """Raises what it is sent, and keeps what it could not deliver."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.seen: list[Any] = []
        self.undelivered: list[Any] = []
        self.ended = threading.Event()

    def on_receive(self, message: Any) -> Any:
        if isinstance(message, BaseException):
            raise message
        self.seen.append(message)
        return message

    def on_failure(self, *exc_info: Any) -> None:
        self.seen.append(exc_info[1])
        self.ended.set()

    def on_undelivered(self, messages: list[Any]) -> None:
        self.undelivered.extend(messages)


class Asker(PooledActor):
    """Waits for another actor inside its turn."""

    def on_receive(self, message: ActorRef[Any]) -> Any:
        return message.ask("question")


# docs/pykka.md: "Start"


def test_start_without_a_dispatcher_names_the_remedy() -> None:
    with pytest.raises(NoDispatcherError, match=r"'Raiser' has no dispatcher\. Set its class attribute"):
        Raiser.start()


def test_start_takes_the_dispatcher_of_the_class(stepped: SteppedDispatcher) -> None:
    class Own(Raiser):
        dispatcher = stepped

    assert Own.start().ask("hello") == "hello"


def test_a_constructor_that_forgot_its_superclass_is_named(stepped: SteppedDispatcher) -> None:
    class Forgetful(PooledActor):
        def __init__(self) -> None:
            pass

    with pytest.raises(UninitialisedActorError, match=r"'Forgetful' did not set the actor up\. Call super"):
        Forgetful.start_on(stepped)


def test_what_a_constructor_tells_itself_waits_for_on_start(stepped: SteppedDispatcher) -> None:
    class Eager(Raiser):
        def __init__(self) -> None:
            super().__init__()
            self.actor_ref.tell("from the constructor")

        def on_start(self) -> None:
            self.seen.append("start")

    assert Eager.start_on(stepped).proxy().seen.get() == ["start", "from the constructor"]


# docs/pykka.md: "BaseException"


@pytest.mark.parametrize("error", [SystemExit(1), KeyboardInterrupt(), GeneratorExit(), MemoryError()])
def test_whatever_a_told_handler_raises_stops_this_actor_alone(dispatcher: Any, error: BaseException) -> None:
    other, failing = Raiser.start_on(dispatcher), Raiser.start_on(dispatcher)
    seen, ended = failing.proxy().seen.get(), failing.proxy().ended.get()
    failing.tell(error)

    assert dispatcher.wait_for(ended, 5)
    assert seen == [error]
    assert not failing.is_alive()
    assert other.ask("alive") == "alive"


@pytest.mark.parametrize("error_class", [SystemExit, KeyboardInterrupt, GeneratorExit, MemoryError])
def test_whatever_an_asked_handler_raises_goes_to_the_asker(dispatcher: Any, error_class: type[BaseException]) -> None:
    ref = Raiser.start_on(dispatcher)

    with pytest.raises(error_class):
        ref.ask(error_class())
    assert ref.ask("alive") == "alive"


@pytest.mark.parametrize("hook", ["on_start", "on_stop", "on_failure", "on_undelivered"])
def test_an_exit_in_a_hook_is_logged_and_concerns_nobody_else(
    stepped: SteppedDispatcher, hook: str, caplog: pytest.LogCaptureFixture
) -> None:
    def leave(*_: Any) -> None:
        raise SystemExit(hook)

    other = Raiser.start_on(stepped)
    ref = type("Leaving", (Raiser,), {hook: leave}).start_on(stepped)  # type: ignore[attr-defined] # A PooledActor.
    if hook == "on_failure":
        ref.tell(ValueError())
    ref.stop(block=False)
    ref.tell("late")
    stepped.run_until_idle()

    assert not ref.is_alive()
    assert other.is_alive()
    assert f"SystemExit: {hook}" in caplog.text


# docs/pykka.md: "Messages left at the stop"


def test_tells_behind_the_stop_go_to_on_undelivered(
    stepped: SteppedDispatcher, caplog: pytest.LogCaptureFixture
) -> None:
    ref = Raiser.start_on(stepped)
    undelivered = ref.proxy().undelivered.get()
    ref.stop(block=False)
    ref.tell("first")
    question = ref.ask("second", block=False)
    ref.tell("third")
    stepped.run_until_idle()

    assert undelivered == ["first", "third"]
    assert f"Raiser ({ref.actor_urn}) leaves 2 messages undelivered." in caplog.text
    with pytest.raises(ActorDeadError, match="stopped before handling the message"):
        question.get()


def test_tells_behind_a_failure_go_to_on_undelivered(stepped: SteppedDispatcher) -> None:
    ref = Raiser.start_on(stepped)
    undelivered = ref.proxy().undelivered.get()
    ref.tell(ValueError("bad"))
    ref.tell("behind")
    stepped.run_until_idle()

    assert undelivered == ["behind"]


# docs/pykka.md: "A message that meets the end"


@pytest.mark.parametrize("way", ["tell", "ask"])
def test_a_message_that_meets_the_close_is_answered_as_dead(stepped: SteppedDispatcher, way: str) -> None:
    ref = Raiser.start_on(stepped)
    mailbox = ref.actor_inbox.mailbox
    outcome: list[BaseException] = []
    is_sending = threading.Event()

    def send() -> None:
        is_sending.set()
        try:
            getattr(ref, way)("late")
        except ActorDeadError as error:
            outcome.append(error)

    sender = threading.Thread(target=send)
    with mailbox.lock:
        sender.start()
        is_sending.wait(5)
        # The sender has looked or will look, but queues under this lock only.
        ref.stop(block=False)
        stepped.run_until_idle()
    sender.join(5)

    assert [type(error) for error in outcome] == [ActorDeadError]


def test_pykkas_inbox_refuses_when_the_actor_has_stopped(stepped: SteppedDispatcher) -> None:
    ref = Raiser.start_on(stepped)
    ref.stop()

    with pytest.raises(ActorDeadError, match="stopped"):
        ref.actor_inbox.put(None)  # type: ignore[arg-type] # It is refused before it is looked at.
    with pytest.raises(ActorDeadError, match="not found"):
        ref.tell_control("order")


# docs/pykka.md: "Waiting in a handler"


def test_waiting_inside_a_turn_raises_and_sends_nothing(dispatcher: Any) -> None:
    asked = Raiser.start_on(dispatcher)

    with pytest.raises(WaitInsideTurnError, match=r"cannot wait for 'Raiser \(urn.*Use tell, or ask with block"):
        Asker.start_on(dispatcher).ask(asked)
    assert asked.proxy().seen.get() == []


def test_an_unresolved_future_raises_inside_a_turn(dispatcher: Any) -> None:
    class Getter(PooledActor):
        def on_receive(self, message: PooledFuture[Any]) -> Any:
            return message.get()

    resolved: PooledFuture[str] = PooledFuture()
    resolved.set("there")
    ref = Getter.start_on(dispatcher)

    assert ref.ask(resolved) == "there"
    with pytest.raises(WaitInsideTurnError, match="A turn cannot wait"):
        ref.ask(PooledFuture())


def test_asking_a_dead_actor_inside_a_turn_says_dead(stepped: SteppedDispatcher) -> None:
    dead = Raiser.start_on(stepped)
    dead.stop()

    with pytest.raises(ActorDeadError):
        Asker.start_on(stepped).ask(dead)


# docs/pykka.md: "Time"


def test_a_stepped_wait_ends_when_no_answer_can_come(stepped: SteppedDispatcher) -> None:
    ref = Raiser.start_on(stepped)
    stepped.run_until_idle()
    ref.actor_inbox.mailbox.hold()

    with pytest.raises(Timeout, match="no answer can come"):
        ref.ask("held")
    with pytest.raises(Timeout, match="5 seconds"):
        ref.ask("held", timeout=5)
    assert stepped.clock.monotonic() == 5
    assert ref.actor_inbox.mailbox.release()
    stepped.submit(ref.actor_inbox.owner)  # type: ignore[arg-type] # It lives.


# docs/pykka.md: "Turns"


def test_a_turn_ends_at_its_message_limit(stepped: SteppedDispatcher) -> None:
    stepped.limits = TurnLimits(max_messages=3)
    ref = Raiser.start_on(stepped)
    seen = ref.proxy().seen.get()
    for number in range(5):
        ref.tell(number)
    stepped.step()

    assert seen == [0, 1, 2]
    assert len(stepped.choices()) == 1


def test_a_turn_ends_at_its_time_limit(stepped: SteppedDispatcher) -> None:
    class Slow(Raiser):
        def on_receive(self, message: Any) -> Any:
            stepped.clock.advance(1)
            return super().on_receive(message)

    stepped.limits = TurnLimits(max_messages=10, max_seconds=2)
    ref = Slow.start_on(stepped)
    seen = ref.proxy().seen.get()
    for number in range(5):
        ref.tell(number)
    stepped.step()

    assert seen == [0, 1]


def test_handlers_of_one_actor_never_overlap() -> None:
    pool = PooledDispatcher(size=4)
    inside = threading.Lock()

    class Exclusive(PooledActor):
        count = 0

        def on_receive(self, message: Any) -> Any:
            assert inside.acquire(blocking=False)
            self.count += 1
            inside.release()
            return self.count

    ref = Exclusive.start_on(pool)

    def send() -> None:
        for number in range(200):
            ref.tell(number)

    senders = [threading.Thread(target=send) for _ in range(4)]
    for sender in senders:
        sender.start()
    for sender in senders:
        sender.join(10)

    assert ref.ask("count") == 801
    ref.stop()
    assert pool.shutdown(timeout=5)


# What the constructor takes


def test_control_messages_overtake_and_pass_a_hold(stepped: SteppedDispatcher) -> None:
    class Ordered(Raiser):
        def on_control(self, message: Any) -> None:
            self.seen.append(message)

    ref = Ordered.start_on(stepped)
    seen = ref.proxy().seen.get()
    ref.actor_inbox.mailbox.hold()
    ref.tell("data")
    ref.tell_control("control")
    stepped.run_until_idle()

    assert seen == ["control"]
    assert not ref.actor_inbox.empty()
    assert ref.actor_inbox.mailbox.release()
    stepped.submit(ref.actor_inbox.owner)  # type: ignore[arg-type] # It lives.
    assert ref.actor_inbox.get().message == "data"
    with pytest.raises(queue.Empty):
        ref.actor_inbox.get()
    assert ref.actor_inbox.empty()


def test_an_unknown_control_message_is_logged(stepped: SteppedDispatcher, caplog: pytest.LogCaptureFixture) -> None:
    Raiser.start_on(stepped).tell_control("odd")
    stepped.run_until_idle()

    assert "Unexpected control message received by Raiser" in caplog.text


def test_a_given_mailbox_group_registry_and_urn_are_used(stepped: SteppedDispatcher) -> None:
    lock, group, registry = threading.RLock(), Group("job"), Registry()
    mailbox = Mailbox((Lane("in"),), lock)
    ref = PooledActor.start(
        dispatcher=stepped, mailbox=mailbox, group=group, registry=registry, urn="urn:flowforge:job:reader"
    )

    assert ref.actor_inbox.mailbox is mailbox
    assert registry.get_by_urn("urn:flowforge:job:reader") is ref
    assert ActorRegistry.get_all() == []
    assert [actor.group for actor in stepped.choices() if isinstance(actor, PooledActor)] == [group]
    ref.stop()
    assert registry.get_all() == []


def test_messages_in_a_given_mailbox_follow_on_start(stepped: SteppedDispatcher) -> None:
    handled: list[Any] = []

    class Raw(PooledActor):
        inbox_lane = None

        def run_turn(self, limits: TurnLimits) -> None:
            mailbox = self.actor_inbox.mailbox
            mailbox.start_turn()
            handled.extend(mailbox.control)
            mailbox.control.clear()
            while (lane := mailbox.peek()) >= 0:
                handled.append(mailbox.pop(lane))
            mailbox.end_turn()

    mailbox = Mailbox((Lane("in"),))
    mailbox.hold()
    mailbox.put(0, "restored")
    ref = Raw.start(dispatcher=stepped, mailbox=mailbox, registry=Registry())
    ref.tell("told")
    mailbox.release()
    stepped.run_until_idle()

    assert handled[0] == SetUp()
    assert [getattr(item, "message", item) for item in handled[1:]] == ["told", "restored"]


def test_a_mailbox_that_its_owner_closed_gives_no_turn(stepped: SteppedDispatcher) -> None:
    mailbox = Mailbox((Lane("in"),))
    ref = Raiser.start(dispatcher=stepped, mailbox=mailbox, registry=Registry())
    stepped.run_until_idle()
    ref.tell("late")
    left = mailbox.close()
    stepped.run_until_idle()

    assert [envelope.message for envelope in left] == ["late"]
    assert ref.actor_inbox.offer_control("later") is False


def test_a_handler_whose_mailbox_is_closed_may_still_fail(
    stepped: SteppedDispatcher, caplog: pytest.LogCaptureFixture
) -> None:
    class Closing(PooledActor):
        def on_receive(self, message: Any) -> Any:
            self.actor_inbox.mailbox.close()
            raise LookupError(message)

    Closing.start(dispatcher=stepped, registry=Registry()).tell("too late")
    stepped.run_until_idle()

    assert "LookupError: too late" in caplog.text


def test_an_actor_without_a_group_has_one_while_it_is_ready(stepped: SteppedDispatcher) -> None:
    actor = Raiser.start_on(stepped).actor_inbox.owner

    assert actor is not None
    assert actor.group is actor.group
    assert actor.group.name.startswith("urn:uuid:")


def test_the_urn_of_an_actor_is_that_of_a_random_uuid(stepped: SteppedDispatcher) -> None:
    number = uuid.UUID(Raiser.start_on(stepped).actor_urn)

    assert number.version == 4
    assert number.variant == uuid.RFC_4122


# Size


def test_ten_thousand_idle_actors_have_no_thread(stepped: SteppedDispatcher) -> None:
    before = threading.active_count()
    refs = [PooledActor.start(dispatcher=stepped, registry=Registry()) for _ in range(10_000)]
    stepped.run_until_idle()

    assert threading.active_count() == before
    assert all(ref.is_alive() for ref in refs)


def test_a_stopped_actor_is_freed_without_the_garbage_collector(stepped: SteppedDispatcher) -> None:
    ref = Raiser.start_on(stepped)
    actor = weakref.ref(ref.actor_inbox.owner)
    gc.disable()
    try:
        ref.stop(block=False)
        stepped.run_until_idle()
        assert actor() is None
    finally:
        gc.enable()


def test_starting_and_stopping_is_logged_for_debugging(
    stepped: SteppedDispatcher, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG, "pykka"):
        ref = Raiser.start_on(stepped)
        ref.stop()

    assert f"Starting {ref}" in caplog.text
    assert f"Stopped {ref}" in caplog.text
