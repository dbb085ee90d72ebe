"""Pausing: running steps finish, and the JobState then holds every queued message."""

import asyncio
import threading
from collections.abc import Callable, Iterator

import pytest

from actors.testing.stepped_dispatcher import SteppedDispatcher
from flowforge.flow import Flow
from flowforge.job_errors import FlowChangedError, JobFinishedError, WrongFlowError
from flowforge.records import JobMoved, RoutineRestarted
from flowforge.routine import Routine
from flowforge.runtime import Runtime
from tests.engine.jobs import numbers
from tests.handlers import pass_on, send

Chain = Callable[..., Flow]
Graph = Callable[..., Flow]
Turn = Callable[..., None]


def test_a_running_step_finishes_before_the_pause(stepped: Runtime, chain: Chain, turn: Turn) -> None:
    job = stepped.exec(chain(send, pass_on))
    turn("a")

    assert stepped.pause_job(job) == []

    assert job.status == "paused"
    assert [m.payload["n"] for m in job.data.pending["b", "input"]] == [0, 1, 2]


def test_no_other_step_starts_after_the_request(stepped: Runtime, chain: Chain, turn: Turn) -> None:
    job = stepped.exec(chain(send, pass_on))
    turn("a", "a", "b", "b", "b")

    stepped.pause_job(job)

    assert numbers(job, "b.out") == [0, 1]
    assert [m.payload["n"] for m in job.data.pending["b", "input"]] == [2]


@pytest.mark.parametrize("steps", range(14))
def test_a_pause_after_any_step_loses_and_doubles_nothing(
    stepped: Runtime, dispatcher: SteppedDispatcher, chain: Chain, steps: int
) -> None:
    job = stepped.exec(chain(send, pass_on, pass_on))
    dispatcher.run_until_idle(steps)

    stepped.pause_job(job)
    if job.status == "paused":
        stepped.resume_job(job).wait()

    assert (job.status, numbers(job, "c.out")) == ("completed", [0, 1, 2])


def test_a_paused_job_tells_reason_and_checkpoint(stepped: Runtime, chain: Chain) -> None:
    job = stepped.exec(chain(send))

    stepped.pause_job(job, "maintenance", {"page": 4})

    assert (job.pause_reason, job.checkpoint) == ("maintenance", {"page": 4})


def test_the_reason_is_gone_after_the_resume(stepped: Runtime, chain: Chain) -> None:
    job = stepped.exec(chain(send))
    stepped.pause_job(job, "maintenance")
    stepped.resume_job(job).wait()

    assert (job.status, job.pause_reason) == ("completed", None)


def test_a_pause_inside_a_step_acts_after_its_commit(runtime: Runtime, chain: Chain) -> None:
    def send_and_pause(self: Routine) -> None:
        assert runtime.pause_job(self.job_state, "from inside") == []
        send(self)

    job = runtime.exec(chain(send_and_pause, pass_on))
    job.wait(30)

    assert (job.status, job.pause_reason) == ("paused", "from inside")
    # Between the commit and what is done after it, others may run.
    assert len(job.data.pending["b", "input"]) + len(numbers(job, "b.out")) == 3


def test_after_a_pause_inside_a_step_its_routine_takes_no_more(runtime: Runtime, chain: Chain) -> None:
    def pause_at_one(self: Routine, n: int) -> None:
        if n == 1:
            runtime.pause_job(self.job_state)
        self.emit("out", n=n)

    job = runtime.exec(chain(send, pause_at_one))
    job.wait(30)

    assert (job.status, numbers(job, "b.out")) == ("paused", [0, 1])


def test_a_pause_inside_a_step_that_raises_does_not_take_place(runtime: Runtime, chain: Chain) -> None:
    def pause_and_raise(self: Routine) -> None:
        runtime.pause_job(self.job_state)
        raise LookupError

    flow = chain(pause_and_raise)
    flow.routines["a"].set_as_optional()
    job = runtime.exec(flow)
    job.wait(30)

    assert job.status == "completed"


def test_a_flow_pauses_all_its_live_jobs(stepped: Runtime, chain: Chain) -> None:
    flow, other = chain(send), chain(send)
    jobs = [stepped.exec(flow) for _ in range(3)]
    bystander = stepped.exec(other)

    flow.pause("all")

    assert [job.status for job in jobs] == ["paused"] * 3
    assert bystander.status != "paused"


def test_a_flow_pauses_one_job_if_told(stepped: Runtime, chain: Chain) -> None:
    flow = chain(send)
    jobs = [stepped.exec(flow) for _ in range(2)]

    flow.pause(job_state=jobs[1])
    jobs[0].wait()

    assert [job.status for job in jobs] == ["completed", "paused"]


def test_pausing_a_flow_without_a_live_job_does_nothing(chain: Chain) -> None:
    flow = chain(send)
    job = flow.execute()

    assert flow.pause() == []
    assert flow.pause(job_state=job) == []
    assert job.status == "completed"


def test_pausing_a_finished_job_does_nothing(runtime: Runtime, chain: Chain) -> None:
    job = runtime.exec(chain(send))
    job.wait(30)

    assert runtime.pause_job(job) == []
    assert job.status == "completed"


def test_resume_continues_in_mid_graph(stepped: Runtime, chain: Chain, turn: Turn) -> None:
    job = stepped.exec(chain(send, pass_on, pass_on))
    turn("a", "a", "b", "b", "b")
    stepped.pause_job(job)
    paused_with = {key: len(messages) for key, messages in job.data.pending.items()}
    stepped.resume_job(job).wait()

    assert sum(paused_with.values()) == 3
    assert numbers(job, "c.out") == [0, 1, 2]


def test_a_job_is_paused_and_resumed_many_times(stepped: Runtime, dispatcher: SteppedDispatcher, chain: Chain) -> None:
    job = stepped.exec(chain(send, pass_on, pass_on), entry_params={"n": 10})
    while job.status != "completed":
        dispatcher.run_until_idle(5)
        stepped.pause_job(job)
        if job.status == "paused":
            stepped.resume_job(job)

    assert numbers(job, "c.out") == list(range(10))


def test_each_resume_has_a_new_epoch_and_is_a_record(stepped: Runtime, chain: Chain) -> None:
    job = stepped.exec(chain(send))
    stepped.pause_job(job)
    stepped.resume_job(job).wait()

    moves = [(record.status, record.epoch) for record in job.view.history if isinstance(record, JobMoved)]
    assert [status for status, _ in moves] == ["paused", "running", "completed"]
    assert moves[0][1] < moves[1][1]


def test_resuming_a_completed_job_is_an_error(runtime: Runtime, chain: Chain) -> None:
    job = runtime.exec(chain(send))
    job.wait(30)

    with pytest.raises(JobFinishedError, match=r"is completed, so it cannot be resumed. Start a new job"):
        runtime.resume_job(job)


def test_resuming_a_cancelled_job_is_an_error(runtime: Runtime, chain: Chain) -> None:
    job = runtime.exec(chain(send), keep_alive=True)
    job.cancel()
    job.wait(30)

    with pytest.raises(JobFinishedError, match=r"is cancelled, so it cannot be resumed. Start a new job"):
        runtime.resume_job(job)


def test_resuming_a_running_job_is_an_error(runtime: Runtime, chain: Chain) -> None:
    job = runtime.exec(chain(send), keep_alive=True)

    with pytest.raises(JobFinishedError, match=r"is running, so it cannot be resumed. A job that runs goes on"):
        runtime.resume_job(job)


def test_resuming_with_another_flow_is_an_error(stepped: Runtime, chain: Chain) -> None:
    job = stepped.exec(chain(send))
    stepped.pause_job(job)
    other = Flow("other")
    other.add_routine(Routine(), "a")
    other.routines["a"].define_slot("input", handler=lambda: None)

    with pytest.raises(
        WrongFlowError, match=r"belongs to the flow 'flow', not to 'other'. Resume it with its own flow"
    ):
        stepped.exec(other, job_state=job)


def test_a_paused_job_may_be_resumed_in_another_runtime(stepped: Runtime, chain: Chain) -> None:
    flow = chain(send, pass_on)
    job = stepped.exec(flow)
    stepped.pause_job(job)

    with Runtime(dispatcher=SteppedDispatcher()) as other:
        other.exec(flow, job_state=job)
        job.wait()

    assert (job.status, numbers(job, "b.out")) == ("completed", [0, 1, 2])


def test_an_async_step_finishes_before_the_pause(stepped: Runtime, dispatcher: SteppedDispatcher, chain: Chain) -> None:
    async def slow(self: Routine) -> None:
        await asyncio.sleep(10)
        self.emit("out", n=1)

    job = stepped.exec(chain(slow, pass_on))
    dispatcher.run_until_idle(3)

    assert stepped.pause_job(job) == []

    assert (job.status, dispatcher.clock.monotonic()) == ("paused", 10.0)
    assert len(job.data.pending["b", "input"]) == 1


def test_a_pause_with_a_timeout_cancels_async_handlers_which_stay_first(
    stepped: Runtime, dispatcher: SteppedDispatcher, chain: Chain
) -> None:
    sleeps = [1000.0, 0.0]

    async def slow(self: Routine) -> None:
        self.state["calls"] = self.state.get("calls", 0) + 1
        await asyncio.sleep(sleeps.pop(0))
        self.emit("out", n=1)

    job = stepped.exec(chain(slow))
    dispatcher.run_until_idle(2)
    stepped.pause_job(job, timeout=5.0)
    job.wait()
    paused = (job.status, len(job.data.pending["a", "input"]), dispatcher.clock.monotonic())
    stepped.resume_job(job).wait()

    assert paused == ("paused", 1, 5.0)
    assert (job.status, numbers(job, "a.out"), job.get_routine_state("a")) == ("completed", [1], {"calls": 1})


def test_a_pause_with_a_timeout_reports_sync_handlers(chain: Chain) -> None:
    may_end, runs = threading.Event(), threading.Event()

    def block(self: Routine) -> None:
        runs.set()
        may_end.wait(30)
        self.emit("out", n=1)

    with Runtime(2) as runtime:
        job = runtime.exec(chain(block, pass_on))
        runs.wait(30)
        (still,) = runtime.pause_job(job, timeout=0.02)
        may_end.set()
        assert job.wait(30)

    assert (still.routine_id, still.job_id) == ("a", job.job_id)
    assert still.seconds > 0
    assert (job.status, len(job.data.pending["b", "input"])) == ("paused", 1)


def test_a_pause_on_threads_loses_and_doubles_nothing(chain: Chain) -> None:
    def source(self: Routine) -> Iterator[None]:
        while self.state.setdefault("next", 0) < 2000:
            self.emit("out", n=self.state["next"])
            self.state["next"] += 1
            yield

    with Runtime(4) as runtime:
        job = runtime.exec(chain(source, pass_on, pass_on))
        for _ in range(10):
            runtime.pause_job(job)
            if job.status == "paused":
                runtime.resume_job(job)
        assert job.wait(30)

    assert numbers(job, "c.out") == list(range(2000))


def test_a_post_to_a_paused_job_is_refused(stepped: Runtime, chain: Chain) -> None:
    job = stepped.exec(chain(pass_on), keep_alive=True)
    stepped.pause_job(job)

    with pytest.raises(JobFinishedError, match=r"is paused, so it cannot take a post"):
        stepped.post(job, "a", "input", {"n": 1})


def test_a_paused_job_may_be_cancelled(stepped: Runtime, chain: Chain) -> None:
    job = stepped.exec(chain(pass_on), keep_alive=True)
    stepped.pause_job(job)

    stepped.cancel_job(job, "no more")

    assert job.status == "cancelled"


def careless(self: Routine) -> Iterator[None]:
    for number in range(5):
        self.emit("out", n=number)
        yield


def test_a_source_without_a_cursor_cannot_be_paused_inside_a_step(stepped: Runtime, graph: Graph) -> None:
    def pause(self: Routine, n: int) -> None:
        stepped.pause_job(self.job_state)

    job = stepped.exec(graph({"a": careless, "b": pause}, "a.out -> b.input"), "a")
    job.wait()

    assert job.error is not None
    assert job.error.text.startswith("The generator of the routine 'a' cannot be paused: it yielded after emitting")


def test_a_source_that_loses_its_cursor_before_the_pause_commits_breaks_nothing(
    stepped: Runtime, graph: Graph, turn: Turn
) -> None:
    def pause(self: Routine) -> None:
        stepped.pause_job(self.job_state)

    job = stepped.exec(graph({"a": careless, "b": pause}))
    turn("a", "b", "a", "a", "b")
    job.wait()

    assert job.status in {"paused", "completed"}
    assert all(record.routine != "b" for record in job.view.history if isinstance(record, RoutineRestarted))


@pytest.mark.parametrize(
    ("change", "difference"),
    [
        (
            lambda flow: flow.remove_routine("b"),
            r"the routine 'b' is gone with its slot 'input', and 3 messages wait there\.",
        ),
        (
            lambda flow: flow.routines["b"].slots.pop("input"),
            r"the slot 'b.input' is gone, and 3 messages wait there\.",
        ),
    ],
)
def test_a_flow_that_no_longer_fits_is_refused_with_the_difference(
    stepped: Runtime, chain: Chain, turn: Turn, change: Callable[[Flow], object], difference: str
) -> None:
    job = stepped.exec(chain(send, pass_on))
    turn("a", "a")
    stepped.pause_job(job)
    changed = chain(send, pass_on)
    changed.disconnect("a.out", "b.input")
    changed.routines["b"].define_slot("other", handler=lambda: None)
    change(changed)

    with pytest.raises(FlowChangedError, match=difference):
        stepped.exec(changed, job_state=job)
