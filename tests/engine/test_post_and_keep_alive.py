"""Feeding a job from outside, and from inside of steps."""

import threading
from collections.abc import Callable
from typing import Any

import pytest

from actors.testing.stepped_dispatcher import SteppedDispatcher
from flowforge.flow import Flow
from flowforge.job_errors import (
    EntryError,
    JobFinishedError,
    PayloadTypeError,
    RuntimeClosedError,
    SlotQueueFullError,
    UnknownTargetError,
)
from flowforge.job_state import JobState
from flowforge.records import MessagePosted
from flowforge.routine import Routine
from flowforge.runtime import Runtime
from tests.engine.jobs import numbers

Chain = Callable[..., Flow]
Graph = Callable[..., Flow]
Turn = Callable[..., None]


def pass_on(self: Routine, **payload: Any) -> None:
    self.emit("out", **payload)


@pytest.fixture
def open_job(runtime: Runtime, chain: Chain) -> JobState:
    """A job of one routine that passes on, kept alive, without an entry message."""
    return runtime.exec(chain(pass_on), keep_alive=True)


class Narrow(Routine):
    """Passes on what comes into a slot for two messages."""

    def __init__(self, gate: threading.Event | None = None) -> None:
        super().__init__()
        self.define_slot("input", handler=self.work, max_queue_length=2)
        self.define_event("out")
        self.gate = gate

    def work(self, n: int) -> None:
        if self.gate is not None:
            self.gate.wait(30)
        self.emit("out", n=n)


def narrow_flow(gate: threading.Event | None = None) -> Flow:
    flow = Flow("flow")
    flow.add_routine(Narrow(gate), "a")
    return flow


def test_a_job_kept_alive_takes_posts_until_it_is_closed(runtime: Runtime, open_job: JobState) -> None:
    for n in range(5):
        runtime.post(open_job, "a", "input", {"n": n})
    open_job.close()
    open_job.wait(30)

    assert (open_job.status, numbers(open_job, "a.out")) == ("completed", [0, 1, 2, 3, 4])


def test_a_job_kept_alive_does_not_complete_while_it_is_idle(
    stepped: Runtime, dispatcher: SteppedDispatcher, chain: Chain
) -> None:
    job = stepped.exec(chain(pass_on), entry_params={"n": 1}, keep_alive=True)
    dispatcher.run_until_idle()
    idle = job.status
    job.close()

    assert idle == "running"
    assert job.wait()
    assert job.status == "completed"


def test_closing_a_job_twice_is_the_same_as_once(open_job: JobState) -> None:
    open_job.close()
    open_job.close()

    assert open_job.wait(30)
    assert open_job.status == "completed"


def test_a_closed_job_drains_before_it_ends(runtime: Runtime, open_job: JobState) -> None:
    for n in range(100):
        runtime.post(open_job, "a", "input", {"n": n})
    open_job.close()
    open_job.wait(30)

    assert numbers(open_job, "a.out") == list(range(100))


def test_shutdown_closes_and_drains_a_job_kept_alive(runtime: Runtime, open_job: JobState) -> None:
    runtime.post(open_job, "a", "input", {"n": 1})

    assert runtime.shutdown(timeout=30)

    assert (open_job.status, numbers(open_job, "a.out")) == ("completed", [1])


def test_a_post_names_its_job_by_id_too(runtime: Runtime, open_job: JobState) -> None:
    runtime.post(open_job.job_id, "a", "input", {"n": 1})
    open_job.close()
    open_job.wait(30)

    assert numbers(open_job, "a.out") == [1]


def test_a_post_without_slot_goes_where_a_job_would_enter(runtime: Runtime, open_job: JobState) -> None:
    runtime.post(open_job, "a", None, {"n": 1})
    open_job.close()
    open_job.wait(30)

    assert numbers(open_job, "a.out") == [1]


def test_of_several_posts_with_one_key_one_is_taken(runtime: Runtime, open_job: JobState) -> None:
    for n in range(3):
        runtime.post(open_job, "a", "input", {"n": n}, key="order-1")
    runtime.post(open_job, "a", "input", {"n": 3}, key="order-2")
    open_job.close()
    open_job.wait(30)

    assert numbers(open_job, "a.out") == [0, 3]


def test_a_key_is_taken_once_even_by_threads(runtime: Runtime, open_job: JobState) -> None:
    barrier = threading.Barrier(4)

    def post(n: int) -> None:
        barrier.wait()
        for key in range(25):
            runtime.post(open_job, "a", "input", {"n": n}, key=str(key))

    threads = [threading.Thread(target=post, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    open_job.close()
    open_job.wait(30)

    assert len(numbers(open_job, "a.out")) == 25


def test_a_key_is_remembered_over_a_pause(stepped: Runtime, chain: Chain) -> None:
    job = stepped.exec(chain(pass_on), keep_alive=True)
    stepped.post(job, "a", "input", {"n": 1}, key="one")
    stepped.pause_job(job)
    stepped.resume_job(job)
    stepped.post(job, "a", "input", {"n": 2}, key="one")
    job.close()
    job.wait()

    assert numbers(job, "a.out") == [1]


def test_the_id_of_a_keyed_post_depends_on_its_key_alone(stepped: Runtime, chain: Chain) -> None:
    ids = []
    for before in (0, 3):
        job = stepped.exec(chain(pass_on), job_id=f"job{before}", keep_alive=True)
        for n in range(before):
            stepped.post(job, "a", "input", {"n": n})
        stepped.post(job, "a", "input", {"n": 9}, key="nine")
        posts = [record.delivery.message for record in job.view.inbox if isinstance(record, MessagePosted)]
        ids.append({message.key: message.id for message in posts})

    assert ids[0].keys() == {"nine"}
    assert ids[0]["nine"] != ids[1]["nine"]


def test_a_post_into_a_full_slot_with_timeout_0_raises(stepped: Runtime) -> None:
    job = stepped.exec(narrow_flow(), keep_alive=True)
    for n in range(2):
        stepped.post(job, "a", "input", {"n": n}, timeout=0)

    with pytest.raises(SlotQueueFullError, match=r"The slot 'a.input' is full: 2 messages wait in it"):
        stepped.post(job, "a", "input", {"n": 9}, timeout=0)
    job.close()
    job.wait()

    assert numbers(job, "a.out") == [0, 1]


def test_a_post_into_a_full_slot_waits_for_room(stepped: Runtime) -> None:
    job = stepped.exec(narrow_flow(), keep_alive=True)

    for n in range(20):
        stepped.post(job, "a", "input", {"n": n})
    job.close()
    job.wait()

    assert numbers(job, "a.out") == list(range(20))


def test_a_post_waits_for_room_on_threads(stepped: Runtime) -> None:
    with Runtime(2) as runtime:
        job = runtime.exec(narrow_flow(), keep_alive=True)
        for n in range(500):
            runtime.post(job, "a", "input", {"n": n})
        job.close()
        job.wait(30)

    assert numbers(job, "a.out") == list(range(500))


def test_a_post_that_waited_too_long_raises(stepped: Runtime, dispatcher: SteppedDispatcher) -> None:
    flow = narrow_flow()
    flow.routines["a"].define_slot("wrong", handler=lambda: 1 / 0)
    flow.routines["a"].set_as_critical(retry_delay=60.0)
    job = stepped.exec(flow, keep_alive=True)
    stepped.post(job, "a", "wrong", {})
    for n in range(2):
        stepped.post(job, "a", "input", {"n": n})

    with pytest.raises(SlotQueueFullError, match=r"none left within 5.0 seconds. Post later"):
        stepped.post(job, "a", "input", {"n": 2}, timeout=5.0)
    assert dispatcher.clock.monotonic() == 5.0


def test_a_post_that_waits_is_told_when_the_job_is_cancelled() -> None:
    gate = threading.Event()
    errors: list[Exception] = []

    def post() -> None:
        try:
            for n in range(9):
                runtime.post(job, "a", "input", {"n": n})
        except JobFinishedError as error:
            errors.append(error)

    with Runtime(2) as runtime:
        job = runtime.exec(narrow_flow(gate), keep_alive=True)
        poster = threading.Thread(target=post)
        poster.start()
        job.cancel()
        poster.join(30)
        gate.set()

    assert "is cancelled, so it cannot take a post" in str(errors[0])


def test_a_post_to_a_finished_job_is_refused(runtime: Runtime, open_job: JobState) -> None:
    open_job.close()
    open_job.wait(30)

    with pytest.raises(JobFinishedError, match=r"is completed, so it cannot take a post. Start it with keep_alive"):
        runtime.post(open_job, "a", "input", {"n": 1})


def test_no_post_that_was_accepted_is_lost(chain: Chain) -> None:
    accepted = [0]

    def post(runtime: Runtime, job: JobState) -> None:
        try:
            for n in range(3_000):
                runtime.post(job, "a", "input", {"n": n})
                accepted[0] += 1
        except JobFinishedError:
            pass

    worked = 0
    with Runtime(2) as runtime:
        for _ in range(20):
            job = runtime.exec(chain(lambda self, n: self.emit("out", n=n)), keep_alive=True)
            poster = threading.Thread(target=post, args=(runtime, job))
            poster.start()
            job.close()
            poster.join()
            job.wait(30)
            worked += len(numbers(job, "a.out"))

    assert worked == accepted[0]


@pytest.mark.parametrize("payload", [None, [1], "text", {1: 2}])
def test_a_payload_must_be_a_dict_with_string_keys(runtime: Runtime, open_job: JobState, payload: Any) -> None:
    with pytest.raises(PayloadTypeError, match=r"The payload for the slot a.input is .* whose keys are strings"):
        runtime.post(open_job, "a", "input", payload)


def test_entry_params_must_be_a_dict_with_string_keys(runtime: Runtime, chain: Chain) -> None:
    with pytest.raises(PayloadTypeError, match=r"The payload for the entry of the flow 'flow' is"):
        runtime.exec(chain(pass_on), entry_params={1: 2})  # type: ignore[dict-item]  # the mistake under test

    assert runtime.list_jobs() == []


def test_a_post_to_an_unknown_routine_or_slot_lists_the_choices(runtime: Runtime, open_job: JobState) -> None:
    with pytest.raises(UnknownTargetError, match=r"routine in the flow 'flow' named 'x'. Give one of \['a'\]"):
        runtime.post(open_job, "x", "input", {})
    with pytest.raises(UnknownTargetError, match=r"slot of the routine 'a' named 'x'. Give one of \['input'\]"):
        runtime.post(open_job, "a", "x", {})


def test_a_post_without_slot_to_an_unclear_one_is_an_error(runtime: Runtime, graph: Graph) -> None:
    routine = Routine()
    routine.define_slot("left", handler=lambda: None)
    routine.define_slot("right", handler=lambda: None)
    job = runtime.exec(graph({"a": routine}), keep_alive=True)

    with pytest.raises(EntryError, match=r"Give one of \['left', 'right'\]"):
        runtime.post(job, "a", None, {})


def test_exec_after_shutdown_is_refused(runtime: Runtime, chain: Chain) -> None:
    runtime.shutdown()

    with pytest.raises(RuntimeClosedError, match=r"was shut down, so it cannot start a job. Create a new Runtime"):
        runtime.exec(chain(pass_on))


def test_a_posted_message_keeps_its_payload_whatever_the_sender_does(runtime: Runtime, open_job: JobState) -> None:
    payload = {"n": 1}
    runtime.post(open_job, "a", "input", payload)
    payload["n"] = 2
    open_job.close()
    open_job.wait(30)

    assert numbers(open_job, "a.out") == [1]
