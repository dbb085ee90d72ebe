"""`async def` handlers run on the runtime's loop; the actor stays busy until the coroutine ends."""

import asyncio
import contextvars
import threading
from collections.abc import AsyncIterator, Callable
from typing import Any

from actors.testing.stepped_dispatcher import SteppedDispatcher
from flowforge.flow import Flow
from flowforge.job_errors import NoCursorError
from flowforge.job_state import JobState
from flowforge.routine import Routine
from flowforge.routine_errors import OutsideStepError
from flowforge.runtime import Runtime
from tests.engine.jobs import numbers
from tests.handlers import send

Chain = Callable[..., Flow]
Graph = Callable[..., Flow]
Run = Callable[..., JobState]


async def pass_on(self: Routine, n: int) -> None:
    await asyncio.sleep(0)
    self.emit("out", n=n)


async def source(self: Routine, n: int = 5) -> AsyncIterator[None]:
    while self.state.setdefault("next", 0) < n:
        await asyncio.sleep(0)
        self.emit("out", n=self.state["next"])
        self.state["next"] += 1
        yield


def test_an_async_handler_is_a_step_like_any_other(run: Run, chain: Chain) -> None:
    async def work(self: Routine, n: int) -> None:
        self.state["n"] = n
        await asyncio.sleep(0)
        self.emit("out", n=self.state["n"])
        self.job_state.shared_data["n"] = n

    job = run(chain(work), n=1)

    assert numbers(job, "a.out") == [1]
    assert (job.get_routine_state("a"), dict(job.shared_data)) == ({"n": 1}, {"n": 1})


def test_an_async_handler_that_raises_leaves_no_trace(run: Run, chain: Chain) -> None:
    async def work(self: Routine) -> None:
        self.state["n"] = 1
        self.emit("out", n=1)
        await asyncio.sleep(0)
        raise LookupError("late")

    job = run(chain(work))

    assert (job.status, job.outputs, job.get_routine_state("a")) == ("failed", {}, {})
    assert job.error is not None
    assert job.error.text == "late"


def test_async_handlers_keep_the_order_of_their_messages(run: Run, chain: Chain) -> None:
    async def slower_first(self: Routine, n: int) -> None:
        await asyncio.sleep(0.003 - n * 0.001)
        self.emit("out", n=n)

    assert numbers(run(chain(send, slower_first)), "b.out") == [0, 1, 2]


def test_async_handlers_of_different_actors_run_at_once(
    stepped: Runtime, dispatcher: SteppedDispatcher, graph: Graph
) -> None:
    async def slow(self: Routine) -> None:
        await asyncio.sleep(10)

    job = stepped.exec(graph(dict.fromkeys("abc", slow)))
    job.wait()

    assert (job.status, dispatcher.clock.monotonic()) == ("completed", 10.0)


def test_an_async_handler_holds_no_thread(chain: Chain) -> None:
    arrived = threading.Event()

    async def meet(self: Routine) -> None:
        await asyncio.to_thread(arrived.wait, 30)

    with Runtime(thread_pool_size=1) as runtime:
        waiting = [runtime.exec(chain(meet)) for _ in range(10)]
        runtime.exec(chain(lambda self: arrived.set()))

        assert all(job.wait(30) for job in waiting)


def test_an_async_generator_commits_at_each_yield(run: Run, chain: Chain) -> None:
    job = run(chain(source, pass_on))

    assert numbers(job, "b.out") == [0, 1, 2, 3, 4]
    assert [entry.outcome for entry in job.get_execution_history("a") if entry.slot] == ["yielded"] * 5 + ["completed"]


def test_an_async_generator_retries_at_its_committed_cursor(run: Run, chain: Chain) -> None:
    failures: list[int] = []

    async def flaky(self: Routine) -> AsyncIterator[None]:
        async for _ in source(self):
            if self.state["next"] == 3 and not failures:
                failures.append(1)
                raise LookupError
            yield

    flow = chain(flaky)
    flow.routines["a"].set_as_critical(retry_delay=0.0)

    assert numbers(run(flow), "a.out") == [0, 1, 2, 3, 4]


def test_an_async_generator_without_a_cursor_is_not_retried(run: Run, chain: Chain) -> None:
    async def careless(self: Routine) -> AsyncIterator[None]:
        self.emit("out", n=1)
        yield
        raise LookupError

    flow = chain(careless)
    flow.routines["a"].set_as_critical(retry_delay=0.0)
    job = run(flow)

    assert job.error is not None
    assert job.error.type == NoCursorError.__name__


def test_an_async_generator_given_up_is_closed(runtime: Runtime, chain: Chain) -> None:
    closed = threading.Event()

    async def tidy(self: Routine) -> AsyncIterator[None]:
        try:
            yield
            self.state["bad"] = object()
            yield
        finally:
            closed.set()

    job = runtime.exec(chain(tidy))

    assert runtime.dispatcher.wait_for(closed, 30)
    assert job.wait(30)
    assert job.status == "failed"


def test_an_async_logic_gets_its_activation(run: Run, chain: Chain) -> None:
    flow = chain(lambda self: None)
    routine = flow.routines["a"]

    async def logic(slot_data: Any, _message: Any, _job: Any) -> None:
        await asyncio.sleep(0)
        routine.emit("out", n=slot_data["input"][0]["n"])

    routine.set_logic(logic)

    assert numbers(run(flow, n=4), "a.out") == [4]


def test_a_task_that_outlives_its_step_cannot_emit(run: Run, chain: Chain) -> None:
    tasks: list[asyncio.Task[None]] = []
    errors: list[Exception] = []

    async def late(self: Routine, gate: asyncio.Event) -> None:
        await gate.wait()
        try:
            self.emit("out", n=1)
        except OutsideStepError as error:
            errors.append(error)

    async def leave(self: Routine, n: int) -> None:
        if not n:
            gates.append(asyncio.Event())
            tasks.append(asyncio.create_task(late(self, gates[0])))
        else:
            gates[0].set()
            await tasks[0]

    gates: list[asyncio.Event] = []
    job = run(chain(send, leave), n=2)

    assert "was used outside a step" in str(errors[0])
    assert job.outputs == {}


def test_a_task_inside_its_step_emits_with_it(run: Run, chain: Chain) -> None:
    async def part(self: Routine, n: int) -> None:
        self.emit("out", n=n)

    async def gather(self: Routine) -> None:
        await asyncio.gather(part(self, 1), part(self, 2))

    assert numbers(run(chain(gather)), "a.out") == [1, 2]


def test_a_cancel_reaches_an_async_handler_as_cancelled_error(runtime: Runtime, chain: Chain) -> None:
    seen: list[str] = []
    started = threading.Event()

    async def wait_long(self: Routine) -> None:
        started.set()
        try:
            await asyncio.sleep(1000)
        except asyncio.CancelledError:
            seen.append("cancelled")
            self.emit("out", n=1)
            raise

    job = runtime.exec(chain(wait_long))
    runtime.dispatcher.wait_for(started, 30)
    job.cancel()
    job.wait(30)
    runtime.shutdown(timeout=30)

    assert (job.status, job.outputs, seen) == ("cancelled", {}, ["cancelled"])


def test_an_async_handler_that_swallows_its_cancel_commits_nothing(
    stepped: Runtime, dispatcher: SteppedDispatcher, chain: Chain
) -> None:
    async def stubborn(self: Routine) -> None:
        try:
            await asyncio.sleep(10)
        except asyncio.CancelledError:
            self.emit("out", n=1)

    job = stepped.exec(chain(stubborn))
    dispatcher.run_until_idle(2)
    job.cancel()
    dispatcher.run_until_idle()

    assert (job.status, job.outputs) == ("cancelled", {})


def test_an_async_handler_sees_the_context_of_exec(runtime: Runtime, chain: Chain) -> None:
    variable = contextvars.ContextVar("variable", default="none")

    async def tell(self: Routine) -> None:
        await asyncio.sleep(0)
        self.emit("out", n=variable.get())

    token = variable.set("caller's")
    job = runtime.exec(chain(tell))
    variable.reset(token)
    job.wait()

    assert job.outputs["a.out"] == [{"n": "caller's"}]


def test_cancelling_ones_own_task_fails_the_step_alone(run: Run, chain: Chain) -> None:
    async def give_up(self: Routine) -> None:
        raise asyncio.CancelledError

    job = run(chain(give_up))

    assert job.status == "failed"
    assert job.error is not None
    assert job.error.type == "CancelledError"
