"""Merge strategies: what a handler gets when several messages meet in a slot."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from flowforge.flow import Flow
from flowforge.job_state import JobState
from flowforge.routine import Routine
from flowforge.runtime import Runtime

Run = Callable[..., JobState]
Graph = Callable[..., Flow]


class Merging(Routine):
    """Emits what its handler is called with; raises at the calls it is told to."""

    def __init__(self, merge_strategy: Any, failures: list[int]) -> None:
        super().__init__()
        self.define_slot("input", handler=self.tell, merge_strategy=merge_strategy)
        self.define_event("out")
        self.failures = failures

    def tell(self, **payload: Any) -> None:
        self.emit("out", **payload)
        if self.failures:
            self.failures.pop()
            raise LookupError


def send(self: Routine) -> None:
    self.emit("out", n=1)
    self.emit("out", n=2, other="x")
    self.emit("out", n=3)


@pytest.fixture
def merged(run: Run, graph: Graph) -> Callable[..., JobState]:
    def run_merging(merge_strategy: Any, *, failures: int = 0) -> JobState:
        flow = graph({"a": send, "b": Merging(merge_strategy, [1] * failures)}, "a.out -> b.input")
        flow.routines["b"].set_as_critical(retry_delay=0.0)
        return run(flow)

    return run_merging


Merged = Callable[..., JobState]

APPENDED = [{"n": [1]}, {"n": [1, 2], "other": ["x"]}, {"n": [1, 2, 3], "other": ["x"]}]


def add_up(old: dict[str, Any] | None, new: dict[str, Any]) -> dict[str, Any]:
    return {"n": new["n"] + (old["n"] if old else 0)}


def test_override_gives_each_message_as_it_is(merged: Merged) -> None:
    assert merged("override").outputs["b.out"] == [{"n": 1}, {"n": 2, "other": "x"}, {"n": 3}]


def test_append_gathers_values_in_lists_per_key(merged: Merged) -> None:
    assert merged("append").outputs["b.out"] == APPENDED


def test_a_function_merges_the_old_with_the_new(merged: Merged) -> None:
    assert merged(add_up).outputs["b.out"] == [{"n": 1}, {"n": 3}, {"n": 6}]


@pytest.mark.parametrize(("strategy", "expected"), [("append", APPENDED), (add_up, [{"n": 1}, {"n": 3}, {"n": 6}])])
def test_a_failed_attempt_merges_nothing(merged: Merged, strategy: Any, expected: Any) -> None:
    assert merged(strategy, failures=2).outputs["b.out"] == expected


def test_a_merge_function_that_raises_fails_the_step(merged: Merged) -> None:
    def refuse(old: Any, new: Any) -> dict[str, Any]:
        raise KeyError("merge")

    job = merged(refuse)

    assert job.error is not None
    assert (job.status, job.error.type) == ("failed", "KeyError")


def test_a_merge_function_that_gives_no_dict_fails_the_step(merged: Merged) -> None:
    job = merged(lambda old, new: [])

    assert job.error is not None
    assert "The merge function of slot 'input' returned []. Return a dict with string keys." in job.error.text


def test_a_merge_function_cannot_change_what_was_merged(merged: Merged) -> None:
    def impure(old: dict[str, Any] | None, new: dict[str, Any]) -> dict[str, Any]:
        if old is not None:
            old["items"].append("changed")
        return {"items": [new["n"]]}

    job = merged(impure)

    assert job.outputs["b.out"] == [{"items": [1]}, {"items": [2]}, {"items": [3]}]


def test_what_is_merged_is_no_part_of_the_users_state(merged: Merged) -> None:
    assert merged("append").get_routine_state("b") == {}


def test_what_is_merged_belongs_to_the_job(run: Run, graph: Graph) -> None:
    flow = graph({"a": send, "b": Merging("append", [])}, "a.out -> b.input")

    assert [run(flow).outputs["b.out"] for _ in range(2)] == [APPENDED, APPENDED]


def test_what_is_merged_survives_a_pause(stepped: Runtime, graph: Graph, turn: Callable[..., None]) -> None:
    job = stepped.exec(graph({"a": send, "b": Merging("append", [])}, "a.out -> b.input"))
    turn("a", "a", "b", "b")

    stepped.pause_job(job)
    stepped.resume_job(job).wait()

    assert job.outputs["b.out"] == APPENDED


def test_a_handler_may_keep_what_it_was_given(run: Run, graph: Graph) -> None:
    kept: list[dict[str, Any]] = []
    routine = Routine()
    routine.define_slot("input", handler=lambda **payload: kept.append(payload), merge_strategy="append")

    run(graph({"a": send, "b": routine}, "a.out -> b.input"))

    assert kept == APPENDED


def test_a_generator_merges_its_message_once(run: Run, graph: Graph) -> None:
    class Slow(Merging):
        def tell(self, **payload: Any) -> Iterator[None]:  # type: ignore[override]  # a generator this time
            while self.state.setdefault("yields", 0) < 3:
                self.state["yields"] += 1
                yield
            if self.failures:
                self.failures.pop()
                raise LookupError
            self.state["yields"] = 0
            self.emit("out", **payload)

    flow = graph({"a": send, "b": Slow("append", [1])}, "a.out -> b.input")
    flow.routines["b"].set_as_critical(retry_delay=0.0)

    assert run(flow).outputs["b.out"] == APPENDED
