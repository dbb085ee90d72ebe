"""What a simulated handler asks of the real world is caught, with what to use instead, and nothing else is."""

import asyncio
import random
import socket
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from itertools import permutations
from types import FrameType, MethodType, ModuleType
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.testing.stepped_dispatcher import SteppedDispatcher
from flowforge.flow import Flow
from flowforge.job_state import JobState
from flowforge.routine import Routine
from flowforge.runtime import Runtime
from flowforge.testing.outside_world import OutsideWorldError, WorldWatch

pytestmark = pytest.mark.usefixtures("unprofiled")

Handler = Callable[..., Any]
WATCHED_MODULES = (time, random, uuid, threading.Thread, socket.socket)


def module_of(source: str, name: str = "orders", file: str = "/app/shop/orders.py") -> ModuleType:
    module = ModuleType(name)
    exec(compile(source, file, "exec"), vars(module))
    return module


def charging(body: str, *imports: str) -> Handler:
    """The handler `charge` of a user's module orders.py: the imports, a def, and the body in the last line."""
    charge: Handler = module_of("\n".join([*imports, "def charge(self):", f"    {body}"])).charge
    return charge


def simulated(handler: Handler, watch: WorldWatch) -> JobState:
    routine = Routine()
    routine.define_event("out")
    routine.define_slot("trigger", handler=MethodType(handler, routine))
    flow = Flow("shop")
    flow.add_routine(routine, "pay")
    dispatcher = SteppedDispatcher()
    with Runtime(dispatcher=dispatcher) as runtime, watch:
        job = runtime.exec(flow)
        dispatcher.run_until_idle()
    return job


def call_caught(handler: Handler, *, is_exact: bool = False) -> str | None:
    """The call for which a simulation of `handler` was told off; the handler itself notices nothing."""
    watch = WorldWatch(is_exact=is_exact)
    assert simulated(handler, watch).status == "completed"
    return None if watch.caught is None else watch.caught.call


def places() -> dict[tuple[int, str], object]:
    """What stands where watches put their patches."""
    return {(id(owner), name): value for owner in WATCHED_MODULES for name, value in vars(owner).items()}


@pytest.fixture
def unprofiled() -> Iterator[None]:
    """No profile function but those of a test, whatever runs the tests."""
    outer = sys.getprofile()
    sys.setprofile(None)
    yield
    sys.setprofile(outer)


def test_the_error_says_what_was_called_where_and_what_to_use() -> None:
    watch = WorldWatch()

    simulated(charging("time.time()", "import time"), watch)

    caught = watch.caught
    assert caught is not None
    assert (caught.call, caught.where) == ("time.time", "orders.py:3 in charge")
    sentence = r"A simulated step called 'time\.time' at 'orders\.py:3 in charge', which no replay can repeat\. "
    with pytest.raises(OutsideWorldError, match=sentence + r"Use self\.now\(\), which is the simulation's clock"):
        raise caught


@pytest.mark.parametrize(
    ("call", "remedy"),
    [
        ("time.monotonic()", r"Use self\.now\(\), which is the simulation's clock and in production the real one\."),
        ("random.randint(1, 6)", r"Draw from self\.random, which gives the same numbers to every attempt at a step\."),
        ("os.urandom(4)", r"Draw from self\.random, which gives the same numbers to every attempt at a step\."),
        ("uuid.uuid4()", r"Use uuid\.UUID\(int=self\.random\.getrandbits\(128\)\), or self\.idempotency_key\(\)\."),
        ("time.sleep(0)", r"Use self\.emit_after, an async def handler with asyncio\.sleep, or an ErrorHandler"),
        ("threading.Thread().start()", r"Use an async def handler, or replicas of the routine by set_concurrency\."),
        ("socket.getaddrinfo('127.0.0.1', 80)", r"Give the routine a client from outside, so that a simulation can"),
    ],
)
def test_each_kind_of_call_comes_with_its_own_remedy(call: str, remedy: str) -> None:
    watch = WorldWatch()

    simulated(charging(call, "import os, random, socket, threading, time, uuid"), watch)

    assert watch.caught is not None
    with pytest.raises(OutsideWorldError, match=remedy):
        raise watch.caught


@pytest.mark.parametrize(
    ("call", "name"),
    [
        ("random.random()", "random.random"),
        ("secrets.token_hex()", "secrets.token_hex"),
        ("uuid.uuid1()", "uuid.uuid1"),
        ("time.localtime()", "time.localtime"),
        ("time.strftime('%Y')", "time.strftime"),
        ("threading.Timer(0, print).start()", "threading.Thread.start"),
        ("ThreadPoolExecutor().submit(int)", "concurrent.futures.thread.ThreadPoolExecutor.submit"),
        ("list(ThreadPoolExecutor().map(int, '1'))", "concurrent.futures._base.Executor.map"),
        ("subprocess.run(['true'])", "subprocess.run"),
        ("subprocess.Popen(['true']).wait()", "subprocess.Popen"),
        ("socket.socket(socket.AF_INET, socket.SOCK_DGRAM).connect(('127.0.0.1', 9))", "socket.socket.connect"),
    ],
)
@pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")
def test_calls_through_a_module_are_caught(call: str, name: str) -> None:
    imports = "import random, secrets, socket, subprocess, threading, time, uuid"
    pool = "from concurrent.futures import ThreadPoolExecutor"

    assert call_caught(charging(call, imports, pool)) == name


@pytest.mark.parametrize(
    "call", ["time.localtime(0)", "time.strftime('%Y', time.gmtime(0))", "random.Random(7).random()"]
)
@pytest.mark.parametrize("is_exact", [False, True])
def test_calls_that_give_the_same_every_time_are_not_caught(call: str, is_exact: bool) -> None:
    assert call_caught(charging(call, "import random, time"), is_exact=is_exact) is None


@pytest.mark.parametrize(
    ("line", "call", "name"),
    [
        ("from time import time", "time()", "time.time"),
        ("from time import sleep as nap", "nap(0)", "time.sleep"),
        ("from random import random", "random()", "random.random"),
        ("from random import choice", "choice('ab')", "random.choice"),
        ("from secrets import choice", "choice('ab')", "secrets.choice"),
        ("from secrets import token_hex", "token_hex()", "secrets.token_hex"),
        ("from uuid import uuid4", "uuid4()", "uuid.uuid4"),
        ("from os import urandom", "urandom(4)", "os.urandom"),
        ("from datetime import datetime, timezone", "datetime.now(timezone.utc)", "datetime.datetime.now"),
        ("import datetime", "datetime.datetime.utcnow()", "datetime.datetime.utcnow"),
    ],
)
def test_an_exact_watch_catches_what_was_imported_by_name(line: str, call: str, name: str) -> None:
    handler = charging(call, line)

    assert call_caught(handler) is None
    assert call_caught(handler, is_exact=True) == name


@pytest.mark.parametrize(("is_exact", "name"), [(False, "time.time"), (True, "datetime.date.today")])
def test_a_date_of_today_is_caught_by_the_clock_it_reads(is_exact: bool, name: str) -> None:
    handler = charging("date.today()", "from datetime import date")

    assert call_caught(handler, is_exact=is_exact) == name


@pytest.mark.parametrize(
    "body",
    [
        "self.now()",
        "self.random.choice('ab')",
        "self.random.random()",
        "self.idempotency_key()",
        "self.emit('out', at=datetime.fromtimestamp(0, timezone.utc).isoformat())",
        "Queue().put(1)",
    ],
)
def test_what_a_handler_should_use_is_never_caught(body: str) -> None:
    imports = ("from datetime import datetime, timezone", "from queue import Queue")

    assert call_caught(charging(body, *imports), is_exact=True) is None


def test_asyncio_in_an_async_handler_is_not_caught() -> None:
    async def rest(self: Routine) -> None:
        async with asyncio.timeout(3600), asyncio.TaskGroup() as group:
            group.create_task(asyncio.sleep(60))
        await asyncio.to_thread(len, "in line")

    assert call_caught(rest, is_exact=True) is None


def test_a_call_after_an_await_is_caught() -> None:
    async def rest(self: Routine) -> None:
        await asyncio.sleep(60)
        time.time()

    assert call_caught(rest) == "time.time"


def test_a_call_of_a_generator_is_caught() -> None:
    assert call_caught(charging("yield; time.time()", "import time")) == "time.time"


def test_only_the_first_call_is_remembered() -> None:
    assert call_caught(charging("uuid.uuid4(), time.time()", "import time, uuid")) == "uuid.uuid4"


def test_a_caught_call_raises_nothing_and_gives_its_answer() -> None:
    answers: list[Any] = []

    def ask(self: Routine) -> None:
        answers.extend([time.time(), random.randint(1, 1), uuid.uuid4().version])

    assert call_caught(ask) == "time.time"
    assert answers[0] > 0
    assert answers[1:] == [1, 4]


def test_a_caught_sleep_does_not_sleep() -> None:
    assert call_caught(charging("time.sleep(3600)", "import time")) == "time.sleep"


def test_a_sleep_with_bad_arguments_still_raises() -> None:
    job = simulated(charging("time.sleep(-1)", "import time"), WorldWatch())

    assert job.status == "failed"
    assert "sleep length must be non-negative" in str(job.error)


def test_calls_of_the_standard_library_are_not_caught() -> None:
    log = charging("logging.makeLogRecord({}), tempfile.mktemp()", "import logging, tempfile")

    assert call_caught(log, is_exact=True) is None


@pytest.mark.parametrize(
    ("name", "file"),
    [
        ("hypothesis.control", "/app/.venv/lib/python3.11/site-packages/hypothesis/control.py"),
        ("apt", "/usr/lib/python3/dist-packages/apt/cache.py"),
        ("flowforge.routine", "/app/vendored/flowforge/routine.py"),
        ("actors.clock", "/app/vendored/actors/clock.py"),
        ("importlib._bootstrap", "<frozen importlib._bootstrap>"),
        ("collections", "<string>"),
        ("threading", threading.__file__),
    ],
)
def test_calls_of_libraries_are_not_caught(name: str, file: str) -> None:
    ask = module_of("import time; from time import monotonic; ask = lambda: (time.time(), monotonic())", name, file).ask

    assert call_caught(lambda self: ask(), is_exact=True) is None


def test_code_without_a_file_is_its_module_s() -> None:
    ask = module_of("import time; ask = lambda: time.time()", "orders", "<string>").ask
    watch = WorldWatch()

    simulated(lambda self: ask(), watch)

    assert watch.caught is not None
    assert watch.caught.where == "<string>:1 in <lambda>"


@settings(max_examples=5, deadline=None)
@given(data=st.data())
def test_what_hypothesis_does_inside_a_handler_is_not_caught(data: st.DataObject) -> None:
    assert call_caught(lambda self: data.draw(st.randoms()).random(), is_exact=True) is None


def test_calls_outside_a_step_are_not_caught() -> None:
    with WorldWatch(is_exact=True) as watch:
        module_of("import time; from time import monotonic; time.time(), monotonic()")
    time.time()

    assert watch.caught is None


def test_calls_after_the_end_of_their_step_are_not_caught() -> None:
    async def leave_behind(self: Routine) -> None:
        async def late() -> None:
            await asyncio.sleep(1)
            answers.append(time.time())

        tasks.append(asyncio.create_task(late()))

    tasks: list[asyncio.Task[None]] = []
    answers: list[float] = []

    assert call_caught(leave_behind) is None
    assert len(answers) == 1


def test_only_calls_on_the_thread_that_entered_a_watch_are_caught() -> None:
    def simulate() -> None:
        jobs.append(simulated(charging("time.time()", "import time"), inner))

    jobs: list[JobState] = []
    inner, outer = WorldWatch(), WorldWatch(is_exact=True)
    with outer:
        thread = threading.Thread(target=simulate)
        thread.start()
        thread.join()

    assert (outer.caught, jobs[0].status) == (None, "completed")
    assert inner.caught is not None


def test_the_thread_that_a_handler_starts_is_caught_and_runs() -> None:
    def start(self: Routine) -> None:
        thread = threading.Thread(target=lambda: answers.append(time.time()))
        thread.start()
        thread.join()

    answers: list[float] = []

    assert call_caught(start) == "threading.Thread.start"
    assert len(answers) == 1


def test_every_function_is_back_in_its_place_after_an_error() -> None:
    before = places()

    with pytest.raises(ZeroDivisionError), WorldWatch(is_exact=True):
        raise ZeroDivisionError

    assert (places(), sys.getprofile()) == (before, None)


@pytest.mark.parametrize("order", list(permutations(range(3))))
def test_every_function_is_back_in_whichever_order_watches_end(order: tuple[int, ...]) -> None:
    before = places()
    watches = [WorldWatch().__enter__() for _ in order]

    for number in order:
        assert places() != before
        watches[number].__exit__(None, None, None)

    assert places() == before


def test_a_watch_catches_below_one_that_ended_before_it() -> None:
    below, above = WorldWatch().__enter__(), WorldWatch().__enter__()
    below.__exit__(None, None, None)

    simulated(charging("time.time()", "import time"), above)
    above.__exit__(None, None, None)

    assert (above.caught is not None, below.caught) == (True, None)


def test_a_watch_that_is_entered_twice_lasts_until_both_ends() -> None:
    before = places()
    with WorldWatch() as watch:
        simulated(lambda self: None, watch)
        assert places() != before

        simulated(charging("time.time()", "import time"), watch)

    assert watch.caught is not None
    assert places() == before


def test_a_patch_of_somebody_else_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    original = time.time
    with WorldWatch():
        monkeypatch.setattr(time, "time", lambda: 7.0)

    assert time.time() == 7.0
    monkeypatch.undo()
    assert time.time() > 7.0
    time.time = original


def test_an_exact_watch_leaves_a_profiler_that_is_set_already() -> None:
    def profiler(frame: FrameType, event: str, arg: object) -> None:
        """Stands for a user's own."""

    sys.setprofile(profiler)

    assert call_caught(charging("time()", "from time import time"), is_exact=True) is None
    assert call_caught(charging("time.time()", "import time"), is_exact=True) == "time.time"
    assert sys.getprofile() is profiler


def test_a_watched_function_still_goes_by_its_name() -> None:
    with WorldWatch():
        named = [(f.__module__, f.__qualname__) for f in (time.time, random.choice, threading.Thread.start)]

    assert named == [("time", "time"), ("random", "choice"), ("threading", "Thread.start")]
