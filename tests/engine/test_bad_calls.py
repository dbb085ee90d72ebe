"""Wrong calls of a runtime, a flow and a job fail at once, name the value and the remedy, and lose nothing."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from flowforge.flow import Flow
from flowforge.flow_registry import FlowRegistry
from flowforge.graph_errors import IllegalNameError, PayloadMismatchError, UnknownFlowError
from flowforge.job_errors import (
    DuplicateJobError,
    EntryError,
    RuntimeOptionError,
    UnknownJobError,
    UnknownTargetError,
    WaitInStepError,
)
from flowforge.job_state import JobState
from flowforge.option_errors import OptionError
from flowforge.options import RuntimeOptions
from flowforge.routine import Routine
from flowforge.runtime import Runtime

Chain = Callable[..., Flow]
Graph = Callable[..., Flow]
Run = Callable[..., JobState]

GOOD = {"n": 1, "unit": "m"}
COUNTS = ("thread_pool_size", "max_history", "max_outputs", "max_finished_jobs")


def take(self: Routine, n: int, unit: str) -> None:
    self.emit("out", n=n, unit=unit)


def idle(self: Routine) -> None:
    """Does nothing."""


@pytest.fixture
def open_job(runtime: Runtime, chain: Chain) -> JobState:
    """A job of the one routine `a`, which is kept alive and was fed nothing."""
    return runtime.exec(chain(take), job_id="open", keep_alive=True)


# Options


@pytest.mark.parametrize("option", COUNTS)
@pytest.mark.parametrize("value", [0, -1, True, 1.5, "3"])
def test_an_option_that_is_no_count_is_refused(option: str, value: Any) -> None:
    with pytest.raises(
        RuntimeOptionError, match=f"^The option {option} cannot be .*\\. Give a whole number, 1 or more"
    ):
        RuntimeOptions(**{option: value})


@pytest.mark.parametrize("value", [-1, True, "x", float("inf")])
def test_a_shutdown_timeout_that_is_no_time_is_refused(value: Any) -> None:
    with pytest.raises(
        RuntimeOptionError, match=r"^The option shutdown_timeout cannot be .*\. Give seconds, 0 or more"
    ):
        RuntimeOptions(shutdown_timeout=value)


def test_the_pools_size_is_given_once() -> None:
    with pytest.raises(
        RuntimeOptionError, match=r"^The option thread_pool_size cannot be 3\. Give it in the options, which were given"
    ):
        Runtime(3, options=RuntimeOptions(thread_pool_size=5))


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"options": {}}, r"^The option options cannot be \{\}\. Give RuntimeOptions"),
        ({"registry": {}}, r"^The option registry cannot be \{\}\. Give a FlowRegistry, or None"),
        ({"thread_pool_size": 0}, "^The option thread_pool_size cannot be 0"),
        (
            {"flows": Flow("f")},
            r"^The option flows cannot be <Flow 'f'.*>\. Give a list of flows, as in flows=\[flow\]",
        ),
        ({"flows": None}, r"^The option flows cannot be None\. Give a list of flows"),
        ({"flows": ["f"]}, r"^The option flow cannot be 'f'\. Give a Flow\."),
        ({"flows": [Flow("f"), Flow("f")]}, r"Two of them have the id 'f'; give each its own\."),
    ],
)
def test_a_runtime_made_of_something_else_is_refused(options: dict[str, Any], text: str) -> None:
    with pytest.raises(RuntimeOptionError, match=text):
        Runtime(**options)


def test_a_history_that_is_no_text_is_refused() -> None:
    with pytest.raises(RuntimeOptionError, match=r"^The option history cannot be \[\]\. Give one of"):
        RuntimeOptions(history=[])  # type: ignore[arg-type]  # wrong on purpose


WAITS: dict[str, Callable[[Runtime, JobState, Any], object]] = {
    "wait": lambda runtime, job, seconds: job.wait(seconds),
    "flush": lambda runtime, job, seconds: job.flush(seconds),
    "pause": lambda runtime, job, seconds: job.pause(timeout=seconds),
    "pause_job": lambda runtime, job, seconds: runtime.pause_job(job, timeout=seconds),
    "all jobs": lambda runtime, job, seconds: runtime.wait_until_all_jobs_finished(seconds),
    "shutdown": lambda runtime, job, seconds: runtime.shutdown(timeout=seconds),
}


@pytest.mark.parametrize("seconds", ["x", -1, float("nan"), float("inf"), True])
@pytest.mark.parametrize("wait", WAITS)
def test_a_wait_for_what_is_no_time_is_refused(runtime: Runtime, open_job: JobState, wait: str, seconds: Any) -> None:
    expected = r"^The option timeout cannot be .*\. Give seconds, 0 or more, or None to wait for ever\.$"
    with pytest.raises(RuntimeOptionError, match=expected):
        WAITS[wait](runtime, open_job, seconds)

    assert open_job.status == "running"


@pytest.mark.parametrize("job_id", [5, [], "\ud800", "a.b"])
def test_no_job_is_started_under_what_is_no_id(tmp_path: Path, chain: Chain, job_id: Any) -> None:
    flow = chain(take)
    with Runtime(2, store=f"sqlite:///{tmp_path / 'jobs.db'}", flows=[flow]) as runtime:
        with pytest.raises(IllegalNameError, match=r"^The job id .*\."):
            runtime.exec(flow, entry_params=GOOD, job_id=job_id)

        assert runtime.store.jobs() == []


def test_what_is_no_id_is_not_looked_up(tmp_path: Path) -> None:
    with Runtime(2, store=f"sqlite:///{tmp_path / 'jobs.db'}") as runtime:
        assert runtime.get_job("\ud800") is None
        wrong: list[Any] = [[], None, 5]
        for job_id in wrong:
            with pytest.raises(IllegalNameError, match=r"^The job id .* is not a non-empty string\."):
                runtime.get_job(job_id)
        with pytest.raises(RuntimeOptionError, match=r"^The option letter_id cannot be 5\. Give the id of a"):
            runtime.requeue_dead_letter(5)  # type: ignore[arg-type]  # wrong on purpose


def test_to_keep_alive_is_a_yes_or_a_no(runtime: Runtime, chain: Chain) -> None:
    with pytest.raises(RuntimeOptionError, match=r"^The option keep_alive cannot be 'no'\. Give True or False\."):
        runtime.exec(chain(take), entry_params=GOOD, keep_alive="no")  # type: ignore[arg-type]  # wrong on purpose


def test_a_pool_size_of_its_own_is_that_of_the_options() -> None:
    with Runtime(3) as runtime:
        assert runtime.options.thread_pool_size == 3


# Starting


@pytest.mark.parametrize("flow", [3, None, Flow])
def test_what_is_no_flow_cannot_be_run(runtime: Runtime, flow: Any) -> None:
    with pytest.raises(
        RuntimeOptionError, match=r"^The option flow_or_name cannot be .*\. Give a Flow, or the name of"
    ):
        runtime.exec(flow)


def test_a_flow_that_is_not_registered_cannot_be_run_by_name() -> None:
    with Runtime(registry=FlowRegistry()) as runtime, pytest.raises(UnknownFlowError, match=r"^No flow is registered"):
        runtime.exec("none")


def test_an_unknown_entry_lists_the_choices(runtime: Runtime, chain: Chain) -> None:
    with pytest.raises(UnknownTargetError, match=r"^There is no routine .*'zz'\. Give one of \['a'\]"):
        runtime.exec(chain(take), "zz", GOOD)

    assert runtime.list_jobs() == []


def test_an_unclear_entry_lists_the_choices(runtime: Runtime) -> None:
    routine = Routine()
    routine.define_slot("left", handler=lambda: None)
    routine.define_slot("right", handler=lambda: None)
    flow = Flow("flow")
    flow.add_routine(routine, "a")

    with pytest.raises(EntryError, match=r"\. Give one of \['left', 'right'\]\.$"):
        runtime.exec(flow, "a")


@pytest.mark.parametrize("timeout", [0, -3, True, "x", float("nan")])
def test_a_job_timeout_that_is_no_time_is_refused(runtime: Runtime, chain: Chain, timeout: Any) -> None:
    with pytest.raises(RuntimeOptionError, match=r"^The option timeout cannot be .*\. Give seconds above 0, or None"):
        runtime.exec(chain(take), entry_params=GOOD, timeout=timeout)


def test_a_dot_in_a_job_id_is_refused(runtime: Runtime, chain: Chain) -> None:
    with pytest.raises(IllegalNameError, match=r"^The job id 'a\.b' holds a dot"):
        runtime.exec(chain(take), entry_params=GOOD, job_id="a.b")


def test_a_job_id_cannot_be_used_twice(runtime: Runtime, chain: Chain, open_job: JobState) -> None:
    with pytest.raises(DuplicateJobError, match=r"^The runtime already has a job 'open'\. Leave job_id out, or choose"):
        runtime.exec(chain(take), entry_params=GOOD, job_id="open")

    assert runtime.get_job("open") is open_job


def test_entry_params_that_cannot_meet_the_handler_are_refused(runtime: Runtime, chain: Chain) -> None:
    with pytest.raises(
        PayloadMismatchError, match=r"^The handler of slot 'a\.input' has the parameters 'n', 'unit', and"
    ):
        runtime.exec(chain(take), entry_params={"n": 1}, job_id="one")


def test_a_job_that_was_refused_leaves_its_id_free(runtime: Runtime, chain: Chain) -> None:
    flow = chain(take)
    with pytest.raises(PayloadMismatchError, match="lacks 'unit'"):
        runtime.exec(flow, entry_params={"n": 1}, job_id="one")

    assert runtime.list_jobs() == []
    assert runtime.exec(flow, entry_params=GOOD, job_id="one").wait(30)


def test_a_job_kept_alive_without_entry_and_params_enters_nothing(run: Run, open_job: JobState) -> None:
    open_job.close()

    assert open_job.wait(30)
    assert (open_job.status, open_job.execution_history) == ("completed", [])


@pytest.mark.parametrize(
    "others",
    [
        {"entry_routine_id": "a"},
        {"entry_params": GOOD},
        {"entry_slot": "input"},
        {"job_id": "x"},
        {"timeout": 3.0},
    ],
    ids=lambda others: next(iter(others)),
)
def test_a_job_that_is_resumed_takes_nothing_of_a_new_one(
    runtime: Runtime, chain: Chain, others: dict[str, Any]
) -> None:
    flow = chain(take)
    job = runtime.exec(flow, keep_alive=True)
    job.pause()

    with pytest.raises(RuntimeOptionError, match=r"^The option beside job_state cannot be .*\. A job that is resumed"):
        runtime.exec(flow, job_state=job, **others)

    assert job.status == "paused"


@pytest.mark.parametrize("job", [{}, "x", 3])
def test_what_is_no_job_state_cannot_be_resumed(runtime: Runtime, chain: Chain, job: Any) -> None:
    with pytest.raises(
        RuntimeOptionError, match=r"^The option job_state cannot be .*\. Give a JobState, or None for a"
    ):
        runtime.exec(chain(take), job_state=job)


@pytest.mark.parametrize("job", [None, "x", 3])
def test_a_flow_resumes_only_a_job_state(chain: Chain, job: Any) -> None:
    with pytest.raises(RuntimeOptionError, match=r"^The option job_state cannot be"):
        chain(take).resume(job)


# Feeding


def test_a_post_that_cannot_meet_the_handler_is_refused(runtime: Runtime, open_job: JobState) -> None:
    with pytest.raises(PayloadMismatchError, match=r"slot 'a\.input' .* lacks 'unit'\. Emit what is lacking"):
        runtime.post(open_job, "a", "input", {"n": 1})

    assert open_job.status == "running"


@pytest.mark.parametrize("key", [3, "", b"k"])
def test_a_post_key_that_is_no_text_is_refused(runtime: Runtime, open_job: JobState, key: Any) -> None:
    with pytest.raises(
        RuntimeOptionError, match=r"^The option key cannot be .*\. Give a text that UTF-8 can encode, or None"
    ):
        runtime.post(open_job, "a", "input", GOOD, key=key)


@pytest.mark.parametrize("timeout", [-1, "x", True])
def test_a_post_timeout_that_is_no_time_is_refused(runtime: Runtime, open_job: JobState, timeout: Any) -> None:
    with pytest.raises(
        RuntimeOptionError, match=r"^The option timeout cannot be .*\. Give seconds, 0 or more, or None"
    ):
        runtime.post(open_job, "a", "input", GOOD, timeout=timeout)


@pytest.mark.parametrize("job", [None, 3, "unknown"])
def test_a_post_to_no_job_of_the_runtime_is_refused(runtime: Runtime, job: Any) -> None:
    with pytest.raises(UnknownJobError, match=r"^The runtime has no job .*\. Use the runtime that started it"):
        runtime.post(job, "a", "input", {})


# Looking


def test_the_status_of_an_unknown_routine_is_refused(run: Run, chain: Chain) -> None:
    job = run(chain(take), **GOOD)

    with pytest.raises(UnknownTargetError, match=r"^There is no routine in the flow 'flow' named 'zz'\. Give one of"):
        job.routine_status("zz")


def test_the_history_of_an_unknown_routine_is_refused(run: Run, chain: Chain) -> None:
    job = run(chain(take), **GOOD)

    with pytest.raises(UnknownTargetError, match=r"named 'zz'\. Give one of \['a'\]\.$"):
        job.get_execution_history("zz")


def test_jobs_of_an_unknown_status_cannot_be_listed(runtime: Runtime) -> None:
    with pytest.raises(RuntimeOptionError, match=r"^The option status cannot be 'done'\. Give one of \['pending', "):
        runtime.list_jobs(status="done")


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"from_position": 0}, r"^The option from_position cannot be 0\. Give a whole number, 1 or more"),
        ({"from_position": "x"}, "^The option from_position cannot be 'x'"),
        ({"max_waiting": 0}, r"^The option max_waiting cannot be 0\. Give a whole number of records, 1 or more"),
    ],
)
def test_a_stream_from_nowhere_is_refused(run: Run, chain: Chain, options: dict[str, Any], text: str) -> None:
    job = run(chain(take), **GOOD)

    with pytest.raises(RuntimeOptionError, match=text):
        job.subscribe(**options)


def test_what_is_no_output_handler_is_refused(open_job: JobState) -> None:
    handler: Any = 3

    with pytest.raises(OptionError, match=r"^set_output_handler cannot take handler=3\."):
        open_job.set_output_handler(handler)


# Waiting inside a handler


@pytest.mark.parametrize(
    ("wait", "what"),
    [
        (lambda runtime, job: job.wait(), "the job 'other'"),
        (lambda runtime, job: next(job.subscribe(job.view.position + 1)), "the records of the job 'other'"),
        (lambda runtime, job: runtime.wait_until_all_jobs_finished(), "all jobs"),
        (lambda runtime, job: runtime.shutdown(), "all jobs"),
    ],
    ids=["wait", "subscribe", "wait_until_all_jobs_finished", "shutdown"],
)
def test_a_handler_cannot_wait(
    runtime: Runtime, graph: Graph, chain: Chain, wait: Callable[..., Any], what: str
) -> None:
    other = runtime.exec(chain(take), job_id="other", keep_alive=True)

    def handler(self: Routine) -> None:
        with pytest.raises(
            WaitInStepError,
            match=f"^A handler cannot wait for {what}. Let the job's outputs be posted back, or wait outside of handl",
        ):
            wait(runtime, other)

    job = runtime.exec(graph({"a": handler}))
    assert job.wait(30)
    assert job.error is None


def test_an_async_handler_cannot_wait_for_a_job(runtime: Runtime, graph: Graph, chain: Chain) -> None:
    other = runtime.exec(chain(take), job_id="other", keep_alive=True)

    async def handler(self: Routine) -> None:
        with pytest.raises(WaitInStepError, match=r"^A handler cannot wait for the job 'other'"):
            await other.wait_async()

    job = runtime.exec(graph({"a": handler}))
    assert job.wait(30)
    assert job.error is None
