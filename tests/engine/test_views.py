"""What a JobState shows of its job: derived from the records, complete before a waiter wakes, bounded."""

import logging
from collections.abc import Callable
from typing import Any

import pytest

from flowforge.flow import Flow
from flowforge.job_state import JobState
from flowforge.job_status import JobStatus
from flowforge.options import RuntimeOptions
from flowforge.output_handler import CallbackOutputHandler
from flowforge.records import JobStarted, StepCommitted
from flowforge.routine import Routine
from flowforge.runtime import Runtime
from tests.handlers import pass_on, send

Chain = Callable[..., Flow]
Run = Callable[..., JobState]


def test_the_history_holds_calls_and_events_in_order(run: Run, chain: Chain) -> None:
    job = run(chain(send, pass_on), n=2)

    told = [(entry.routine_id, entry.slot, entry.event, entry.payload) for entry in job.execution_history]
    assert told == [
        ("a", "input", None, {"n": 2}),
        ("a", None, "out", {"n": 0}),
        ("a", None, "out", {"n": 1}),
        ("b", "input", None, {"n": 0}),
        ("b", None, "out", {"n": 0}),
        ("b", "input", None, {"n": 1}),
        ("b", None, "out", {"n": 1}),
    ]


def test_one_routines_history_is_its_part(run: Run, chain: Chain) -> None:
    job = run(chain(send, pass_on), n=2)

    assert {entry.routine_id for entry in job.get_execution_history("b")} == {"b"}
    assert len(job.get_execution_history("b")) == 4
    assert job.get_execution_history() == job.execution_history


def test_the_view_is_complete_when_a_waiter_wakes(runtime: Runtime, chain: Chain) -> None:
    flow = chain(send, pass_on)
    for _ in range(30):
        job = runtime.exec(flow, entry_params={"n": 20})
        job.wait(30)

        assert len(job.view.inbox) == 0
        assert len(job.outputs["b.out"]) == 20


def test_the_view_is_complete_when_an_async_waiter_wakes(stepped: Runtime, chain: Chain) -> None:
    job = stepped.exec(chain(send, pass_on))
    woken: list[Any] = []
    job.live.when_rested(lambda: woken.append((job.status, len(job.view.inbox))))  # type: ignore[union-attr]
    job.wait()

    assert woken == [("completed", 0)]


def test_the_routine_status_tells_its_counts(run: Run, chain: Chain) -> None:
    job = run(chain(send, pass_on), n=5)

    facts = job.routine_status("b")
    assert (facts["status"], facts["calls"], facts["errors"], facts["last_error"]) == ("completed", 5, 0, None)


def test_the_status_of_a_routine_that_did_nothing_is_idle(stepped: Runtime, chain: Chain) -> None:
    job = stepped.exec(chain(send, pass_on))

    assert job.routine_status("b")["status"] == "idle"


def test_the_tracker_counts_calls_and_messages(run: Run, chain: Chain) -> None:
    job = run(chain(send, pass_on), n=5)

    figures = job.tracker.statistics()
    assert (figures.routines["b"].calls, figures.routines["b"].errors) == (5, 0)
    assert figures.connections == {"a.out -> b.input": 5}
    assert figures.steps == 6


def test_a_status_equals_its_text(run: Run, chain: Chain) -> None:
    job = run(chain(send))

    assert job.status == "completed"
    assert job.status is JobStatus.COMPLETED
    assert repr(job) == f"<JobState '{job.job_id}' of 'flow': completed>"


def test_positions_have_no_gap_and_epochs_do_not_fall(run: Run, chain: Chain) -> None:
    job = run(chain(send, pass_on), n=20)

    records = list(job.view.history)
    assert isinstance(records[0], JobStarted)
    assert [record.position for record in records] == list(range(1, len(records) + 1))
    assert [record.epoch for record in records] == sorted(record.epoch for record in records)


def bounded_runtime(**options: Any) -> Runtime:
    return Runtime(options=RuntimeOptions(thread_pool_size=2, **options))


def test_the_history_is_bounded_and_counts_what_it_let_go(chain: Chain, caplog: pytest.LogCaptureFixture) -> None:
    with bounded_runtime(max_history=10) as runtime, caplog.at_level(logging.WARNING, logger="flowforge"):
        job = runtime.exec(chain(send, pass_on), entry_params={"n": 50})
        job.wait(30)

    assert len(job.view.history) == 10
    assert job.history_dropped == 1 + 1 + 50 + 1 - 10
    assert sum("the oldest leave its history" in record.getMessage() for record in caplog.records) == 1


def test_outputs_are_bounded_with_a_warning_once(chain: Chain, caplog: pytest.LogCaptureFixture) -> None:
    with bounded_runtime(max_outputs=10) as runtime, caplog.at_level(logging.WARNING, logger="flowforge"):
        job = runtime.exec(chain(send, pass_on), entry_params={"n": 50})
        job.wait(30)

    assert len(job.outputs["b.out"]) == 10
    assert job.view.outputs_dropped == 40
    assert sum("more than 10 outputs" in record.getMessage() for record in caplog.records) == 1


def test_the_output_log_is_bounded(chain: Chain) -> None:
    def report(self: Routine) -> None:
        for number in range(50):
            self.send_output("progress", n=number)

    with bounded_runtime(max_outputs=10) as runtime:
        job = runtime.exec(chain(report))
        job.wait(30)

    assert [entry["data"]["n"] for entry in job.output_log] == list(range(40, 50))


def test_finished_jobs_are_let_go_oldest_first(chain: Chain) -> None:
    with bounded_runtime(max_finished_jobs=3) as runtime:
        jobs = [runtime.exec(chain(send)) for _ in range(5) if runtime.wait_until_all_jobs_finished(30)]
        jobs[-1].wait(30)

        assert runtime.list_jobs() == jobs[2:]
        assert runtime.get_job(jobs[0].job_id) is None
    assert jobs[0].outputs == {"a.out": [{"n": 0}, {"n": 1}, {"n": 2}]}


def test_an_output_handler_gets_what_is_sent_after_the_commit(chain: Chain) -> None:
    def report(self: Routine, n: int) -> None:
        self.send_output("progress", n=n)
        if n == 1:
            raise LookupError

    seen: list[Any] = []
    with Runtime(2) as runtime:
        flow = chain(send, report)
        flow.routines["b"].set_as_optional()
        job = runtime.exec(flow, keep_alive=True)
        job.set_output_handler(CallbackOutputHandler(lambda job_id, routine, kind, data: seen.append(data["n"])))
        runtime.post(job, "a", "input", {"n": 3})
        job.close()
        job.wait(30)

    assert seen == [0, 2]


def test_an_output_handler_that_raises_does_not_touch_the_job(chain: Chain, caplog: pytest.LogCaptureFixture) -> None:
    def refuse(*_output: Any) -> None:
        raise LookupError("refused")

    with Runtime(2) as runtime:
        job = runtime.exec(chain(lambda self, n: self.send_output("x", n=n)), keep_alive=True)
        job.set_output_handler(CallbackOutputHandler(refuse))
        runtime.post(job, "a", "input", {"n": 1})
        job.close()
        job.wait(30)

    assert job.status == "completed"
    assert "refused" in caplog.text


def test_payloads_in_the_outputs_are_copies(run: Run, chain: Chain) -> None:
    job = run(chain(pass_on), n=1)

    job.outputs["a.out"][0]["n"] = 2

    assert job.outputs["a.out"] == [{"n": 1}]


def test_runtime_statistics_count_jobs_by_status(runtime: Runtime, chain: Chain) -> None:
    runtime.exec(chain(send)).wait(30)
    runtime.exec(chain(lambda self: 1 / 0)).wait(30)

    statistics = runtime.statistics()

    assert statistics.jobs == {"completed": 1, "failed": 1}
    assert statistics.steps_still_running == ()


def test_queue_times_are_told_from_the_commit_to_the_call(stepped: Runtime, chain: Chain) -> None:
    failures = [1]

    def slow_first(self: Routine, n: int) -> None:
        if failures:
            failures.pop()
            raise LookupError

    flow = chain(send, slow_first)
    flow.routines["b"].set_as_critical(retry_delay=8.0)
    job = stepped.exec(flow)
    job.wait()

    queued = [r.queued for r in job.view.history if isinstance(r, StepCommitted) and r.routine == "b"]
    assert queued == [8.0, 8.0, 8.0]
