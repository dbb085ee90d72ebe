"""A routine's state: changed with its steps, put back with them, kept per job."""

from collections.abc import Callable
from typing import Any

import pytest

from flowforge.flow import Flow
from flowforge.job_state import JobState
from flowforge.records import StepCommitted
from flowforge.routine import Routine
from flowforge.routine_errors import OutsideStepError
from flowforge.runtime import Runtime

Chain = Callable[..., Flow]
Run = Callable[..., JobState]


def initial() -> dict[str, Any]:
    return {"list": [1, [2]], "dict": {"a": {"b": 1}}, "set": {1}, "n": 1}


def change_all(state: dict[str, Any]) -> None:
    state["list"].append(3)
    state["list"][1].append(4)
    state["dict"]["a"]["b"] = 2
    state["dict"]["c"] = []
    state["set"].add(2)
    state["n"] += 1
    del state["list"][0]


def test_changes_in_place_take_effect_with_the_step(run: Run, chain: Chain, node: Callable[..., Routine]) -> None:
    expected = initial()
    change_all(expected)

    job = run(chain(node(lambda self: change_all(self.state), **initial())))

    assert job.get_routine_state("a") == expected


def test_changes_in_place_are_put_back_when_the_step_raises(
    run: Run, chain: Chain, node: Callable[..., Routine]
) -> None:
    seen: list[Any] = []

    def change(self: Routine) -> None:
        seen.append(self.stats())
        change_all(self.state)
        raise LookupError

    flow = chain(node(change, **initial()))
    flow.routines["a"].set_as_critical(retry_delay=0.0)
    job = run(flow)

    assert seen == [initial()] * 4
    assert job.get_routine_state("a") == initial()


def test_state_passes_from_step_to_step_of_a_job(run: Run, chain: Chain) -> None:
    def send(self: Routine) -> None:
        for n in range(5):
            self.emit("out", n=n)

    def count(self: Routine, n: int) -> None:
        self.state.setdefault("seen", []).append(n)
        self.increment_stat("calls")

    job = run(chain(send, count))

    assert job.get_routine_state("b") == {"seen": [0, 1, 2, 3, 4], "calls": 5}


def test_what_the_constructor_writes_is_the_initial_state_of_each_job(
    run: Run, chain: Chain, node: Callable[..., Routine]
) -> None:
    flow = chain(node(lambda self: self.state["items"].append(1), items=[]))

    states = [run(flow).get_routine_state("a") for _ in range(2)]

    assert states == [{"items": [1]}, {"items": [1]}]


@pytest.mark.parametrize("value", [object(), lambda: 1, {"deep": [1, object()]}])
def test_a_value_that_cannot_be_kept_fails_the_step_naming_its_path(run: Run, chain: Chain, value: Any) -> None:
    def keep(self: Routine) -> None:
        self.state["good"] = 1
        self.state["bad"] = value
        self.emit("out", n=1)

    job = run(chain(keep))

    assert job.status == "failed"
    assert job.error is not None
    assert "'state['bad']" in job.error.text.replace('"', "'")
    assert (job.get_routine_state("a"), job.outputs) == ({}, {})


def test_the_state_after_a_refused_commit_is_what_it_was(run: Run, chain: Chain, node: Callable[..., Routine]) -> None:
    def keep(self: Routine) -> None:
        change_all(self.state)
        self.state["bad"] = object()

    job = run(chain(node(keep, **initial())))

    assert job.get_routine_state("a") == initial()


def test_state_and_stats_are_one_mapping(run: Run, chain: Chain) -> None:
    def work(self: Routine) -> None:
        self._stats["x"] = 1
        self.set_stat("y", 2)
        self.increment_stat("x", 5)
        self.emit("out", stats=self.stats(), x=self.get_stat("x"), z=self.get_stat("z", "none"))

    job = run(chain(work))

    assert job.outputs["a.out"] == [{"stats": {"x": 6, "y": 2}, "x": 6, "z": "none"}]


def test_reset_stats_empties_the_state_with_its_step(run: Run, chain: Chain, node: Callable[..., Routine]) -> None:
    job = run(chain(node(lambda self: self.reset_stats(), n=1)))

    assert job.get_routine_state("a") == {}


def test_assigning_the_state_replaces_all_of_it(run: Run, chain: Chain, node: Callable[..., Routine]) -> None:
    def replace(self: Routine) -> None:
        self.state = {"new": 1}

    job = run(chain(node(replace, old=1)))

    assert job.get_routine_state("a") == {"new": 1}


def test_merging_into_the_state_in_place_keeps_what_it_had(run: Run, chain: Chain) -> None:
    class Merging(Routine):
        def __init__(self) -> None:
            super().__init__()
            self.define_slot("input", handler=self.merge)
            self.state |= {"first": 1}

        def merge(self) -> None:
            self.state |= {"second": 2}

    flow = Flow("flow")
    flow.add_routine(Merging(), "a")

    assert run(flow).get_routine_state("a") == {"first": 1, "second": 2}


def test_stats_on_the_template_shows_the_latest_jobs_figures(
    run: Run, chain: Chain, node: Callable[..., Routine]
) -> None:
    def count(self: Routine, n: int) -> None:
        self.increment_stat("sum", n)

    flow = chain(node(count, sum=0))
    before = flow.routines["a"].stats()
    jobs = [run(flow, n=n) for n in (5, 7)]

    assert before == {"sum": 0}
    assert flow.routines["a"].stats() == jobs[1].get_routine_state("a") == {"sum": 7}
    assert jobs[0].get_routine_state("a") == {"sum": 5}


def test_stats_returns_a_copy_that_changes_nothing(run: Run, chain: Chain) -> None:
    def work(self: Routine) -> None:
        self.state["items"] = [1]
        self.stats()["items"].append(2)

    flow = chain(work)
    job = run(flow)
    flow.routines["a"].stats()["items"].append(3)
    job.get_routine_state("a")["items"].append(4)

    assert job.get_routine_state("a") == {"items": [1]}


def test_an_attribute_assigned_in_a_step_raises_naming_the_remedy(run: Run, chain: Chain) -> None:
    def assign(self: Routine) -> None:
        self.client = 1

    job = run(chain(assign))

    assert job.error is not None
    assert job.error.type == "AttributeSetInStepError"
    assert "The attribute 'client' of the routine 'a' was assigned inside a step." in job.error.text
    assert "self.state['client'], or name it in a class-level transient = {'client'}" in job.error.text


def test_a_transient_attribute_may_be_assigned_and_is_not_put_back(run: Run) -> None:
    class Caching(Routine):
        transient = {"cache"}

        def __init__(self) -> None:
            super().__init__()
            self.cache = 0

        def __call__(self) -> None:
            self.cache += 1
            if self.cache < 3:
                raise LookupError

    flow = Flow("flow")
    flow.add_routine(Caching(), "a")
    flow.routines["a"].set_as_critical(retry_delay=0.0)

    assert run(flow).status == "completed"


def test_update_routine_state_merges_with_the_step(run: Run, chain: Chain, node: Callable[..., Routine]) -> None:
    def merge(self: Routine) -> None:
        self.job_state.update_routine_state("a", {"x": 2, "y": 3})

    job = run(chain(node(merge, x=1, z=1)))

    assert job.get_routine_state("a") == {"x": 2, "y": 3, "z": 1}


def test_update_routine_state_of_another_routine_is_refused(run: Run, chain: Chain) -> None:
    def meddle(self: Routine) -> None:
        self.job_state.update_routine_state("b", {"x": 2})

    job = run(chain(meddle, lambda self: None))

    assert job.error is not None
    assert "The state of the routine 'b' was changed inside a step of 'a'. Use shared_data" in job.error.text


def test_update_routine_state_outside_a_step_is_refused(run: Run, chain: Chain) -> None:
    job = run(chain(lambda self: None))

    with pytest.raises(OutsideStepError, match=r"the routine 'a' was used outside a step\. Change it inside a step"):
        job.update_routine_state("a", {"x": 1})


def test_get_routine_state_sees_the_steps_own_changes(run: Run, chain: Chain) -> None:
    def work(self: Routine) -> None:
        self.state["n"] = 1
        self.emit("out", seen=self.job_state.get_routine_state("a"))

    assert run(chain(work)).outputs["a.out"] == [{"seen": {"n": 1}}]


def test_get_routine_state_sees_of_others_what_is_committed(run: Run, chain: Chain) -> None:
    def first(self: Routine) -> None:
        self.state["n"] = 1
        self.emit("out")

    def second(self: Routine) -> None:
        self.emit("out", seen=self.job_state.get_routine_state("a"))

    assert run(chain(first, second)).outputs["b.out"] == [{"seen": {"n": 1}}]


def test_get_routine_state_gives_the_default_for_an_unknown_routine(run: Run, chain: Chain) -> None:
    job = run(chain(lambda self: None))

    assert job.get_routine_state("nobody", "default") == "default"


def test_the_state_is_user_state_and_the_status_system_facts(run: Run, chain: Chain) -> None:
    def work(self: Routine) -> None:
        self.state["n"] = 1

    job = run(chain(work))

    assert job.get_routine_state("a") == {"n": 1}
    assert job.routine_states == {"a": {"n": 1}}
    assert {"status": "completed", "calls": 1, "errors": 0}.items() <= job.routine_status("a").items()


def test_state_survives_a_failure_and_the_resume_of_its_job(runtime: Runtime, chain: Chain) -> None:
    def send(self: Routine) -> None:
        for n in range(3):
            self.emit("out", n=n)

    def gather(self: Routine, n: int) -> None:
        items = self.state.setdefault("items", [])
        items.append(n)
        if n == 1 and not self.job_state.shared_data.get("is_repaired"):
            raise LookupError

    flow = chain(send, gather)
    job = runtime.exec(flow)
    job.wait()
    job.shared_data["is_repaired"] = True
    runtime.resume_job(job).wait()

    assert job.get_routine_state("b") == {"items": [0, 1, 2]}


def test_growing_lists_are_kept_as_appends_not_as_images(run: Run, chain: Chain) -> None:
    def send(self: Routine) -> None:
        for n in range(200):
            self.emit("out", n=n)

    job = run(chain(send, lambda self, n: self.state.setdefault("items", []).append(n)))

    changes = [len(repr(r.state)) for r in job.view.history if isinstance(r, StepCommitted) and r.routine == "b"]
    assert max(changes[1:]) < 2 * min(changes[1:])
    assert job.get_routine_state("b") == {"items": list(range(200))}
