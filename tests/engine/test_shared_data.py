"""Shared data: a step reads what is committed plus its own writes; what it writes takes effect with it."""

from collections.abc import Callable
from typing import Any

import pytest

from actors.testing.stepped_dispatcher import SteppedDispatcher
from flowforge.flow import Flow
from flowforge.job_state import JobState
from flowforge.options import RuntimeOptions
from flowforge.routine import Routine
from flowforge.runtime import Runtime
from flowforge.shared_data import SharedData

Graph = Callable[..., Flow]
Run = Callable[..., JobState]
Turn = Callable[..., None]


def two(first: Callable[[SharedData], Any], second: Callable[[SharedData], Any]) -> dict[str, Any]:
    """Two routines that both are entered."""
    return {
        "a": lambda self: first(self.job_state.shared_data),
        "b": lambda self: second(self.job_state.shared_data),
    }


def test_a_step_reads_its_own_writes(run: Run, graph: Graph) -> None:
    def work(self: Routine) -> None:
        data = self.job_state.shared_data
        data["x"] = [1]
        data["x"].append(2)
        data["y"] = 1
        del data["y"]
        self.emit("out", x=data["x"], keys=list(data), has_y="y" in data)

    job = run(graph({"a": work}))

    assert job.outputs["a.out"] == [{"x": [1, 2], "keys": ["x"], "has_y": False}]
    assert dict(job.shared_data) == {"x": [1, 2]}


def test_of_two_assignments_the_last_to_commit_wins(stepped: Runtime, graph: Graph, turn: Turn) -> None:
    def assign(value: str) -> Callable[[SharedData], None]:
        return lambda data: data.update(x=value)

    job = stepped.exec(graph(two(assign("a"), assign("b"))))
    turn("a", "b", "b", "a")

    assert job.shared_data["x"] == "a"


def test_additions_of_steps_that_overlap_are_all_counted(stepped: Runtime, graph: Graph, turn: Turn) -> None:
    job = stepped.exec(graph(two(lambda data: data.add("n", 1), lambda data: data.add("n", 10))))

    turn("a", "b", "b", "a")

    assert job.shared_data["n"] == 11


def test_update_with_is_computed_at_commit_on_the_committed_value(stepped: Runtime, graph: Graph, turn: Turn) -> None:
    def append(item: str) -> Callable[[SharedData], None]:
        return lambda data: data.update_with("items", lambda old: [*(old or ()), item])

    job = stepped.exec(graph(two(append("a"), append("b"))))
    turn("a", "b", "b", "a")

    assert job.shared_data["items"] == ["b", "a"]


def test_a_read_and_a_write_lose_an_overlapping_update(stepped: Runtime, graph: Graph, turn: Turn) -> None:
    def increment(data: SharedData) -> None:
        data["n"] = data.get("n", 0) + 1

    job = stepped.exec(graph(two(increment, increment)))
    turn("a", "b", "b", "a")

    assert job.shared_data["n"] == 1


def test_additions_by_threads_lose_nothing(run: Run, graph: Graph) -> None:
    def send(self: Routine) -> None:
        for n in range(100):
            self.emit("out", n=n)

    def count(self: Routine, n: int) -> None:
        self.job_state.shared_data.add("n")

    edges = [f"a.out -> {name}.input" for name in "bcde"]
    job = run(graph({"a": send, **dict.fromkeys("bcde", count)}, *edges))

    assert job.shared_data["n"] == 400


def test_a_change_of_a_value_that_was_read_counts_as_an_assignment(run: Run, graph: Graph) -> None:
    def first(self: Routine) -> None:
        self.job_state.shared_data["x"] = {"items": [1]}
        self.emit("out")

    def second(self: Routine) -> None:
        self.job_state.shared_data["x"]["items"].append(2)

    job = run(graph({"a": first, "b": second}, "a.out -> b.input"))

    assert job.shared_data["x"] == {"items": [1, 2]}


def test_a_value_only_read_overwrites_nobodys_change(stepped: Runtime, graph: Graph, turn: Turn) -> None:
    def replace(data: SharedData) -> None:
        data["x"] = [2]

    flow = graph(two(lambda data: data["x"], replace))
    job = stepped.exec(flow)
    job.shared_data["x"] = [1]
    turn("a", "b", "b", "a")

    assert job.shared_data["x"] == [2]


def test_a_change_function_that_raises_at_commit_fails_the_step(stepped: Runtime, graph: Graph, turn: Turn) -> None:
    def divide(data: SharedData) -> None:
        data["other"] = 1
        data.update_with("n", lambda n: 100 // n)

    def zero(data: SharedData) -> None:
        data["n"] = 0

    job = stepped.exec(graph(two(divide, zero)))
    job.shared_data["n"] = 5
    turn("a", "b", "b", "a")
    job.wait()

    assert (job.status, dict(job.shared_data)) == ("failed", {"n": 0})
    assert job.error is not None
    assert job.error.type == "ZeroDivisionError"


def test_a_shared_value_that_cannot_be_kept_fails_the_step(run: Run, graph: Graph) -> None:
    def keep(self: Routine) -> None:
        self.job_state.shared_data["x"] = {"bad": object()}
        self.emit("out")

    job = run(graph({"a": keep}))

    assert job.error is not None
    assert "shared_data['x']['bad']" in job.error.text.replace('"', "'")
    assert (dict(job.shared_data), job.outputs) == ({}, {})


def test_a_log_entry_that_cannot_be_kept_fails_the_step(run: Run, graph: Graph) -> None:
    job = run(graph({"a": lambda self: self.job_state.shared_log.append(object())}))

    assert job.error is not None
    assert "'shared_log entry'" in job.error.text


def test_a_deleted_key_is_gone_with_the_step(run: Run, graph: Graph) -> None:
    def first(self: Routine) -> None:
        self.job_state.shared_data["x"] = 1
        self.emit("out")

    def second(self: Routine) -> None:
        del self.job_state.shared_data["x"]

    job = run(graph({"a": first, "b": second}, "a.out -> b.input"))

    assert dict(job.shared_data) == {}


def test_reading_or_deleting_a_missing_key_raises_key_error(run: Run, graph: Graph) -> None:
    job = run(graph({"a": lambda self: None}))

    with pytest.raises(KeyError, match=r"nothing"):
        job.shared_data["nothing"]
    with pytest.raises(KeyError, match=r"nothing"):
        del job.shared_data["nothing"]


def test_outside_of_steps_each_write_takes_effect_at_once(stepped: Runtime, graph: Graph) -> None:
    job = stepped.exec(graph({"a": lambda self: self.emit("out", **self.job_state.shared_data)}))

    job.shared_data["x"] = 1
    job.shared_data.add("x", 2)
    job.shared_log.append("from outside")
    job.wait()

    assert job.outputs["a.out"] == [{"x": 3}]
    assert job.shared_log == ["from outside"]


def test_what_is_read_outside_of_steps_is_a_copy(run: Run, graph: Graph) -> None:
    job = run(graph({"a": lambda self: self.job_state.shared_data.update(x=[1])}))

    job.shared_data["x"].append(2)

    assert job.shared_data["x"] == [1]


def test_the_shared_log_shows_a_step_its_own_entries(run: Run, graph: Graph) -> None:
    def work(self: Routine) -> None:
        self.job_state.shared_log.append("one")
        self.emit("out", entries=list(self.job_state.shared_log))

    job = run(graph({"a": work}))

    assert job.outputs["a.out"] == [{"entries": ["one"]}]
    assert list(job.shared_log) == ["one"]


def test_log_entries_are_copied_when_appended(run: Run, graph: Graph) -> None:
    def work(self: Routine) -> None:
        entry = [1]
        self.job_state.shared_log.append(entry)
        entry.append(2)

    assert list(run(graph({"a": work})).shared_log) == [[1]]


def test_a_shared_log_is_bounded_and_counts_what_it_lets_go(
    chain: Callable[..., Flow], caplog: pytest.LogCaptureFixture
) -> None:
    def note(self: Routine) -> None:
        for n in range(5):
            self.job_state.shared_log.append(n)

    with Runtime(dispatcher=SteppedDispatcher(), options=RuntimeOptions(max_outputs=3)) as runtime:
        job = runtime.exec(chain(note))
        job.wait()

    assert (list(job.shared_log), job.data.shared_log_dropped) == ([2, 3, 4], 2)
    assert "more than 3 entries; the oldest leave it" in caplog.text
