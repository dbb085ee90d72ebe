"""Arrays and tables in payloads, state and shared data: rolled back, kept and recovered as any other value."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd  # type: ignore[import-untyped]
import pytest

from flowforge.error_handler import ErrorHandler, ErrorStrategy
from flowforge.flow import Flow
from flowforge.job_errors import FlowChangedError
from flowforge.job_state import JobState
from flowforge.routine import Routine
from flowforge.runtime import Runtime
from flowforge.stores.codec import Codec
from flowforge.testing.equivalence import assert_confluent, assert_crash_equivalent
from flowforge.testing.simulation import simulate
from flowforge.testing.simulation_errors import PayloadChangedError

Chain = Callable[..., Flow]
CODEC = Codec(extras=["numpy", "pandas"])


def add_up(self: Routine, numbers: Any) -> None:
    total = self.state.get("total")
    self.state["total"] = np.asarray(numbers) if total is None else total + numbers
    self.state.setdefault("all", []).append(numbers)
    self.job_state.shared_data.update_with("sum", lambda old: numbers if old is None else old + numbers)
    self.emit("out", numbers=numbers * 2)


def add_in_place(self: Routine, numbers: Any) -> None:
    self.state["total"] += numbers
    self.state["of"] = pd.DataFrame({"n": numbers})
    if numbers[0] < 0:
        raise ValueError("negative")
    self.emit("out", numbers=numbers)


def rows(*starts: int) -> list[dict[str, Any]]:
    return [{"numbers": np.arange(start, start + 3)} for start in starts]


@pytest.fixture
def open_store(tmp_path: Path) -> Callable[[Flow], Runtime]:
    return lambda flow: Runtime(2, codec=CODEC, store=f"sqlite:///{tmp_path / 'jobs.db'}", flows=[flow])


def test_arrays_survive_a_restart_in_state_and_messages(chain: Chain, open_store: Callable[[Flow], Runtime]) -> None:
    flow = chain(add_up, add_up)
    with open_store(flow) as runtime:
        job = runtime.exec(flow, job_id="job", keep_alive=True)
        runtime.post(job, "a", "input", rows(1)[0])

    with open_store(flow) as runtime:
        again = runtime.exec(flow, job_id="job", keep_alive=True)
        runtime.post(again, "a", "input", rows(2)[0])
        again.close()
        assert again.wait(30)

    assert again.get_routine_state("b")["total"].tolist() == [6, 10, 14]
    assert again.shared_data["sum"].tolist() == [9, 15, 21]
    assert [payload["numbers"].tolist() for payload in again.outputs["b.out"]] == [[4, 8, 12], [8, 12, 16]]


def test_an_array_changed_in_place_is_put_back_when_its_step_fails(node: type[Any]) -> None:
    flow = Flow("flow", error_handler=ErrorHandler(ErrorStrategy.SKIP))
    flow.add_routine(node(add_in_place, total=np.zeros(3, dtype=int)), "a")

    with Runtime(2, codec=CODEC) as runtime:
        job = runtime.exec(flow, keep_alive=True)
        for payload in rows(1, -5, 2):
            runtime.post(job, "a", "input", payload)
        job.close()
        assert job.wait(30)

    assert job.get_routine_state("a")["total"].tolist() == [3, 5, 7]
    assert job.get_routine_state("a")["of"]["n"].tolist() == [2, 3, 4]
    assert [letter.reason for letter in job.dead_letters] == ["ValueError: negative"]


def test_arrays_go_through_a_saved_job(node: type[Any], tmp_path: Path) -> None:
    flow = Flow("flow")
    flow.add_routine(node(add_in_place, total=np.zeros(3, dtype=int)), "a")
    with Runtime(2, codec=CODEC) as runtime:
        job = runtime.exec(flow, keep_alive=True)
        runtime.post(job, "a", "input", rows(1)[0])
        job.pause()
        job.save(tmp_path / "job.json")

    loaded = JobState.load(tmp_path / "job.json", codec=CODEC)
    with Runtime(2, codec=CODEC) as runtime:
        runtime.exec(flow, job_state=loaded)
        loaded.close()
        assert loaded.wait(30)

    assert loaded.get_routine_state("a")["total"].tolist() == [1, 2, 3]
    assert loaded.outputs["a.out"][0]["numbers"].tolist() == [1, 2, 3]


def test_an_array_set_on_the_template_later_is_what_jobs_begin_with(node: type[Any]) -> None:
    template = node(add_in_place, total=np.zeros(3, dtype=int))
    template.state["total"] = np.full(3, 10)
    flow = Flow("flow")
    flow.add_routine(template, "a")

    with Runtime(2, codec=CODEC) as runtime:
        jobs = [runtime.exec(flow, entry_params=rows(1)[0]) for _ in range(2)]
        assert all(job.wait(30) for job in jobs)

    assert [job.get_routine_state("a")["total"].tolist() for job in jobs] == [[11, 12, 13]] * 2


def test_the_state_of_a_replica_that_is_gone_is_missed_with_arrays_in_it(node: type[Any], tmp_path: Path) -> None:
    flow = Flow("flow")
    template = node(add_in_place, total=np.zeros(3, dtype=int))
    flow.add_routine(template, "a")
    template.set_concurrency(2)
    with Runtime(2, codec=CODEC) as runtime:
        job = runtime.exec(flow, keep_alive=True)
        for payload in rows(1, 2, 3, 4):
            runtime.post(job, "a", "input", payload)
        job.pause()
        job.save(tmp_path / "job.json")
    template.set_concurrency(1)

    with Runtime(2, codec=CODEC) as runtime, pytest.raises(FlowChangedError, match="the replica 1 of 'a' is gone"):
        runtime.exec(flow, job_state=JobState.load(tmp_path / "job.json", codec=CODEC))


@pytest.mark.parametrize("check", [assert_crash_equivalent, assert_confluent])
def test_no_crash_and_no_order_changes_sums_of_arrays(chain: Chain, check: Callable[..., Any]) -> None:
    def add(self: Routine, numbers: Any) -> None:
        self.state["total"] = self.state.get("total", 0) + numbers
        self.emit("out", numbers=numbers)

    check(chain(add, add), rows(1, 2), codec=CODEC)


def test_an_array_changed_after_its_emit_is_reported(chain: Chain) -> None:
    def spoil(self: Routine, numbers: Any) -> Iterator[None]:
        self.emit("out", numbers=numbers)
        self.state["at"] = 1
        yield
        numbers[0] = 99

    with pytest.raises(PayloadChangedError):
        simulate(chain(spoil, add_up), rows(1), codec=CODEC)
