"""The code printed in the documents that FlowForge was made from runs as it stands there.

Each fragment is a file in `seeds/`, in which only the package's first name is read as `flowforge`. A test supplies the
names, jobs and state that its fragment presupposes, and looks at what came of it.
"""

import ast
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from flowforge import ErrorStrategy, Flow, FlowRegistry, JobState, Routine, Runtime

SEEDS = Path(__file__).parent / "seeds"

Names = dict[str, Any]


def code_of(fragment: str) -> str:
    text = (SEEDS / f"{fragment}.py.txt").read_text(encoding="utf-8")
    return text.replace("routilux", "flowforge")


def run(fragment: str, **names: Any) -> Names:
    exec(code_of(fragment), names)
    return names


def versions(fragment: str, wanted: str, names: Names) -> list[Any]:
    """Each thing that the fragment defines under one name, where a later one hides an earlier one."""
    found = []
    for statement in ast.parse(code_of(fragment)).body:
        exec(compile(ast.Module([statement], []), fragment, "exec"), names)
        if wanted in ast.unparse(statement).splitlines()[0]:
            found.append(names[wanted])
    return found


class Echo(Routine):
    def __init__(self) -> None:
        super().__init__()
        self.define_slot("input", handler=self.echo)
        self.define_event("output", ["source_param"])

    def echo(self, **data: Any) -> None:
        self.emit("output", **data)


def echoes(*routine_ids: str) -> Flow:
    flow = Flow(flow_id="my_flow")
    for routine_id in routine_ids:
        flow.add_routine(Echo(), routine_id)
    return flow


class Worker(Routine):
    """What a logic is tried in: one slot, one event, and two messages for it."""

    def __init__(self) -> None:
        super().__init__()
        self.define_slot("trigger", handler=self.begin)
        self.define_slot("input")
        self.define_event("again")
        self.counter = 0

    def begin(self) -> None: ...


def run_logic(logic: Callable[..., Any], worker: Routine) -> JobState:
    flow = Flow(flow_id="my_flow")
    flow.add_routine(worker, "worker")
    worker.set_logic(logic)
    return flow.execute("worker", entry_slot="input")


@pytest.fixture
def runtime() -> Iterator[Runtime]:
    with Runtime(thread_pool_size=2) as runtime:
        yield runtime


@pytest.fixture(autouse=True)
def _registry() -> Iterator[None]:
    registry = FlowRegistry.get_instance()
    before = set(registry.list())
    yield
    for name in set(registry.list()) - before:
        registry.unregister(name)


def paused_job(flow: Flow) -> JobState:
    """A job of `flow` that was paused after, or before, its only step."""
    with Runtime(thread_pool_size=1) as runtime:
        job_state = runtime.exec(flow, entry_params={}, keep_alive=True)
        runtime.pause_job(job_state, reason="To be saved")
    return job_state


def test_the_quick_start_of_the_readme_runs(capsys: pytest.CaptureFixture[str]) -> None:
    names = run("01_define_a_routine")
    names = run("01_connect_a_flow", DataProcessor=names["DataProcessor"])
    names = run("01_execute_a_flow", **{name: names[name] for name in ("flow", "id1", "processor1")})

    assert capsys.readouterr().out == "completed\n{'processed_count': 1}\n"
    assert names["job_state"].outputs == {"processor2.output": [{"result": "Processed: Processed: test"}]}


def test_a_routine_with_logic_processes_its_data() -> None:
    flow = Flow()
    flow.add_routine(run("03_routine_with_logic")["DataProcessor"](), "processor")

    job_state = flow.execute(entry_params={"data": "x"})

    assert job_state.outputs == {"processor.output": [{"result": "Processed: x"}]}


def test_routines_connect_in_any_pattern() -> None:
    head, tail = code_of("03_connect_in_any_pattern").split("# One event to multiple slots")
    names: Names = {}
    exec(head, names)
    for routine_id in ("source", "source1", "source2", "processor1", "processor2", "aggregator"):
        names["flow"].add_routine(Echo(), routine_id)

    exec(tail, names)

    flow: Flow = names["flow"]
    assert flow.successors("source") == ["processor1", "processor2"]
    assert flow.predecessors("aggregator") == ["source1", "source2"]


def test_a_runtime_executes_a_registered_flow() -> None:
    names = run("03_run_by_name", flow=echoes("echo"))

    assert names["job_state"].status == "completed"
    assert names["job_state"].outputs == {"echo.output": [{"data": "hello"}]}
    names["runtime"].shutdown()


def test_a_flow_retries_as_the_introduction_says() -> None:
    flow = echoes("echo")

    names = run("03_handle_errors", flow=flow)

    assert flow.error_handler is names["error_handler"]
    assert (flow.error_handler.strategy, flow.error_handler.max_retries) == (ErrorStrategy.RETRY, 3)


def test_a_saved_job_goes_on_from_its_file(runtime: Runtime, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    flow = echoes("echo")
    FlowRegistry.get_instance().register_by_name("my_flow", flow)

    names = run("03_save_and_go_on", runtime=runtime, job_state=paused_job(flow))

    saved: JobState = names["saved_state"]
    saved.close()
    assert saved.wait()
    assert saved.status == "completed"
    assert saved.outputs == {"echo.output": [{}]}


def test_constructors_with_and_without_arguments_both_run() -> None:
    names: Names = {"Routine": Routine}
    with_argument, without = versions("03_constructor_wrong_and_right", "MyRoutine", names)

    assert without().config == {"name": "my_routine", "timeout": 30}
    # What the document warns of is kept here: a job's instance is built with the template's arguments.
    routine = with_argument("given")
    seen: list[str] = []
    routine.define_slot("input", handler=lambda: seen.append(routine.name))
    flow = Flow()
    flow.add_routine(routine, "given")
    assert flow.execute().status == "completed"
    assert seen == ["given"]


def test_an_attribute_changed_by_logic_fails_clearly() -> None:
    worker = Worker()
    wrong, _ = versions("03_state_wrong_and_right", "logic", {"self": worker})

    job_state = run_logic(wrong, worker)

    assert job_state.status == "failed"
    assert job_state.error is not None
    assert job_state.error.type == "AttributeSetInStepError"
    assert "Keep what counts in self.state['counter']" in job_state.error.text
    assert worker.counter == 0


def test_state_kept_in_the_job_state_counts() -> None:
    _, right = versions("03_state_wrong_and_right", "logic", {"routine_id": "worker", "self": None})

    job_state = run_logic(right, Worker())

    assert job_state.status == "completed"
    assert job_state.get_routine_state("worker") == {"count": 1}


def test_the_processor_stores_state_and_shared_data() -> None:
    flow: Flow = run("03_processor_with_state")["flow"]

    job_state = flow.execute("processor", entry_params={"data": 1})

    slot_data = {"input": [{"data": 1}]}
    assert job_state.get_routine_state("processor") == {"processed": True}
    assert dict(job_state.shared_data) == {"last_processed": slot_data}
    assert list(job_state.shared_log) == [{"action": "process", "data": slot_data}]


def test_getting_started_runs_as_printed() -> None:
    names = run("03_getting_started")

    job_state: JobState = names["job_state"]
    assert job_state.status == "completed"
    assert job_state.outputs == {"my_routine.output": [{"result": "Processed: {'data': 'Hello'}"}]}
    names["runtime"].shutdown()


def test_a_flow_without_an_id_makes_one() -> None:
    assert run("04_create_a_flow")["flow"].flow_id.startswith("flow-")


def test_a_routine_is_added_with_and_without_an_id() -> None:
    flow = Flow()

    names = run("04_add_routines", flow=flow, MyRoutine=Echo)

    assert names["routine_id"] == "my_routine"
    assert list(flow.routines) == ["my_routine"]


def test_connect_takes_its_ends_by_keyword() -> None:
    flow = echoes("routine1", "routine2")

    run("04_connect_routines", flow=flow)

    assert flow.execute("routine1", {"a": 1}).outputs == {"routine2.output": [{"a": 1}]}


def test_a_connection_renames_parameters() -> None:
    flow = echoes("routine1", "routine2")

    run("04_connect_with_mapping", flow=flow)

    job_state = flow.execute("routine1", {"source_param": 1})
    assert job_state.outputs == {"routine2.output": [{"target_param": 1}]}


def test_execute_starts_at_the_entry_routine() -> None:
    names = run("04_execute_from_an_entry", flow=echoes("routine0", "routine1"))

    assert names["job_state"].status == "completed"
    assert names["job_state"].outputs == {"routine1.output": [{"data": "test"}]}


def test_pause_keeps_reason_and_checkpoint(runtime: Runtime) -> None:
    flow = echoes("echo")
    job_state = runtime.exec(flow, keep_alive=True)

    run("04_pause", flow=flow)

    assert (job_state.status, job_state.pause_reason) == ("paused", "User requested pause")
    assert job_state.checkpoint == {"step": 1}


def test_resume_brings_a_paused_job_to_its_end() -> None:
    flow = echoes("echo")
    job_state = paused_job(flow)
    job_state.close()

    run("04_resume", flow=flow, job_state=job_state)

    assert job_state.status == "completed"


def test_cancel_ends_a_live_job(runtime: Runtime) -> None:
    flow = echoes("echo")
    job_state = runtime.exec(flow, keep_alive=True)

    run("04_cancel", flow=flow)

    assert job_state.wait()
    assert job_state.status == "cancelled"


def test_the_guide_sets_an_error_handler() -> None:
    flow = Flow()

    names = run("04_set_an_error_handler", flow=flow)

    assert flow.error_handler is names["error_handler"]


def test_each_fragment_has_a_test() -> None:
    here = Path(__file__).read_text(encoding="utf-8")

    assert [path.name for path in SEEDS.iterdir() if f'"{path.name.removesuffix(".py.txt")}"' not in here] == []
