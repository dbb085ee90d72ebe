"""Faults that were found in what watches a job: output handlers, streams, logs, waiters."""

import asyncio
import logging
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from actors.testing.stepped_dispatcher import SteppedDispatcher
from flowforge.flow import Flow
from flowforge.job_errors import WaitInStepError
from flowforge.job_state import JobState
from flowforge.option_errors import OptionError
from flowforge.options import RuntimeOptions
from flowforge.routine import Routine
from flowforge.runtime import Runtime

Chain = Callable[..., Flow]
Run = Callable[..., JobState]

ENDED = 30.0


def send(self: Routine, n: int) -> None:
    self.send_output("number", n=n)


def output_threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if "outputs" in thread.name]


def wait_until_ended(threads: list[threading.Thread]) -> bool:
    for thread in threads:
        thread.join(ENDED)
    return not any(thread.is_alive() for thread in threads)


def test_reading_a_stream_inside_a_handler_raises(run: Run, chain: Chain) -> None:
    def read(self: Routine) -> None:
        for _ in self.job_state.subscribe():
            pass

    job = run(chain(read))

    assert job.error is not None
    assert (job.status, job.error.type) == ("failed", "WaitInStepError")
    assert "the records of the job" in job.error.text


def test_what_has_arrived_of_another_jobs_stream_is_read_inside_a_handler(stepped: Runtime, chain: Chain) -> None:
    ended = stepped.exec(chain(lambda self: None))
    ended.wait()
    read: list[int] = []
    job = stepped.exec(chain(lambda self: read.append(len(list(ended.subscribe())))))
    job.wait()

    assert (job.status, read) == ("completed", [3])


def test_a_stream_of_a_kept_alive_job_holds_its_last_step_while_it_idles(stepped: Runtime, chain: Chain) -> None:
    job = stepped.exec(chain(send), keep_alive=True)
    stream = job.subscribe()
    stepped.post(job, "a", "input", {"n": 1})
    job.wait(1.0)

    assert [type(next(stream)).__name__ for _ in range(3)] == ["JobStarted", "MessagePosted", "StepCommitted"]


def test_a_stream_that_nobody_reads_any_more_is_told_nothing(stepped: Runtime, chain: Chain) -> None:
    job = stepped.exec(chain(send), keep_alive=True)
    for n in range(20):
        stream = job.subscribe()
        stepped.post(job, "a", "input", {"n": n})
        next(stream)
        del stream
    stepped.post(job, "a", "input", {"n": 20})
    job.wait(1.0)

    assert job.view.listeners == ()


def test_a_stream_read_to_its_end_is_told_nothing_more(run: Run, chain: Chain) -> None:
    job = run(chain(send), n=1)
    list(job.subscribe())

    assert job.view.listeners == ()


@pytest.fixture
def nosy() -> Iterator[list[JobState]]:
    """Jobs that a log handler looks at whenever something is logged."""

    class Nosy(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            seen.extend((job.status, len(job.dead_letters), len(job.execution_history)) for job in jobs)

    jobs: list[JobState] = []
    seen: list[Any] = []
    handler = Nosy()
    logging.getLogger("flowforge").addHandler(handler)
    yield jobs
    logging.getLogger("flowforge").removeHandler(handler)
    assert seen


def test_a_log_handler_that_looks_at_the_job_leaves_its_history_in_order(chain: Chain, nosy: list[JobState]) -> None:
    def pass_on(self: Routine, n: int) -> None:
        self.emit("out", n=n)

    options = RuntimeOptions(max_history=5, max_outputs=3)
    with Runtime(options=options, dispatcher=SteppedDispatcher()) as runtime:
        job = runtime.exec(chain(pass_on), keep_alive=True)
        nosy.append(job)
        for n in range(12):
            runtime.post(job, "a", "input", {"n": n})
        job.close()
        job.wait()

    positions = [record.position for record in job.view.history]
    assert positions == list(range(positions[0], positions[0] + 5))


def test_an_output_handler_may_be_replaced_from_within_itself(chain: Chain) -> None:
    def first(_job: str, _routine: str, _kind: str, data: dict[str, Any]) -> None:
        handled.append(("first", data["n"]))
        job.set_output_handler(lambda _job, _routine, _kind, data: handled.append(("second", data["n"])))
        was_replaced.set()

    handled: list[tuple[str, int]] = []
    was_replaced = threading.Event()
    with Runtime(2) as runtime:
        job = runtime.exec(chain(send), keep_alive=True)
        job.set_output_handler(first)
        runtime.post(job, "a", "input", {"n": 1})
        assert was_replaced.wait(ENDED)
        runtime.post(job, "a", "input", {"n": 2})
        job.close()
        assert job.wait(ENDED)
        assert wait_until_ended(output_threads())

    assert handled == [("first", 1), ("second", 2)]


def test_the_thread_of_an_output_handler_ends_with_its_job(chain: Chain) -> None:
    with Runtime(2) as runtime:
        for n in range(3):
            job = runtime.exec(chain(send), keep_alive=True)
            job.set_output_handler(lambda *output: None)
            runtime.post(job, "a", "input", {"n": n})
            job.close()
            assert job.wait(ENDED)

        assert wait_until_ended(output_threads())


def test_outputs_of_an_idle_job_are_handled_at_once(chain: Chain) -> None:
    with Runtime(2) as runtime:
        job = runtime.exec(chain(send), keep_alive=True)
        for n in range(3):
            has_arrived = threading.Event()
            job.set_output_handler(lambda *output, event=has_arrived: event.set())
            runtime.post(job, "a", "input", {"n": n})

            assert has_arrived.wait(ENDED)


def test_what_is_no_output_handler_is_refused_at_once(run: Run, chain: Chain) -> None:
    job = run(chain(send), n=1)

    with pytest.raises(OptionError, match=r"42"):
        job.set_output_handler(42)  # type: ignore[arg-type]  # the mistake under test


def test_an_output_handler_given_at_rest_gets_the_outputs_of_the_resume(stepped: Runtime, chain: Chain) -> None:
    handled: list[int] = []
    flow = chain(send)
    job = stepped.exec(flow, entry_params={"n": 1})
    job.pause()
    loaded = JobState.deserialize(job.serialize())
    loaded.set_output_handler(lambda _job, _routine, _kind, data: handled.append(data["n"]))
    stepped.exec(flow, job_state=loaded)
    loaded.wait()

    assert wait_until_ended(output_threads())
    assert handled == [1]


def test_a_wait_async_that_timed_out_is_told_nothing_later(chain: Chain, caplog: pytest.LogCaptureFixture) -> None:
    may_end = threading.Event()
    with Runtime(2) as runtime:
        job = runtime.exec(chain(lambda self: may_end.wait(ENDED)))
        assert not asyncio.run(job.wait_async(0.01))
        assert job.live is not None
        listeners = job.live.rest_listeners
        may_end.set()
        assert job.wait(ENDED)

    assert listeners == []
    assert [record for record in caplog.records if record.levelno >= logging.ERROR] == []


def test_a_wait_async_that_is_cancelled_is_told_nothing_later(chain: Chain) -> None:
    async def wait_and_leave(job: JobState) -> None:
        waiting = asyncio.ensure_future(job.wait_async())
        await asyncio.sleep(0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting

    may_end = threading.Event()
    with Runtime(2) as runtime:
        job = runtime.exec(chain(lambda self: may_end.wait(ENDED)))
        asyncio.run(wait_and_leave(job))
        assert job.live is not None

        assert job.live.rest_listeners == []
        may_end.set()


def test_waiting_for_the_records_of_a_job_in_a_step_names_the_job(stepped: Runtime, chain: Chain) -> None:
    def read(self: Routine) -> None:
        with pytest.raises(WaitInStepError, match=r"the records of the job 'one'"):
            list(self.job_state.subscribe())

    job = stepped.exec(chain(read), job_id="one")
    job.wait()

    assert job.status == "completed"
