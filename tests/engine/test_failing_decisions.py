"""What is the user's and runs outside of a handler fails as a step does: policies, merges, and actors that break."""

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest

from actors.testing.stepped_dispatcher import SteppedDispatcher
from flowforge.error_handler import ErrorHandler
from flowforge.flow import Flow
from flowforge.job_state import JobState
from flowforge.records import RoutineRestarted
from flowforge.routine import Routine
from flowforge.runtime import Runtime

Chain = Callable[..., Flow]
Run = Callable[..., JobState]


class Gathering(Routine):
    """Has a logic, and a policy that raises as long as `problem` says so."""

    def __init__(self, problem: list[Exception]) -> None:
        super().__init__()
        self.define_slot("input")
        self.define_event("out")
        self.problem = problem
        self.set_logic(self.gather)
        self.set_activation_policy(self.decide)

    def decide(self, waiting: Any) -> Any:
        if self.problem:
            raise self.problem[0]
        return {"input": 1} if waiting.counts["input"] else None

    def gather(self, slot_data: Any, message: Any, job_state: Any) -> None:
        self.emit("out", **slot_data["input"][0])


class Merging(Routine):
    """Its merge strategy refuses the number 2."""

    def __init__(self, replicas: int) -> None:
        super().__init__()
        self.define_slot("input", handler=self.work, merge_strategy=self.merge)
        self.define_event("out")
        self.set_concurrency(replicas)

    def merge(self, old: dict[str, Any] | None, new: dict[str, Any]) -> dict[str, Any]:
        if new["n"] == 2:
            raise ArithmeticError("no twos")
        return {"n": new["n"] if old is None else old["n"] + new["n"]}

    def work(self, n: int) -> None:
        self.emit("out", n=n)


def send_three(self: Routine) -> None:
    for number in (1, 2, 3):
        self.emit("out", n=number)


@pytest.mark.parametrize("strategy", ["skip", "continue"])
def test_a_policy_that_raises_is_answered_by_the_error_handler(run: Run, chain: Chain, strategy: str) -> None:
    flow = chain(lambda self: self.emit("out", n=1), Gathering([LookupError("no rule")]))
    flow.routines["b"].set_error_handler(ErrorHandler(strategy))
    job = run(flow)

    assert (job.status, job.routine_status("b")["errors"]) == ("completed", 1)
    assert [(letter.payload, letter.reason) for letter in job.dead_letters] == [({"n": 1}, "LookupError: no rule")]


@pytest.mark.parametrize("replicas", [1, 3])
def test_a_merge_that_raises_is_answered_by_the_error_handler(run: Run, chain: Chain, replicas: int) -> None:
    flow = chain(send_three, Merging(replicas), error_handler=ErrorHandler("skip"))
    job = run(flow)

    assert job.outputs == {"b.out": [{"n": 1}, {"n": 4}]}
    assert [(letter.payload, letter.reason) for letter in job.dead_letters] == [({"n": 2}, "ArithmeticError: no twos")]


@pytest.mark.parametrize("replicas", [1, 3])
def test_a_merge_that_raises_fails_the_job_and_keeps_the_message(run: Run, chain: Chain, replicas: int) -> None:
    job = run(chain(send_three, Merging(replicas)))

    assert (job.status, job.failed_routine) == ("failed", "b")
    waiting = [message.payload["n"] for message in job.data.pending["b", "input"]]
    # A replica that was handed the first before the second failed may not have begun.
    assert waiting in ([2, 3], [1, 2, 3][replicas == 1 :])


def test_restarts_of_a_broken_actor_come_later_and_later(
    stepped: Runtime, dispatcher: SteppedDispatcher, chain: Chain, node: type[Routine]
) -> None:
    starts: list[float] = []

    class Broken(node):  # type: ignore[misc,valid-type]  # a fixture's class
        def on_start(self) -> None:
            starts.append(dispatcher.clock.monotonic())
            raise OSError("no disk")

    job = stepped.exec(chain(Broken(lambda self: None)))
    job.wait()

    assert job.status == "failed"
    assert [later - earlier for earlier, later in pairwise(starts)] == pytest.approx([0.05, 0.1, 0.2])
    assert len([record for record in job.view.history if isinstance(record, RoutineRestarted)]) == 3
