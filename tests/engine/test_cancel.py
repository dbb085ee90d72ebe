"""Cancelling ends a job for good; a step that ends after it commits nothing."""

import asyncio
import threading
from collections.abc import Callable, Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.testing.stepped_dispatcher import SteppedDispatcher
from flowforge.flow import Flow
from flowforge.records import JobMoved
from flowforge.routine import Routine
from flowforge.runtime import Runtime
from tests.engine.jobs import numbers
from tests.handlers import send

Chain = Callable[..., Flow]


def pass_on(self: Routine, n: int = 0) -> None:
    self.increment_stat("calls")
    self.emit("out", n=n)


@pytest.mark.parametrize("steps", range(14))
def test_after_a_cancel_at_any_step_nothing_changes(
    stepped: Runtime, dispatcher: SteppedDispatcher, chain: Chain, steps: int
) -> None:
    job = stepped.exec(chain(send, pass_on, pass_on))
    dispatcher.run_until_idle(steps)

    job.cancel()
    before = (job.status, job.outputs, job.routine_states, job.data.position)
    dispatcher.run_until_idle()

    assert (job.status, job.outputs, job.routine_states, job.data.position) == before
    assert job.is_resting


def test_a_cancelled_job_tells_its_status_and_keeps_its_messages(
    stepped: Runtime, chain: Chain, turn: Callable[..., None]
) -> None:
    job = stepped.exec(chain(send, pass_on))
    turn("a", "a")

    stepped.cancel_job(job, "enough")

    assert job.status == "cancelled"
    assert len(job.data.pending["b", "input"]) == 3


def test_the_cancel_is_one_record_with_its_reason(stepped: Runtime, chain: Chain) -> None:
    job = stepped.exec(chain(send))
    job.cancel("enough")
    job.cancel("again")
    job.wait()

    moves = [(record.status, record.reason) for record in job.view.history if isinstance(record, JobMoved)]
    assert moves == [("cancelled", "enough")]


def test_cancel_reaches_a_sync_handler_through_cancelled(chain: Chain) -> None:
    runs, told = threading.Event(), threading.Event()

    def work(self: Routine) -> None:
        runs.set()
        while not self.cancelled:
            told.wait(0.001)
        told.set()
        self.emit("out", n=1)

    with Runtime(2) as runtime:
        job = runtime.exec(chain(work))
        runs.wait(30)
        (still,) = job.cancel()
        assert told.wait(30)
        job.wait(30)

    assert still.routine_id == "a"
    assert (job.status, job.outputs) == ("cancelled", {})


def test_a_sync_handler_is_not_cancelled_before(stepped: Runtime, chain: Chain) -> None:
    job = stepped.exec(chain(lambda self: self.emit("out", cancelled=self.cancelled)))
    job.wait()

    assert job.outputs["a.out"] == [{"cancelled": False}]


def test_wait_returns_while_a_cancelled_handler_still_runs(chain: Chain) -> None:
    runs, may_end = threading.Event(), threading.Event()

    def block(self: Routine) -> None:
        runs.set()
        may_end.wait(30)

    with Runtime(2) as runtime:
        job = runtime.exec(chain(block))
        runs.wait(30)
        job.cancel()
        has_rested = job.wait(30)
        may_end.set()

    assert has_rested


def test_cancel_reports_nothing_if_nothing_runs(stepped: Runtime, chain: Chain) -> None:
    job = stepped.exec(chain(send))

    assert job.cancel() == []


def test_cancelling_a_finished_job_does_nothing(stepped: Runtime, chain: Chain) -> None:
    job = stepped.exec(chain(send))
    job.wait()

    assert job.cancel() == []
    assert job.status == "completed"


def test_a_flow_cancels_all_its_live_jobs(stepped: Runtime, chain: Chain) -> None:
    flow = chain(send)
    jobs = [stepped.exec(flow) for _ in range(3)]

    assert flow.cancel("all") == []

    assert [job.status for job in jobs] == ["cancelled"] * 3


def test_a_flow_cancels_one_job_if_told(stepped: Runtime, chain: Chain) -> None:
    flow = chain(send)
    jobs = [stepped.exec(flow) for _ in range(2)]

    flow.cancel(job_state=jobs[1])
    jobs[0].wait()

    assert [job.status for job in jobs] == ["completed", "cancelled"]


def test_cancelling_a_flow_without_a_live_job_does_nothing(chain: Chain) -> None:
    flow = chain(send)
    flow.execute()

    assert flow.cancel() == []


def test_a_job_cancelled_in_its_own_step_keeps_nothing_of_it(stepped: Runtime, chain: Chain) -> None:
    def cancel(self: Routine) -> None:
        self.emit("out", n=1)
        self.job_state.cancel("from inside")

    job = stepped.exec(chain(cancel))
    job.wait()

    assert (job.status, job.outputs) == ("cancelled", {})


def test_a_cancelled_generator_commits_no_further_segment(
    stepped: Runtime, dispatcher: SteppedDispatcher, chain: Chain
) -> None:
    def source(self: Routine) -> Iterator[None]:
        for number in range(10):
            self.state["n"] = number
            self.emit("out", n=number)
            yield

    job = stepped.exec(chain(source))
    dispatcher.run_until_idle(4)
    job.cancel()
    seen = numbers(job, "a.out")
    dispatcher.run_until_idle()

    assert numbers(job, "a.out") == seen != list(range(10))


def test_a_cancel_of_many_async_steps_reaches_them_all(
    stepped: Runtime, dispatcher: SteppedDispatcher, graph: Callable[..., Flow]
) -> None:
    cancelled: list[str] = []

    async def slow(self: Routine) -> None:
        try:
            await asyncio.sleep(1000)
        except asyncio.CancelledError:
            cancelled.append(self.routine_id or "")
            raise

    job = stepped.exec(graph(dict.fromkeys("abc", slow)))
    while dispatcher.step():
        pass
    still = job.cancel()
    dispatcher.run_until_idle()

    assert sorted(step.routine_id for step in still) == ["a", "b", "c"]
    assert sorted(cancelled) == ["a", "b", "c"]
    assert dispatcher.clock.monotonic() == 0.0


@given(st.lists(st.integers(0, 5), max_size=40), st.sampled_from(["cancel", "pause"]))
def test_a_command_races_commits_and_no_effect_is_half_there(choices: list[int], command: str) -> None:
    dispatcher = SteppedDispatcher()
    with Runtime(dispatcher=dispatcher) as runtime:
        job = runtime.exec(_fan_out_flow())
        for choice in choices:
            ready = len(dispatcher.choices())
            if not ready:
                break
            dispatcher.step(choice % ready)
        if command == "cancel":
            job.cancel()
        else:
            runtime.pause_job(job)
        dispatcher.run_until_idle()
        states, sent, worked = job.routine_states, dict(job.shared_data), len(numbers(job, "c.out"))

        assert states.get("b", {}).get("calls", 0) == sent.get("b", 0)
        assert states.get("c", {}).get("calls", 0) == sent.get("c", 0) == worked
        waiting = sum(len(messages) for messages in job.data.pending.values())
        assert _in_flight(sent) == (waiting if job.status != "completed" else 0)


def _fan_out_flow() -> Flow:
    flow = Flow("flow")
    for name, copies in (("a", 3), ("b", 2), ("c", 1)):
        flow.add_routine(_Copier(copies), name)
    flow.connect("a.out", "b.input")
    flow.connect("b.out", "c.input")
    return flow


class _Copier(Routine):
    """Emits some copies of what comes, and counts in its state and in the shared data alike."""

    def __init__(self, copies: int) -> None:
        super().__init__()
        self.define_slot("input", handler=self.work)
        self.define_event("out")
        self.copies = copies

    def work(self, n: int = 0) -> None:
        for _ in range(self.copies):
            self.emit("out", n=n)
        self.increment_stat("calls")
        self.job_state.shared_data.add(self.routine_id or "")


def _in_flight(calls: dict[str, int]) -> int:
    a, b, c = (calls.get(name, 0) for name in "abc")
    return (1 - a) + (3 * a - b) + (2 * b - c)
