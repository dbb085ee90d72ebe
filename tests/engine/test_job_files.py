"""A saved job holds all of it, what is loaded goes on as if nothing had happened, and a damaged file is refused."""

import datetime as dt
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from actors.testing.stepped_dispatcher import SteppedDispatcher
from flowforge.error_handler import ErrorHandler
from flowforge.flow import Flow
from flowforge.job_errors import JobFinishedError, JobStateFileError, NoCursorError
from flowforge.job_state import JobState
from flowforge.options import RuntimeOptions
from flowforge.routine import Routine
from flowforge.runtime import Runtime
from flowforge.stores.codec_errors import UnencodableValueError

Chain = Callable[..., Flow]
Graph = Callable[..., Flow]
Edit = Callable[[dict[str, Any]], None]

NOON = dt.datetime(2024, 5, 17, 12, tzinfo=dt.UTC)


def work(self: Routine, n: int = 0) -> None:
    if n == 0:
        raise ValueError("nothing to do") from LookupError("n")
    self.increment_stat("calls")
    self.state["seen"] = (n, NOON)
    self.job_state.shared_data["last"] = {"n": n}
    self.job_state.shared_log.append([n])
    self.send_output("done", n=n, at=NOON)
    self.emit("out", n=n)


def fail_once(self: Routine, n: int = 0) -> None:
    if not self.job_state.shared_data.get("is_repaired"):
        raise ConnectionError("not yet")
    self.emit("out", n=n)


def rich_flow(graph: Graph) -> Flow:
    flow = graph(
        {"work": work, "twice": lambda self, n: self.emit("out", n=2 * n), "late": fail_once}, "work.out -> late.input"
    )
    flow.routines["work"].set_error_handler(ErrorHandler("skip"))
    flow.routines["twice"].set_concurrency(2)
    flow.routines["late"].set_as_critical(retry_delay=60.0)
    return flow


def step_until_idle(dispatcher: SteppedDispatcher) -> None:
    while dispatcher.step():
        pass


@pytest.fixture
def flow(graph: Graph) -> Flow:
    return rich_flow(graph)


@pytest.fixture
def paused(stepped: Runtime, dispatcher: SteppedDispatcher, flow: Flow) -> JobState:
    """A paused job that has something in each field: a retry, messages, a dead letter, outputs, a checkpoint."""
    job = stepped.exec(flow, job_id="rich", keep_alive=True, timeout=900.0)
    for n in (0, 1, 2):
        stepped.post(job, "work", "input", {"n": n}, key=f"post {n}")
    stepped.post(job, "twice", "input", {"n": 3})
    step_until_idle(dispatcher)
    job.pause("the night", checkpoint={"rows": {1, 2}})
    return job


def damaged(job: JobState, edit: Edit) -> dict[str, Any]:
    tree: dict[str, Any] = json.loads(json.dumps(job.to_dict()))
    edit(tree)
    return tree


# Round trip


def test_each_field_of_a_saved_job_is_loaded(paused: JobState, tmp_path: Path) -> None:
    paused.save(tmp_path / "job.json")
    loaded = JobState.load(tmp_path / "job.json")

    assert loaded.to_dict() == paused.to_dict()
    assert set(loaded.to_dict()) >= {"pending", "retries", "dead_letters", "keys", "checkpoint", "history", "facts"}
    assert all(loaded.to_dict()[name] for name in ("pending", "retries", "dead_letters", "keys", "history", "outputs"))


def test_what_a_loaded_job_shows_is_what_was_saved(paused: JobState) -> None:
    loaded = JobState.deserialize(paused.serialize())

    for name in ("job_id", "flow_id", "status", "pause_reason", "checkpoint", "outputs", "output_log", "dead_letters"):
        assert getattr(loaded, name) == getattr(paused, name), name
    for name in (
        "routine_states",
        "execution_history",
        "error",
        "failed_routine",
        "outputs_dropped",
        "history_dropped",
    ):
        assert getattr(loaded, name) == getattr(paused, name), name
    assert dict(loaded.shared_data) == {"last": {"n": 2}}
    assert list(loaded.shared_log) == [[1], [2]]
    assert loaded.get_routine_state("work") == {"calls": 2, "seen": (2, NOON)}
    assert loaded.routine_status("work") == paused.routine_status("work")
    assert loaded.tracker.statistics() == paused.tracker.statistics()
    assert paused.tracker.routine("work").calls > 0


def test_a_loaded_dead_letter_tells_its_error(paused: JobState) -> None:
    (letter,) = JobState.deserialize(paused.serialize()).dead_letters

    assert (letter.reason, letter.payload, letter.attempts) == ("ValueError: nothing to do", {"n": 0}, 1)
    assert letter.error is not None
    assert letter.error.cause == "LookupError: n"


def test_a_loaded_job_goes_on_where_it_was_paused(
    stepped: Runtime, dispatcher: SteppedDispatcher, flow: Flow, paused: JobState, tmp_path: Path
) -> None:
    paused.save(tmp_path / "job.json")
    loaded = JobState.load(tmp_path / "job.json")
    loaded.shared_data["is_repaired"] = True
    loaded.close()
    stepped.exec(flow, job_state=loaded)

    assert loaded.wait()
    assert (loaded.status, loaded.error) == ("completed", None)
    assert loaded.outputs == {"twice.out": [{"n": 6}], "late.out": [{"n": 1}, {"n": 2}]}


def test_a_loaded_job_waits_for_the_rest_of_a_retrys_delay(
    stepped: Runtime, dispatcher: SteppedDispatcher, flow: Flow, paused: JobState
) -> None:
    due = dispatcher.clock.now() + 60
    loaded = JobState.deserialize(paused.serialize())
    loaded.shared_data["is_repaired"] = True
    stepped.exec(flow, job_state=loaded)
    step_until_idle(dispatcher)
    assert "late.out" not in loaded.outputs

    loaded.close()
    loaded.wait()
    assert loaded.get_execution_history("late")[-1].started_at == pytest.approx(due)


def test_a_loaded_job_knows_the_keys_it_was_posted(stepped: Runtime, flow: Flow, paused: JobState) -> None:
    loaded = JobState.deserialize(paused.serialize())
    stepped.exec(flow, job_state=loaded)
    stepped.post(loaded, "work", "input", {"n": 7}, key="post 1")
    stepped.post(loaded, "work", "input", {"n": 8}, key="post 8")
    loaded.shared_data["is_repaired"] = True
    loaded.close()
    loaded.wait()

    assert [entry["n"] for entry in loaded.outputs["late.out"]] == [1, 2, 8]


def test_a_loaded_dead_letter_can_be_given_another_try(stepped: Runtime, flow: Flow, paused: JobState) -> None:
    loaded = JobState.deserialize(paused.serialize())
    loaded.requeue_dead_letter(loaded.dead_letters[0].id)
    assert loaded.dead_letters == []

    loaded.shared_data["is_repaired"] = True
    loaded.close()
    stepped.exec(flow, job_state=loaded).wait()
    assert [letter.payload for letter in loaded.dead_letters] == [{"n": 0}]


def test_the_states_of_replicas_are_kept_apart(stepped: Runtime, graph: Graph) -> None:
    flow = graph({"a": lambda self, n: self.increment_stat("sum", n)})
    flow.routines["a"].set_concurrency(2)
    job = stepped.exec(flow, keep_alive=True)
    for n in (1, 2, 3, 4):
        stepped.post(job, "a", "input", {"n": n})
    job.close()
    job.wait()

    loaded = JobState.deserialize(job.serialize())
    assert loaded.view.trees == job.view.trees
    assert loaded.get_routine_state("a") == job.get_routine_state("a") == {"sum": 10}


def test_a_loaded_job_keeps_its_own_timeout(stepped: Runtime, flow: Flow, paused: JobState) -> None:
    loaded = JobState.deserialize(paused.serialize())
    loaded.shared_data["is_repaired"] = False
    stepped.exec(flow, job_state=loaded)

    assert loaded.live is not None
    assert loaded.live.timeout == 900.0


def test_a_loaded_job_remembers_as_much_as_its_runtime_says(chain: Chain, flow: Flow, paused: JobState) -> None:
    loaded = JobState.deserialize(paused.serialize())
    options = RuntimeOptions(max_history=7, max_outputs=8)
    with Runtime(options=options, dispatcher=SteppedDispatcher()) as runtime:
        runtime.exec(flow, job_state=loaded)
        loaded.cancel()

    assert (loaded.view.max_history, loaded.view.max_outputs) == (7, 8)


def test_a_failed_job_is_loaded_with_its_error_and_tried_again(stepped: Runtime, chain: Chain) -> None:
    flow = chain(fail_once)
    job = stepped.exec(flow)
    job.wait()
    loaded = JobState.deserialize(job.serialize())
    assert (loaded.status, loaded.failed_routine, loaded.error) == ("failed", "a", job.error)

    loaded.shared_data["is_repaired"] = True
    stepped.exec(flow, job_state=loaded).wait()
    assert (loaded.status, loaded.outputs) == ("completed", {"a.out": [{"n": 0}]})


def test_a_failed_job_is_resumed_with_its_whole_timeout(
    stepped: Runtime, dispatcher: SteppedDispatcher, chain: Chain
) -> None:
    flow = chain(fail_once, timeout=100.0)
    flow.routines["a"].set_as_critical(retry_delay=70.0, retry_backoff=1.0)
    job = stepped.exec(flow)
    job.wait()
    assert (job.status, job.data.elapsed) == ("failed", 100.0)

    job.shared_data["is_repaired"] = True
    flow.resume(job)
    job.wait()
    assert job.status == "completed"


# What cannot be saved


def test_a_running_job_cannot_be_saved(stepped: Runtime, chain: Chain, tmp_path: Path) -> None:
    job = stepped.exec(chain(work), job_id="one", keep_alive=True)

    with pytest.raises(JobFinishedError, match=r"^The job 'one' is running, so it cannot be saved\. Pause it first\.$"):
        job.save(tmp_path / "job.json")

    assert list(tmp_path.iterdir()) == []


def test_a_source_without_a_cursor_cannot_be_saved(paused: JobState) -> None:
    paused.data.lacks_cursor.append("work")

    with pytest.raises(NoCursorError, match=r"^The generator of the routine 'work' cannot be saved: it yielded after"):
        paused.to_dict()


def test_a_checkpoint_that_cannot_be_kept_is_refused_by_the_pause(stepped: Runtime, chain: Chain) -> None:
    job = stepped.exec(chain(work), keep_alive=True)

    with pytest.raises(UnencodableValueError, match=r"^The value at 'checkpoint' cannot be kept"):
        job.pause(checkpoint=object())

    assert job.status == "running"


def test_a_payload_that_cannot_be_kept_is_named_by_its_slot(stepped: Runtime, chain: Chain) -> None:
    job = stepped.exec(chain(lambda self, **data: None), entry_params={"lock": object()})
    job.pause()

    with pytest.raises(UnencodableValueError, match=r"^The value at .*the payload waiting in 'input'.* cannot be kept"):
        job.to_dict()


def test_a_past_payload_that_cannot_be_kept_is_saved_as_text(stepped: Runtime, chain: Chain) -> None:
    job = stepped.exec(chain(lambda self, **data: None), entry_params={"lock": Path("x")})
    job.wait()

    (entry,) = JobState.deserialize(job.serialize()).execution_history
    assert "Path" in entry.payload


# What cannot be loaded


def test_a_file_cut_short_is_refused(paused: JobState, tmp_path: Path) -> None:
    path = tmp_path / "job.json"
    paused.save(path)
    path.write_text(path.read_text(encoding="utf-8")[:-100], encoding="utf-8")

    with pytest.raises(
        JobStateFileError, match=r"^The file '.*job\.json' does not hold a job state: .* or was cut short; load a file"
    ):
        JobState.load(path)


@pytest.mark.parametrize(
    "content", [b"", b"not JSON", b"\xff\xfe", b"[" * 100_000], ids=["empty", "text", "bytes", "deep"]
)
def test_a_file_that_is_not_json_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "job.json").write_bytes(content)

    with pytest.raises(JobStateFileError, match="It is not JSON, or was cut short"):
        JobState.load(tmp_path / "job.json")


@pytest.mark.parametrize("content", ["3", "[]", "{}", '{"kind": "flow"}'])
def test_a_file_of_something_else_is_refused(tmp_path: Path, content: str) -> None:
    (tmp_path / "job.json").write_text(content, encoding="utf-8")

    with pytest.raises(JobStateFileError, match=r"it is something else\. Load a file that JobState\.save wrote\.$"):
        JobState.load(tmp_path / "job.json")


@pytest.mark.parametrize("version", [0, 2, "1", None])
def test_a_file_of_an_unknown_format_is_refused(paused: JobState, version: Any) -> None:
    tree = damaged(paused, lambda tree: tree.update(format=version))

    with pytest.raises(
        JobStateFileError, match=r"its format is .*, and this version reads 1\. Load it with the version"
    ):
        JobState.deserialize(tree)


# fmt: off
FIELDS = [
    "job_id", "flow_id", "status", "reason", "epoch", "position",
    "entries", "letters", "elapsed", "is_kept_alive", "keys", "pending",
    "retries", "shared_data", "shared_log", "dead_letters", "routines", "facts",
    "outputs", "output_log", "outputs_dropped", "history", "history_dropped",
]
# fmt: on


@pytest.mark.parametrize("name", [*FIELDS, "error", "failed_routine", "timeout", "checkpoint"])
def test_a_file_that_lacks_a_field_is_refused(paused: JobState, name: str) -> None:
    tree = damaged(paused, lambda tree: tree.pop(name))

    with pytest.raises(JobStateFileError, match=rf"it is damaged: .*{name}.*\. Load a file that JobState\.save wrote"):
        JobState.deserialize(tree)


@pytest.mark.parametrize("name", FIELDS)
def test_a_field_that_is_null_is_refused(paused: JobState, name: str) -> None:
    tree = damaged(paused, lambda tree: tree.update({name: None}))

    with pytest.raises(JobStateFileError, match=r"does not hold a job state: it is damaged: Expected .*, got `null`"):
        JobState.deserialize(tree)


WRONG: dict[str, Any] = {
    "job_id": [],
    "flow_id": "",
    "status": "running",
    "reason": 3,
    "error": "x",
    "failed_routine": 3,
    "epoch": -5,
    "position": -5,
    "entries": 1.5,
    "letters": "1",
    "timeout": 0,
    "elapsed": -1,
    "is_kept_alive": 1,
    "keys": "zz",
    "pending": {},
    "retries": {"late": "x"},
    "shared_data": 3,
    "shared_log": 3,
    "dead_letters": [{"id": "x"}],
    "routines": {},
    "facts": [],
    "outputs": "zz",
    "output_log": [{"at": 1.0}],
    "outputs_dropped": -1,
    "history": [3],
    "history_dropped": True,
}


@pytest.mark.parametrize("name", WRONG)
def test_a_field_of_another_kind_is_refused(paused: JobState, name: str) -> None:
    tree = damaged(paused, lambda tree: tree.update({name: WRONG[name]}))

    with pytest.raises(JobStateFileError, match=r"^The file '<tree>' does not hold a job state: it is damaged: "):
        JobState.deserialize(tree)


@pytest.mark.parametrize(
    "edit",
    [
        lambda tree: tree["pending"][0]["messages"][0].update(id="no hex"),
        lambda tree: tree["pending"][0]["messages"][0].update(attempt=-1),
        lambda tree: tree["pending"][0]["messages"][0].update(payload=[1]),
        lambda tree: tree["pending"][0].update(slot=""),
        lambda tree: tree["dead_letters"][0].update(messages=[]),
        lambda tree: tree["dead_letters"][0]["error"].pop("text"),
        lambda tree: tree["routines"][0].update(replica=-2),
        lambda tree: tree["routines"][0].update(tree=7),
        lambda tree: tree["output_log"][0].update(payload=7),
        lambda tree: tree["facts"]["work"].update(calls=-1),
        lambda tree: tree["history"][0].pop("outcome"),
    ],
)
def test_damage_inside_of_a_field_is_refused(paused: JobState, edit: Edit) -> None:
    tree = damaged(paused, edit)

    with pytest.raises(JobStateFileError, match="it is damaged: "):
        JobState.deserialize(tree)


def test_a_value_of_an_unknown_type_is_refused(paused: JobState) -> None:
    def edit(tree: dict[str, Any]) -> None:
        text = json.dumps(tree["output_log"]).replace('"datetime"', '"no-such-type"')
        tree["output_log"] = json.loads(text)

    tree = damaged(paused, edit)
    assert tree["output_log"] != paused.to_dict()["output_log"]

    with pytest.raises(JobStateFileError, match=r"\. Register the types it uses with the codec\.$"):
        JobState.deserialize(tree)
