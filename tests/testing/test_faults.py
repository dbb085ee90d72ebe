"""Injected failures: at the very end of the k-th step of a routine, or by taking longer than its time."""

from collections.abc import Callable
from typing import Any

import pytest

from flowforge.activation_policies import batch_size_policy
from flowforge.flow import Flow
from flowforge.job_errors import StepTimeoutError
from flowforge.records import StepFailed
from flowforge.routine import Routine
from flowforge.testing.schedule import Failure, Schedule
from flowforge.testing.simulated_run import SimulatedRun
from flowforge.testing.simulation import simulate
from flowforge.testing.simulation_errors import InjectedError
from tests.handlers import async_source, count, nap, source

Graph = Callable[..., Flow]
MakeNode = Callable[..., Routine]


def failed_steps(run: SimulatedRun) -> list[StepFailed]:
    return [record for _, record in run.records if isinstance(record, StepFailed)]


def failing(k: int, failure: Failure = InjectedError) -> Schedule:
    return Schedule(fail={("a", k): failure})


def retrying(routine: Routine, concurrency: int = 1) -> Routine:
    routine.set_as_critical(max_retries=3, retry_delay=1)
    routine.set_concurrency(concurrency)
    return routine


def test_a_step_that_is_made_to_fail_leaves_nothing(graph: Graph, node: MakeNode) -> None:
    def do_all(self: Routine, n: int) -> None:
        self.state["seen"].append(n)
        self.job_state.shared_data.add("sum", n)
        self.job_state.shared_log.append(n)
        self.send_output("told", n=n)
        self.emit("out", n=n)

    routine = node(do_all, seen=[])
    routine.set_as_optional("skip")

    run = simulate(graph({"a": routine}), [{"n": 1}, {"n": 2}, {"n": 3}], schedule=failing(2))

    assert run.outputs == {"a.out": [{"n": 1}, {"n": 3}]}
    assert run.job_state.get_routine_state("a") == {"seen": [1, 3]}
    assert run.job_state.shared_data["sum"] == 4
    assert list(run.job_state.shared_log) == [1, 3]
    assert [told["data"] for told in run.job_state.output_log] == [{"n": 1}, {"n": 3}]
    assert [letter.payload for letter in run.job_state.dead_letters] == [{"n": 2}]


def test_the_error_that_is_given_is_what_the_step_failed_with(chain: Graph) -> None:
    run = simulate(chain(count), schedule=failing(1, ValueError("no money")))

    assert run.status == "failed"
    (failed,) = failed_steps(run)
    assert (failed.error.type, failed.error.text) == ("ValueError", "no money")
    assert "step 1 of a failed with ValueError('no money')" in run.story()


def test_steps_are_counted_with_their_retries(chain: Graph, node: MakeNode) -> None:
    schedule = Schedule(fail={("a", 1): KeyError, ("a", 2): KeyError, ("a", 4): KeyError})

    run = simulate(chain(retrying(node(count))), [{"n": 1}, {"n": 2}], schedule=schedule)

    assert [failed.messages[0].payload["n"] for failed in failed_steps(run)] == [1, 1, 2]
    assert [failed.messages[0].attempt for failed in failed_steps(run)] == [1, 2, 1]
    assert run.is_completed
    assert run.outputs == {"a.out": [{"n": 1}, {"n": 2}]}


def test_steps_of_all_replicas_are_counted_together(chain: Graph, node: MakeNode) -> None:
    routine = node(count)
    routine.set_as_optional("skip")
    routine.set_concurrency(3)

    run = simulate(chain(routine), [{"n": n} for n in range(6)], schedule=failing(5))

    assert [letter.payload for letter in run.job_state.dead_letters] == [{"n": 4}]


def test_segments_of_a_generator_are_counted_apart(chain: Graph, node: MakeNode) -> None:
    run = simulate(chain(retrying(node(source))), {"n": 4}, schedule=failing(3))

    assert run.outputs == {"a.out": [{"n": n} for n in range(4)]}
    assert run.time == pytest.approx(1)
    assert len(failed_steps(run)) == 1


def test_a_failure_at_a_step_that_never_comes_is_not_told(chain: Graph) -> None:
    run = simulate(chain(count), schedule=failing(2))

    assert run.is_completed
    assert run.story().startswith("First in, first out. ")


def test_a_step_that_fails_by_itself_keeps_its_own_error(chain: Graph) -> None:
    def refuse(self: Routine) -> None:
        raise LookupError("its own")

    run = simulate(chain(refuse), schedule=failing(1))

    assert failed_steps(run)[0].error.text == "its own"


@pytest.mark.parametrize("concurrency", [1, 2])
@pytest.mark.parametrize("handler", [count, nap, source, async_source])
@pytest.mark.parametrize("k", [1, 2, 3])
def test_a_step_of_any_kind_can_take_too_long(
    chain: Graph, node: MakeNode, handler: Any, concurrency: int, k: int
) -> None:
    flow = chain(retrying(node(handler), concurrency))
    undisturbed = simulate(flow, [{"n": 2}, {"n": 3}, {"n": 4}])

    run = simulate(flow, [{"n": 2}, {"n": 3}, {"n": 4}], schedule=failing(k, StepTimeoutError))

    (failed,) = failed_steps(run)
    assert failed.error.type == "StepTimeoutError"
    assert f"step {k} of a took longer than its time" in run.story()
    assert run.is_completed
    assert sorted(p["n"] for p in run.outputs["a.out"]) == sorted(p["n"] for p in undisturbed.outputs["a.out"])


def test_a_logic_can_take_too_long(graph: Graph) -> None:
    def gather(slots: dict[str, list[dict[str, Any]]], message: object, job: object) -> None:
        gathering.emit("out", n=[payload["n"] for payload in slots["input"]])

    gathering = Routine()
    gathering.define_slot("input")
    gathering.define_event("out")
    gathering.set_activation_policy(batch_size_policy(2))
    gathering.set_logic(gather)

    run = simulate(
        graph({"a": retrying(gathering)}), [{"n": n} for n in range(4)], schedule=failing(2, StepTimeoutError)
    )

    assert [failed.error.type for failed in failed_steps(run)] == ["StepTimeoutError"]
    assert run.outputs == {"a.out": [{"n": [0, 1]}, {"n": [2, 3]}]}


def test_what_a_handler_does_after_its_time_is_over_is_refused(chain: Graph, node: MakeNode) -> None:
    routine = node(count)
    routine.set_as_optional("skip")

    run = simulate(chain(routine), [{"n": 1}, {"n": 2}], schedule=failing(1, StepTimeoutError))

    assert run.outputs == {"a.out": [{"n": 2}]}
    assert run.job_state.get_routine_state("a") == {"seen": 1}
    assert len(run.job_state.dead_letters) == 1
