"""Files that earlier versions wrote are read by this one, and their jobs go on.

The files in `saved` were written once, by the version that their names tell, and are never written again. Both hold the
job that `paused_as_saved` leads to: `job_state_format_1.json` by `job.save`, `store_format_1.db` as the store of a
runtime that ran the same and was shut down.
"""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from actors.testing.manual_clock import ManualClock
from actors.testing.stepped_dispatcher import SteppedDispatcher
from flowforge.activation_policies import all_slots_ready_policy
from flowforge.flow import Flow
from flowforge.job_state import JobState
from flowforge.routine import Routine
from flowforge.runtime import Runtime
from tests.handlers import source

MakeNode = Callable[..., Routine]
SAVED = Path(__file__).parent / "saved"
JSON_FILE = SAVED / "job_state_format_1.json"
STORE_FILE = SAVED / "store_format_1.db"
BEGAN = ManualClock().now()


def work(self: Routine, n: int) -> None:
    if n == 0:
        raise ValueError("nothing to do")
    self.state["seen"] = [*self.state.get("seen", []), n]
    self.job_state.shared_data["last"] = (n, frozenset({n}))
    self.job_state.shared_log.append(n)
    self.send_output("done", n=n)
    self.emit("out", n=n)


def remind(self: Routine, n: int) -> None:
    self.emit_after(60.0, "out", n=n)
    self.emit_after(90.0, "later", n=n)


def flaky(self: Routine, n: int) -> None:
    if self.now() < BEGAN + 30.0:
        raise ConnectionError("not yet")
    self.emit("out", n=n)


class Join(Routine):
    """Waits for both sides."""

    def __init__(self) -> None:
        super().__init__()
        self.define_slot("left")
        self.define_slot("right")
        self.define_event("out")
        self.set_activation_policy(all_slots_ready_policy())
        self.set_logic(self.join)

    def join(self, slots: dict[str, list[dict[str, Any]]], message: object, job: object) -> None:
        self.emit("out", n=[payload["n"] for found in slots.values() for payload in found])


class Gather(Routine):
    """Emits all that it has been given so far."""

    def __init__(self) -> None:
        super().__init__()
        self.define_slot("input", handler=self.gather, merge_strategy="append")
        self.define_event("out")

    def gather(self, n: list[int]) -> None:
        self.emit("out", n=n)


@pytest.fixture
def flow(node: MakeNode) -> Flow:
    """The flow of the saved job."""
    made = Flow("saved")
    routines = {
        "work": node(work),
        "remind": node(remind, "out", "later"),
        "flaky": node(flaky),
        "source": node(source),
        "join": Join(),
        "gather": Gather(),
        "relay": node(lambda self, n: self.emit("out", n=n)),
    }
    for name, routine in routines.items():
        made.add_routine(routine, name)
    routines["work"].set_as_optional("skip")
    routines["work"].set_concurrency(2)
    routines["flaky"].set_as_critical(max_retries=5, retry_delay=60.0)
    made.connect("work.out", "join.left")
    made.connect("work.out", "gather.input")
    made.connect("remind.out", "relay.input")
    return made


def paused_as_saved(runtime: Runtime, dispatcher: SteppedDispatcher, flow: Flow, flush: Callable[[], None]) -> JobState:
    """The job in the files: one that has something of everything, and is paused half-way."""

    def run(until: Callable[[], bool] = lambda: False) -> None:
        flush()
        while not until() and dispatcher.step():
            flush()

    job = runtime.exec(flow, job_id="saved", keep_alive=True, timeout=900.0)
    for n in (0, 1, 2):
        runtime.post(job, "work", None, {"n": n}, key=f"post {n}")
    for routine, slot, n in [("join", "right", 5), ("remind", None, 7), ("flaky", None, 9)]:
        runtime.post(job, routine, slot, {"n": n})
    run()
    runtime.post(job, "source", None, {"n": 4})
    run(until=lambda: len(job.outputs.get("source.out", ())) == 2)
    runtime.post(job, "relay", None, {"n": 3})
    flush()
    job.request_pause("the night", checkpoint={"rows": {1, 2}})
    run()
    assert job.status == "paused"
    return job


def check_facts(job: JobState) -> None:
    """What was true of the job when it was saved."""
    assert (job.job_id, job.flow_id, job.status, job.pause_reason) == ("saved", "saved", "paused", "the night")
    assert job.checkpoint == {"rows": {1, 2}}
    assert (job.data.version, job.data.timeout, job.data.is_kept_alive) == (1, 900.0, True)
    assert job.data.keys == {"post 0", "post 1", "post 2"}
    assert {place: [m.payload for m in messages] for place, messages in job.data.pending.items()} == {
        ("join", "left"): [{"n": 2}],
        ("flaky", "input"): [{"n": 9}],
        ("source", "input"): [{"n": 4}],
        ("relay", "input"): [{"n": 3}],
    }
    assert [tuple(retry) for retry in job.data.retries.values()] == [("flaky", 0, BEGAN + 60.0, 60.0)]
    assert sorted((timer.routine, timer.due - BEGAN) for timer in job.data.timers.values()) == [
        ("remind", 60.0),
        ("remind", 90.0),
    ]
    assert [(letter.payload, letter.reason) for letter in job.dead_letters] == [({"n": 0}, "ValueError: nothing to do")]
    assert job.routine_states["source"] == {"at": 2}
    assert sorted(job.get_routine_state("work")["seen"]) == [[1], [2]]
    assert dict(job.shared_data) == {"last": (2, frozenset({2}))}
    assert list(job.shared_log) == [1, 2]
    assert job.outputs == {
        "join.out": [{"n": [1, 5]}],
        "gather.out": [{"n": [1]}, {"n": [1, 2]}],
        "source.out": [{"n": 0}, {"n": 1}],
    }
    assert [output["data"] for output in job.output_log] == [{"n": 1}, {"n": 2}]
    assert [entry.error for entry in job.execution_history if entry.routine_id == "flaky"] == [
        "ConnectionError: not yet"
    ]
    assert len(job.execution_history) > 10


def check_end(job: JobState) -> None:
    """What it has come to once it has had `n=6` on the right of the join, and `n=8` for `gather`."""
    assert (job.status, [letter.payload for letter in job.dead_letters]) == ("completed", [{"n": 0}])
    assert job.outputs == {
        "join.out": [{"n": [1, 5]}, {"n": [2, 6]}],
        "gather.out": [{"n": [1]}, {"n": [1, 2]}, {"n": [1, 2, 8]}],
        "source.out": [{"n": 0}, {"n": 1}, {"n": 2}, {"n": 3}],
        "relay.out": [{"n": 3}, {"n": 7}],
        "flaky.out": [{"n": 9}],
        "remind.later": [{"n": 7}],
    }


def go_on(runtime: Runtime, job: JobState) -> None:
    for routine, slot, n in [("join", "right", 6), ("gather", None, 8), ("work", None, 1)]:
        runtime.post(job, routine, slot, {"n": n}, key="post 1" if routine == "work" else None)
    job.close()


def test_the_job_in_the_files_can_still_be_made(stepped: Runtime, dispatcher: SteppedDispatcher, flow: Flow) -> None:
    job = paused_as_saved(stepped, dispatcher, flow, lambda: None)

    check_facts(job)
    assert json.loads(json.dumps(job.serialize())).keys() >= json.loads(JSON_FILE.read_text()).keys()


def test_the_files_name_no_folder_of_the_machine_that_wrote_them() -> None:
    for saved in JSON_FILE, STORE_FILE:
        assert b'File "/' not in saved.read_bytes().replace(b"\\", b"")


def test_a_job_file_of_the_first_format_is_read_and_goes_on(stepped: Runtime, flow: Flow) -> None:
    job = JobState.load(JSON_FILE)
    check_facts(job)

    stepped.exec(flow, job_state=job)
    go_on(stepped, job)

    assert job.wait()
    check_end(job)


def test_a_store_of_the_first_format_is_opened_and_goes_on(flow: Flow, tmp_path: Path) -> None:
    shutil.copy(STORE_FILE, tmp_path / "jobs.db")
    url = f"sqlite:///{tmp_path / 'jobs.db'}"
    with Runtime(4, store=url, flows=[flow]) as runtime:
        job = runtime.get_job("saved")
        assert job is not None
        check_facts(job)

        runtime.resume_job(job)
        go_on(runtime, job)
        assert job.wait(30)
    with Runtime(4, store=url) as runtime:
        again = runtime.get_job("saved")
        assert again is not None
        check_end(again)
