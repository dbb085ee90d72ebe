"""simulate: the inputs of each kind, where a run ends, what it shows, and what is refused."""

import asyncio
import gc
import threading
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from flowforge.activation_policies import time_interval_policy
from flowforge.flow import Flow
from flowforge.graph_errors import FlowValidationError
from flowforge.job_errors import EntryError, JobFinishedError, PayloadTypeError, UnknownTargetError
from flowforge.records import JobMoved
from flowforge.routine import Routine
from flowforge.testing.inputs import Cancel, Input, Pause, Post, Resume
from flowforge.testing.run_observer import observe_runs
from flowforge.testing.schedule import Schedule
from flowforge.testing.simulation import simulate
from flowforge.testing.simulation_errors import SimulationLimitError, SimulationUseError
from tests.handlers import async_source, count, pass_on, source

Graph = Callable[..., Flow]


async def nap(self: Routine, n: int = 0) -> None:
    await asyncio.sleep(n)
    self.emit("out", n=n)


def again(self: Routine, n: int = 0) -> None:
    self.emit("out", n=n + 1)


@pytest.fixture
def endless(graph: Graph) -> Flow:
    return graph({"a": again}, "a.out -> a.input")


# Inputs


def test_without_inputs_every_entry_gets_an_empty_payload(graph: Graph) -> None:
    run = simulate(graph({"a": pass_on, "b": count}))

    assert run.is_completed
    assert run.outputs == {"a.out": [{"n": 0}], "b.out": [{"n": 0}]}


def test_a_single_payload_need_not_be_in_a_list(chain: Graph) -> None:
    assert simulate(chain(pass_on), {"n": 3}).outputs == {"a.out": [{"n": 3}]}


def test_inputs_are_given_one_after_the_other(chain: Graph) -> None:
    inputs: list[Input] = [{"n": 1}, ("a", "input", {"n": 2}), ("a", None, {"n": 3}), Post("a", "input", {"n": 4})]

    run = simulate(chain(count), inputs)

    assert [payload["n"] for payload in run.outputs["a.out"]] == [1, 2, 3, 4]
    assert run.job_state.get_routine_state("a") == {"seen": 4}


def test_an_input_may_go_to_any_slot_of_the_flow(chain: Graph) -> None:
    run = simulate(chain(count, count), [("b", "input", {"n": 2})])

    assert run.outputs == {"b.out": [{"n": 2}]}


def test_an_entry_can_be_named(endless: Flow) -> None:
    run = simulate(endless, {"n": 1}, entry_routine_id="a", until=lambda run: run.steps == 3)

    assert run.steps == 3


def test_inputs_may_come_from_a_generator_and_may_be_none(chain: Graph) -> None:
    assert len(simulate(chain(pass_on), ({"n": n} for n in range(3))).outputs["a.out"]) == 3
    assert simulate(chain(pass_on), []).is_completed


def test_what_a_handler_does_to_an_input_does_not_reach_the_caller(graph: Graph) -> None:
    def change(self: Routine, n: list[int]) -> None:
        n.append(2)

    given = {"n": [1]}
    simulate(graph({"a": change}), given, is_durable=True)

    assert given == {"n": [1]}


def test_a_pause_holds_what_comes_after_until_a_resume(chain: Graph) -> None:
    run = simulate(chain(count, count), [{"n": 1}, Pause("wait"), Resume(), {"n": 2}])

    assert run.is_completed
    moves = [record for _, record in run.records if isinstance(record, JobMoved)]
    assert [(move.status, move.reason) for move in moves][:2] == [("paused", "wait"), ("running", "")]


def test_a_run_that_ends_with_a_pause_is_paused(chain: Graph) -> None:
    run = simulate(chain(count, count), [{"n": 1}, Pause()])

    assert run.status == "paused"
    assert "b.out" not in run.outputs


def test_a_post_to_a_job_that_has_ended_is_refused_and_told(chain: Graph) -> None:
    run = simulate(chain(count), [{"n": 1}, Pause(), Resume(), Cancel("enough"), {"n": 2}])

    assert run.status == "cancelled"
    ((refused, error),) = run.refused
    assert refused == Post("a", "input", {"n": 2})
    assert isinstance(error, JobFinishedError)


def test_resume_leaves_a_running_job_alone(chain: Graph) -> None:
    run = simulate(chain(count), [Resume(), {"n": 1}, Resume()])

    assert run.is_completed
    assert not run.refused


def test_resume_lets_a_failed_job_go_on(chain: Graph) -> None:
    run = simulate(chain(count), [{"n": 1}, Resume()], schedule=Schedule(hold=["input"], fail={("a", 1): KeyError}))

    assert run.is_completed
    assert run.outputs == {"a.out": [{"n": 1}]}


# What is refused


@pytest.mark.parametrize("wrong", [3, "x", ("a", "input")])
def test_an_input_of_another_kind_is_refused(chain: Graph, wrong: Any) -> None:
    text = r"cannot be .*\. Give a payload, \(routine, slot, payload\), or Pause\(\), Resume\(\) or Cancel\(\)\."
    with pytest.raises(SimulationUseError, match=text):
        simulate(chain(pass_on), [wrong])


@pytest.mark.parametrize("payload", [3, [1], None])
def test_a_post_whose_payload_is_no_mapping_is_refused(chain: Graph, payload: Any) -> None:
    with pytest.raises((PayloadTypeError, SimulationUseError)):
        simulate(chain(pass_on), [("a", "input", payload)])


@pytest.mark.parametrize("inputs", [Pause(), Post("a", None, {}), 3])
def test_inputs_that_are_no_inputs_are_refused(chain: Graph, inputs: Any) -> None:
    with pytest.raises(SimulationUseError, match="input"):
        simulate(chain(pass_on), inputs)


def test_targets_and_payloads_are_checked_before_anything_runs(chain: Graph) -> None:
    with pytest.raises(UnknownTargetError, match=r"There is no routine in the flow 'flow' named 'z'\."):
        simulate(chain(pass_on), [("z", None, {})])
    with pytest.raises(UnknownTargetError, match=r"There is no slot of the routine 'a' named 'z'\."):
        simulate(chain(pass_on), [("a", "z", {})])
    with pytest.raises(PayloadTypeError, match=r"The payload for the slot a\.input is \{1: 2\}\."):
        simulate(chain(pass_on), [{1: 2}])  # type: ignore[dict-item]


def test_a_flow_without_an_entry_or_routines_is_refused(endless: Flow) -> None:
    with pytest.raises(EntryError, match="Give an entry_routine_id"):
        simulate(endless)
    with pytest.raises(FlowValidationError, match="It has no routines"):
        simulate(Flow("empty"))


# Where a run ends


def test_a_run_without_an_end_says_so(endless: Flow) -> None:
    text = (
        r"^The run was not over after 50 choices\. Look for a cycle .* or give until=\.\.\. or a higher max_choices\."
    )
    with pytest.raises(SimulationLimitError, match=text) as caught:
        simulate(endless, entry_routine_id="a", max_choices=50)

    assert caught.value.limit == caught.value.run.choices == 50


def test_until_a_number_of_seconds_ends_a_run(graph: Graph) -> None:
    run = simulate(graph({"a": nap}), [{"n": 5}, {"n": 5}], until=7)

    assert run.status == "running"
    assert 7 <= run.time <= 10
    assert run.outputs == {"a.out": [{"n": 5}]}


def test_until_a_condition_ends_a_run(chain: Graph) -> None:
    run = simulate(chain(source, count), {"n": 9}, until=lambda run: len(run.outputs.get("b.out", ())) == 2)

    assert len(run.outputs["b.out"]) == 2
    assert run.status == "running"


# The handlers of each kind, and time


def test_async_handlers_sleep_on_the_virtual_clock(chain: Graph) -> None:
    run = simulate(chain(source, nap), {"n": 4})

    assert [payload["n"] for payload in run.outputs["b.out"]] == [0, 1, 2, 3]
    assert run.time == pytest.approx(6)


def test_generators_of_both_kinds_commit_at_each_yield(chain: Graph) -> None:
    assert simulate(chain(source), {"n": 3}).steps == 4
    run = simulate(chain(async_source), {"n": 3})

    assert run.steps == 4
    assert run.time == pytest.approx(3)


def test_replicas_of_an_async_routine_wait_side_by_side(chain: Graph, node: Callable[..., Routine]) -> None:
    replicated = node(nap)
    replicated.set_concurrency(3)

    run = simulate(chain(replicated), [{"n": 5}] * 3)

    assert run.time == pytest.approx(5)


def test_a_step_timeout_is_a_matter_of_virtual_time(chain: Graph, node: Callable[..., Routine]) -> None:
    slow = node(nap)
    slow.set_timeout(2)

    run = simulate(chain(slow), {"n": 5})

    assert run.status == "failed"
    assert run.time == pytest.approx(2)
    assert "for a failed with StepTimeoutError" in run.story()


def test_a_policy_with_an_interval_waits_in_virtual_time(graph: Graph) -> None:
    def gather(slots: dict[str, list[dict[str, Any]]], message: object, job: object) -> None:
        gathering.emit("out", n=len(slots["input"]))

    gathering = Routine()
    gathering.define_slot("input")
    gathering.define_event("out")
    gathering.set_activation_policy(time_interval_policy(10))
    gathering.set_logic(gather)
    flow = graph({"s": async_source, "g": gathering}, "s.out -> g.input")

    run = simulate(flow, {"n": 4})

    assert run.is_completed
    assert sum(payload["n"] for payload in run.outputs["g.out"]) == 4


# What it shows


def test_the_story_tells_the_order_and_the_end(chain: Graph) -> None:
    told = "First in, first out. The job has completed after 2 steps and 0 seconds of virtual time."

    assert simulate(chain(pass_on, pass_on)).story() == told
    assert simulate(chain(pass_on)).story().count("1 step ") == 1


def test_the_story_tells_each_deviation_and_why_it_failed(chain: Graph) -> None:
    schedule = Schedule(hold=["b.input"], fail={("a", 1): ValueError("no")})

    told = simulate(chain(pass_on, pass_on), schedule=schedule).story()

    assert told.startswith("First in, first out, except: b.input held until nothing else could run; step 1 of a failed")
    assert told.endswith(
        "The job has failed after 1 step and 0 seconds of virtual time, for a failed with ValueError: no."
    )


def test_the_schedule_of_a_run_has_names_for_numbers(chain: Graph) -> None:
    run = simulate(chain(pass_on, pass_on), schedule=Schedule(hold=[1], fail={(3, 1): KeyError}))

    assert run.schedule == Schedule(hold=["b.input"], fail={("b", 1): KeyError})


def test_a_replay_does_the_same(chain: Graph) -> None:
    run = simulate(chain(source, nap, count), {"n": 5}, schedule=Schedule(["b.input"], [(9, 2), (3, -1)], [7, 9]))

    assert run.replay().digest == run.digest
    assert len(run.digest) == 32
    run.check_replay()


def test_counts_of_a_run_can_be_asked(chain: Graph) -> None:
    run = simulate(chain(pass_on, pass_on))

    assert (run.steps, run.crashes, run.position) == (2, 0, len(run.records))
    assert run.choices > 4
    assert repr(run) == f"<SimulatedRun of 'flow': completed after {run.choices} choices>"


# Nothing goes on


@pytest.mark.parametrize("options", [{"until": 1.0}, {"schedule": Schedule(crash=[3, 4])}, {}])
@pytest.mark.parametrize("handler", [nap, async_source, source])
def test_nothing_is_kept_alive_after_a_run(chain: Graph, handler: Any, options: dict[str, Any]) -> None:
    threads = threading.active_count()
    flow = chain(handler, count)
    with observe_runs(lambda run: None):
        run = simulate(flow, [{"n": 3}, {"n": 4}], **options)
    alive: list[weakref.ref[object]] = [weakref.ref(run), weakref.ref(run.job_state), weakref.ref(flow)]

    del run, flow
    gc.collect()

    assert [reference() for reference in alive] == [None, None, None]
    assert threading.active_count() == threads


def test_generators_that_a_run_leaves_are_closed(chain: Graph) -> None:
    closed: list[int] = []

    def guarded(self: Routine, n: int) -> Iterator[None]:
        try:
            yield from source(self, n)
        finally:
            closed.append(n)

    simulate(chain(guarded), {"n": 9}, until=lambda run: run.steps == 2)

    assert closed == [9]


def test_a_run_within_an_event_loop_is_refused_or_runs(chain: Graph) -> None:
    async def within() -> None:
        with pytest.raises(SimulationUseError, match="loop"):
            simulate(chain(nap), {"n": 1})

    asyncio.run(within())
