"""The actor of a routine comes into being when something needs it, and finds the job as if it had been there before."""

from collections.abc import Callable

import pytest

from actors.testing.stepped_dispatcher import SteppedDispatcher
from flowforge.error_handler import ErrorHandler
from flowforge.flow import Flow
from flowforge.job_state import JobState
from flowforge.records import RoutineRestarted
from flowforge.routine import Routine
from flowforge.runtime import Runtime
from flowforge.testing.schedule import Schedule
from flowforge.testing.simulation import simulate

Graph = Callable[..., Flow]
Turn = Callable[..., None]
Ready = Callable[[], list[str]]


class Noted(Routine):
    """Notes that an instance was made, and passes on what it gets."""

    def __init__(self, made: list[str], name: str) -> None:
        super().__init__()
        self.define_slot("input", handler=self.work, max_queue_length=4, watermark=1.0)
        self.define_event("out")
        self.state["name"] = name
        made.append(name)

    def work(self, n: int = 0) -> None:
        self.emit("out", n=n)


class Stopped(Noted):
    """Notes its end too."""

    def __init__(self, made: list[str], name: str) -> None:
        super().__init__(made, name)
        self.made = made

    def on_stop(self) -> None:
        self.made.append("stopped")


def two_branches(made: list[str], second: type[Noted] = Noted) -> Flow:
    flow = Flow("flow")
    for name, kind in (("a", Noted), ("b", second)):
        flow.add_routine(kind(made, name), name)
    made.clear()
    return flow


def actors_of(job: JobState) -> list[str]:
    assert job.live is not None
    return [worker.plan.id for worker in job.live.everyone()]


def test_a_routine_that_gets_no_message_has_no_actor(runtime: Runtime) -> None:
    made: list[str] = []
    job = runtime.exec(two_branches(made), "a", {"n": 1}, keep_alive=True)
    actors = actors_of(job)
    job.close()

    assert job.wait(30)
    assert (actors, made) == (["a"], ["a"])


def test_the_instance_is_made_in_the_first_turn(stepped: Runtime, turn: Turn) -> None:
    made: list[str] = []

    stepped.exec(two_branches(made), "a", {"n": 1})
    before = list(made)
    turn("a")

    assert (before, made) == ([], ["a"])


def test_states_are_known_before_there_is_an_actor(stepped: Runtime) -> None:
    job = stepped.exec(two_branches([]), keep_alive=True)

    assert job.routine_states == {"a": {"name": "a"}, "b": {"name": "b"}}
    assert job.routine_status("b")["status"] == "idle"


def test_each_replica_has_its_state_before_there_is_an_actor(stepped: Runtime) -> None:
    flow = two_branches([])
    flow.routines["b"].set_concurrency(2)
    job = stepped.exec(flow, keep_alive=True)

    assert job.get_routine_state("b") == {"name": ["b", "b"]}


def test_routines_with_hooks_have_their_actors_at_once(stepped: Runtime, dispatcher: SteppedDispatcher) -> None:
    made: list[str] = []
    job = stepped.exec(two_branches(made, Stopped), "a", {"n": 1})

    actors = actors_of(job)
    dispatcher.run_until_idle()

    assert (actors, made, job.status) == (["a", "b"], ["a", "b", "stopped"], "completed")


def test_a_constructor_that_raises_keeps_no_job_from_its_end(
    stepped: Runtime, dispatcher: SteppedDispatcher, caplog: pytest.LogCaptureFixture
) -> None:
    made, is_broken = list[str](), False

    class Broken(Stopped):
        def __init__(self, made: list[str], name: str) -> None:
            super().__init__(made, name)
            if is_broken:
                raise LookupError("no more")

    flow, is_broken = two_branches(made, Broken), True
    job = stepped.exec(flow, "a", {"n": 1})
    dispatcher.run_until_idle()

    assert (job.status, job.is_resting) == ("completed", True)
    assert "The constructor of 'b' in job" in caplog.text


class Fragile(Noted):
    """Cannot be constructed while `faults` holds something."""

    def __init__(self, made: list[str], name: str, faults: list[BaseException]) -> None:
        super().__init__(made, name)
        if faults:
            raise faults[0]


class FragileWithHooks(Fragile):
    """Fragile, and has to be made when the job begins."""

    def on_start(self) -> None:
        """Here, so that there is one."""

    def on_stop(self) -> None:
        """Here, so that there is one; what was not constructed is not stopped."""


@pytest.mark.parametrize(("kind", "replicas"), [(Fragile, 1), (Fragile, 2), (FragileWithHooks, 1)])
@pytest.mark.parametrize("fault", [LookupError("no more"), SystemExit("no more")])
def test_a_constructor_that_raises_fails_the_job_at_once(
    runtime: Runtime, kind: type[Fragile], replicas: int, fault: BaseException, caplog: pytest.LogCaptureFixture
) -> None:
    made, faults = list[str](), list[BaseException]()
    flow, routine = Flow("flow"), kind(made, "a", faults)
    routine.set_concurrency(replicas)
    flow.add_routine(routine, "a")
    made.clear()
    faults.append(fault)
    job = runtime.exec(flow, "a", {"n": 1})

    assert job.wait(30)
    assert (job.status, job.failed_routine, made) == ("failed", "a", ["a"])
    assert job.error is not None
    assert (job.error.type, job.error.text) == (type(fault).__name__, "no more")
    assert not [record for record in job.view.history if isinstance(record, RoutineRestarted)]
    assert caplog.text.count("The constructor of 'a' in job") == 1
    faults.clear()
    runtime.resume_job(job)
    assert job.wait(30)
    assert (job.status, job.outputs) == ("completed", {"a.out": [{"n": 1}]})


def test_a_constructor_that_raises_lets_steps_of_others_end(
    stepped: Runtime, dispatcher: SteppedDispatcher, turn: Turn
) -> None:
    faults = list[BaseException]()
    flow = Flow("flow")
    for name in ("a", "b"):
        flow.add_routine(Noted([], name), name)
    flow.add_routine(Fragile([], "c", faults), "c")
    faults.append(LookupError("no more"))
    job = stepped.exec(flow, entry_params={"n": 1})

    turn("a", "c", "b")
    dispatcher.run_until_idle()

    assert (job.status, job.outputs) == ("failed", {"a.out": [{"n": 1}]})
    assert {routine for routine, _ in job.data.pending} == {"b", "c"}


def test_the_registry_has_the_actors_that_there_are(runtime: Runtime) -> None:
    job = runtime.exec(two_branches([]), keep_alive=True)
    runtime.post(job, "b", "input", {"n": 1})
    known = [ref.actor_urn.split(":")[3] for ref in runtime.registry.get_all()]
    job.close()

    assert job.wait(30)
    assert known == ["b"]


def test_the_registry_gives_each_actor_one_reference_found_by_its_urn(runtime: Runtime) -> None:
    job = runtime.exec(two_branches([]), keep_alive=True, job_id="known")
    runtime.post(job, "b", "input", {"n": 1})
    (ref,) = runtime.registry.get_all()
    again = runtime.registry.get_by_urn(ref.actor_urn)
    is_one = again is ref and ref.is_alive() and len(runtime.registry) == 1
    job.close()

    assert job.wait(30)
    assert (is_one, ref.actor_urn) == (True, "urn:flowforge:known:b:0:1")
    assert runtime.registry.get_by_urn(ref.actor_urn) is None


def test_an_actor_says_whose_it_is_before_it_has_a_reference(stepped: Runtime) -> None:
    job = stepped.exec(two_branches([]), keep_alive=True, job_id="known")
    stepped.post(job, "b", "input", {"n": 1})
    assert job.live is not None

    assert [str(actor) for actor in job.live.actors()] == ["RoutineActor (b:0 of the job 'known')"]


# What holds back others holds back one that comes later


def test_an_actor_that_comes_while_the_job_pauses_begins_no_step(
    stepped: Runtime, dispatcher: SteppedDispatcher, graph: Graph, turn: Turn
) -> None:
    seen: list[int] = []
    flow = graph({"a": lambda self, n: self.emit("out", n=n), "b": lambda self, n: seen.append(n)}, "a.out -> b.input")
    job = stepped.exec(flow, "a", {"n": 1})
    turn("a")

    job.request_pause()
    dispatcher.run_until_idle()
    paused = job.status, list(seen)
    stepped.resume_job(job)
    dispatcher.run_until_idle()

    assert (paused, job.status, seen) == (("paused", []), "completed", [1])


@pytest.mark.parametrize("replicas", [1, 2])
def test_an_actor_that_feeds_a_full_slot_begins_no_step(
    stepped: Runtime, dispatcher: SteppedDispatcher, ready: Ready, replicas: int
) -> None:
    flow = two_branches([])
    flow.routines["a"].set_concurrency(replicas)
    flow.connect("a.out", "b.input")
    job = stepped.exec(flow, keep_alive=True)
    for n in range(4):
        stepped.post(job, "b", "input", {"n": n})
    stepped.post(job, "a", "input", {"n": 4})
    before = ready()
    job.close()
    dispatcher.run_until_idle()

    assert "a" not in before
    assert [output["n"] for output in job.outputs["b.out"]] == [0, 1, 2, 3, 4]


def test_a_slot_that_was_full_holds_back_nobody_who_comes_later(
    stepped: Runtime, dispatcher: SteppedDispatcher, ready: Ready
) -> None:
    flow = two_branches([])
    flow.connect("a.out", "b.input")
    job = stepped.exec(flow, keep_alive=True)
    for n in range(4):
        stepped.post(job, "b", "input", {"n": n})
    dispatcher.run_until_idle()
    stepped.post(job, "a", "input", {"n": 4})

    assert "a" in ready()


def test_no_actor_is_made_for_a_post_that_is_refused(stepped: Runtime) -> None:
    job = stepped.exec(two_branches([]), "a", {"n": 1}, keep_alive=True)
    live = job.live
    job.cancel()

    assert live is not None
    assert [worker.plan.id for worker in live.everyone()] in (["a"], [])


# At a resume


def test_a_retry_that_is_awaited_brings_its_actor_back(stepped: Runtime, dispatcher: SteppedDispatcher) -> None:
    class Failing(Noted):
        def work(self, n: int = 0) -> None:
            raise ValueError(n)

    flow = two_branches([], Failing)
    flow.routines["b"].set_error_handler(ErrorHandler("retry", retry_delay=5.0))
    job = stepped.exec(flow, "b", {"n": 1})
    while job.routine_status("b")["status"] != "failed":
        dispatcher.step()
    dispatcher.run_until_idle()
    job.pause()
    stepped.resume_job(job)

    assert actors_of(job) == ["b"]


@pytest.mark.parametrize("records", range(1, 5))
def test_actors_that_come_late_survive_crashes(records: int) -> None:
    flow = two_branches([])
    flow.connect("a.out", "b.input")

    run = simulate(flow, [{"n": 7}], entry_routine_id="a", schedule=Schedule(crash=(records,)))

    assert run.crashes == 1
    assert run.outputs == {"b.out": [{"n": 7}]}
