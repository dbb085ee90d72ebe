"""What pykka promises of an actor, asked of pykka's own and of ours on both dispatchers."""

import threading
from collections.abc import Iterator
from typing import Any, cast

import pytest

from actors.pooled_actor import PooledActor
from actors.pooled_dispatcher import PooledDispatcher
from actors.pykka_door import (
    Actor,
    ActorDeadError,
    ActorRef,
    ActorRegistry,
    ThreadingActor,
    ThreadingFuture,
    Timeout,
    get_all,
    messages,
    traversable,
)
from actors.testing.stepped_dispatcher import SteppedDispatcher


class Runtime:
    """Makes actor classes of one kind, and waits for such an actor's end."""

    def __init__(self, base: type[Actor], dispatcher: Any = None) -> None:
        self.base = base
        self.dispatcher = dispatcher

    def start(self, mixin: type, *args: Any, **kwargs: Any) -> ActorRef[Any]:
        actor_class = cast("type[Actor]", type(mixin.__name__, (mixin, self.base), {}))
        if self.dispatcher is not None:
            actor_class.dispatcher = self.dispatcher  # type: ignore[attr-defined] # PooledActor's.
        return actor_class.start(*args, **kwargs)

    def wait_until_stopped(self, ref: ActorRef[Any]) -> None:
        """Wait for the flag, and for what follows it inside the actor's last turn."""
        if isinstance(self.dispatcher, SteppedDispatcher):
            self.dispatcher.run_until_idle()
        assert ref.actor_stopped.wait(5)

    def wait_for(self, event: threading.Event) -> bool:
        if self.dispatcher is None:
            return event.wait(5)
        return bool(self.dispatcher.wait_for(event, 5))


@pytest.fixture(params=["threading", "pooled", "stepped"])
def runtime(request: pytest.FixtureRequest) -> Iterator[Runtime]:
    if request.param == "threading":
        yield Runtime(ThreadingActor)
        ActorRegistry.stop_all()
        return
    dispatcher: Any = PooledDispatcher(size=2) if request.param == "pooled" else SteppedDispatcher()
    yield Runtime(PooledActor, dispatcher)
    ActorRegistry.stop_all()
    dispatcher.shutdown(timeout=5)


class Echo:
    def on_receive(self, message: Any) -> Any:
        if isinstance(message, Exception):
            raise message
        return message


class Recorder:
    """Keeps the order of what happens to it."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[Any] = []
        self.ended = threading.Event()

    def on_start(self) -> None:
        self.seen.append("start")

    def on_receive(self, message: Any) -> Any:
        if isinstance(message, Exception):
            raise message
        self.seen.append(message)
        return list(self.seen)

    def on_stop(self) -> None:
        self.seen.append("stop")
        self.ended.set()

    def on_failure(self, *exc_info: Any) -> None:
        self.seen.append(exc_info[0])
        self.ended.set()


class Part:
    value = 1

    def double(self, number: int) -> int:
        return 2 * number


class Host:
    def __init__(self, name: str = "host") -> None:
        super().__init__()
        self.label = name
        self.part = traversable(Part())
        self._hidden = 1

    def add(self, a: int, b: int = 1) -> int:
        return a + b

    def fail(self) -> None:
        raise LookupError("no such thing")

    def set_label(self, label: str) -> None:
        self.label = label

    def stop_self(self) -> None:
        cast("Actor", self).stop()


# Start and stop


def test_start_returns_a_reference_to_a_living_actor(runtime: Runtime) -> None:
    ref = runtime.start(Echo)

    assert ref.is_alive()
    assert ref.actor_urn.startswith("urn:uuid:")
    assert str(ref) == f"Echo ({ref.actor_urn})"


def test_urns_are_unique(runtime: Runtime) -> None:
    assert len({runtime.start(Echo).actor_urn for _ in range(20)}) == 20


def test_start_passes_its_arguments_to_the_constructor(runtime: Runtime) -> None:
    assert runtime.start(Host, name="given").proxy().label.get() == "given"


def test_on_start_runs_before_the_first_message(runtime: Runtime) -> None:
    assert runtime.start(Recorder).ask(1) == ["start", 1]


def test_messages_are_handled_in_order(runtime: Runtime) -> None:
    ref = runtime.start(Recorder)
    for number in range(50):
        ref.tell(number)

    assert ref.ask(50) == ["start", *range(51)]


def test_messages_told_before_the_stop_are_handled(runtime: Runtime) -> None:
    ref = runtime.start(Recorder)
    answers = [ref.ask(number, block=False) for number in range(20)]

    assert ref.stop()
    assert list(get_all(answers))[-1] == ["start", *range(20)]


def test_stop_runs_on_stop_and_tells_whether_it_lived(runtime: Runtime) -> None:
    ref = runtime.start(Recorder)
    seen = ref.proxy().seen.get()

    assert ref.stop() is True
    assert seen == ["start", "stop"]
    assert ref.stop() is False


def test_stop_without_blocking_gives_a_future(runtime: Runtime) -> None:
    ref = runtime.start(Echo)

    assert ref.stop(block=False).get(timeout=5) is True
    assert not ref.is_alive()


def test_an_actor_can_stop_itself(runtime: Runtime) -> None:
    ref = runtime.start(Host)
    ref.proxy().stop_self().get()
    runtime.wait_until_stopped(ref)

    assert not ref.is_alive()


def test_a_dead_actor_refuses_tell_ask_and_proxy(runtime: Runtime) -> None:
    ref = runtime.start(Echo)
    ref.stop()

    with pytest.raises(ActorDeadError, match="not found"):
        ref.tell(1)
    with pytest.raises(ActorDeadError, match="not found"):
        ref.ask(1)
    with pytest.raises(ActorDeadError, match="not found"):
        ref.proxy()


def test_an_ask_behind_the_stop_is_answered_as_dead(runtime: Runtime) -> None:
    class Late(Echo):
        def on_receive(self, message: Any) -> Any:
            me = cast("Actor", self)
            me.stop()
            return me.actor_ref.ask("late", block=False)

    late = runtime.start(Late).ask("go")

    with pytest.raises(ActorDeadError, match="stopped before handling the message"):
        late.get(timeout=5)


def test_a_second_stop_behind_the_first_is_answered(runtime: Runtime) -> None:
    ref = runtime.start(Echo)
    stops = [ref.stop(block=False) for _ in range(3)]

    assert stops[0].get(timeout=5) is True
    assert all(isinstance(stop.get(timeout=5), bool) for stop in stops)


def test_an_exception_in_on_start_stops_the_actor(runtime: Runtime) -> None:
    class Broken(Recorder):
        def on_start(self) -> None:
            raise ValueError("cannot start")

    ref = runtime.start(Broken)
    runtime.wait_until_stopped(ref)

    with pytest.raises(ActorDeadError):
        ref.tell(1)


def test_an_exception_in_on_stop_is_no_obstacle(runtime: Runtime) -> None:
    class Broken(Echo):
        def on_stop(self) -> None:
            raise ValueError("cannot stop")

    ref = runtime.start(Broken)

    assert ref.stop() is True
    assert ref not in ActorRegistry.get_all()


# Failures


def test_an_exception_goes_to_the_asker_and_the_actor_lives(runtime: Runtime) -> None:
    ref = runtime.start(Echo)

    with pytest.raises(LookupError, match="gone"):
        ref.ask(LookupError("gone"))
    assert ref.ask("still here") == "still here"


def test_an_exception_on_a_told_message_stops_the_actor(runtime: Runtime) -> None:
    ref = runtime.start(Recorder)
    proxy = ref.proxy()
    seen, ended = proxy.seen.get(), proxy.ended.get()
    ref.tell(ValueError("bad"))

    assert runtime.wait_for(ended)
    assert seen == ["start", ValueError]
    assert not ref.is_alive()
    assert ref not in ActorRegistry.get_all()


def test_an_unexpected_message_is_logged(runtime: Runtime, caplog: pytest.LogCaptureFixture) -> None:
    class Silent:
        pass

    assert runtime.start(Silent).ask("hello") is None
    assert "Unexpected message received by Silent" in caplog.text


def test_a_failure_is_logged_with_its_traceback(runtime: Runtime, caplog: pytest.LogCaptureFixture) -> None:
    ref = runtime.start(Recorder)
    ended = ref.proxy().ended.get()
    ref.tell(ValueError("bad"))

    assert runtime.wait_for(ended)
    assert "Unhandled exception in Recorder" in caplog.text
    assert "ValueError: bad" in caplog.text


# Asking


def test_ask_without_blocking_gives_a_future(runtime: Runtime) -> None:
    future = runtime.start(Echo).ask("hello", block=False)

    assert future.get(timeout=5) == "hello"
    assert future.get() == "hello"


def test_get_times_out_when_no_answer_comes(runtime: Runtime) -> None:
    future = runtime.start(Echo).actor_class._create_future()  # noqa: SLF001 - nobody answers this one.

    with pytest.raises(Timeout):
        future.get(timeout=0.001)


# On one thread nobody can be busy while another waits.
@pytest.mark.parametrize("runtime", ["threading", "pooled"], indirect=True)
def test_ask_times_out_when_the_actor_is_busy(runtime: Runtime) -> None:
    gate: ThreadingFuture[None] = ThreadingFuture()

    class Busy:
        def on_receive(self, message: Any) -> Any:
            gate.get()

    ref = runtime.start(Busy)

    with pytest.raises(Timeout):
        ref.ask(1, timeout=0.001)
    gate.set()


def test_get_all_collects_in_order(runtime: Runtime) -> None:
    refs = [runtime.start(Echo) for _ in range(3)]

    assert get_all([ref.ask(i, block=False) for i, ref in enumerate(refs)], timeout=5) == [0, 1, 2]


def test_futures_map_filter_join_and_reduce(runtime: Runtime) -> None:
    ref = runtime.start(Echo)

    def ask(value: Any) -> Any:
        return ref.ask(value, block=False)

    assert ask(2).map(lambda x: x + 1).get() == 3
    assert ask([1, 2, 3]).filter(lambda x: x > 1).get() == [2, 3]
    assert ask(1).join(ask(2), ask(3)).get() == [1, 2, 3]
    assert ask([1, 2, 3]).reduce(lambda x, y: x + y).get() == 6
    assert ask([]).reduce(lambda x, y: x + y, 5).get() == 5


def test_a_future_can_be_awaited(runtime: Runtime) -> None:
    future = runtime.start(Echo).ask("hello", block=False)
    steps = iter(future)
    next(steps)

    with pytest.raises(StopIteration) as end:
        next(steps)
    assert end.value.value == "hello"


# Proxies


def test_a_proxy_calls_methods_with_arguments(runtime: Runtime) -> None:
    proxy = runtime.start(Host).proxy()

    assert proxy.add(1).get() == 2
    assert proxy.add(1, b=5).get() == 6


def test_a_proxy_reads_and_sets_attributes(runtime: Runtime) -> None:
    proxy = runtime.start(Host).proxy()
    proxy.label = "new"

    assert proxy.label.get() == "new"


def test_a_proxy_traverses_marked_attributes(runtime: Runtime) -> None:
    proxy = runtime.start(Host).proxy()
    proxy.part.value = 7

    assert proxy.part.double(4).get() == 8
    assert proxy.part.value.get() == 7


def test_a_proxy_hides_private_and_unknown_attributes(runtime: Runtime) -> None:
    proxy = runtime.start(Host).proxy()

    with pytest.raises(AttributeError, match="has no attribute '_hidden'"):
        _ = proxy._hidden  # noqa: SLF001 - to be refused.
    with pytest.raises(AttributeError, match="has no attribute 'missing'"):
        _ = proxy.missing


def test_a_deferred_call_has_no_answer(runtime: Runtime) -> None:
    proxy = runtime.start(Host).proxy()

    assert proxy.set_label.defer("later") is None
    assert proxy.label.get() == "later"


def test_an_exception_in_a_call_goes_to_the_caller(runtime: Runtime) -> None:
    proxy = runtime.start(Host).proxy()

    with pytest.raises(LookupError, match="no such thing"):
        proxy.fail().get()
    assert proxy.add(1).get() == 2


def test_an_exception_in_a_deferred_call_stops_the_actor(runtime: Runtime) -> None:
    ref = runtime.start(Host)
    ref.proxy().fail.defer()
    runtime.wait_until_stopped(ref)

    assert not ref.is_alive()


def test_pykkas_messages_can_be_sent_directly(runtime: Runtime) -> None:
    ref = runtime.start(Host)

    assert ref.ask(messages.ProxyCall(attr_path=("add",), args=(1,), kwargs={"b": 2})) == 3
    assert ref.ask(messages.ProxyGetAttr(attr_path=("part", "value"))) == 1


# Registry


def test_the_registry_finds_running_actors(runtime: Runtime) -> None:
    first, second = runtime.start(Echo), runtime.start(Host)

    assert ActorRegistry.get_all() == [first, second]
    assert ActorRegistry.get_by_urn(first.actor_urn) is first
    assert ActorRegistry.get_by_class(second.actor_class) == [second]
    assert ActorRegistry.get_by_class_name("Echo") == [first]


def test_the_registry_forgets_stopped_actors(runtime: Runtime) -> None:
    ref = runtime.start(Echo)
    ref.stop()

    assert ActorRegistry.get_all() == []
    assert ActorRegistry.get_by_urn(ref.actor_urn) is None


def test_broadcast_reaches_the_actors_of_a_class(runtime: Runtime) -> None:
    first, second, other = runtime.start(Recorder), runtime.start(Recorder), runtime.start(Echo)
    ActorRegistry.broadcast("news", target_class="Recorder")

    assert first.ask(1) == second.ask(1) == ["start", "news", 1]
    assert other.is_alive()


def test_stop_all_stops_the_last_started_first(runtime: Runtime) -> None:
    order: list[str] = []

    class Named:
        def __init__(self, name: str) -> None:
            super().__init__()
            self.name = name

        def on_stop(self) -> None:
            order.append(self.name)

    for name in "abc":
        runtime.start(Named, name)

    assert ActorRegistry.stop_all() == [True, True, True]
    assert order == ["c", "b", "a"]
