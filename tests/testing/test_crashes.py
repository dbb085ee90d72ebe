"""A crash at each point of flows of each kind: what is recovered leads to what no crash leads to."""

import asyncio
from collections.abc import Callable, Collection
from itertools import pairwise
from typing import Any

import pytest

from flowforge.activation_policies import (
    ActivationPolicy,
    all_slots_ready_policy,
    batch_size_policy,
    immediate_policy,
    time_interval_policy,
)
from flowforge.flow import Flow
from flowforge.records import StepCommitted
from flowforge.routine import Routine
from flowforge.testing.equivalence import assert_crash_equivalent
from flowforge.testing.inputs import Cancel, Input, Pause, Resume
from flowforge.testing.schedule import Schedule
from flowforge.testing.simulation import simulate
from tests.handlers import count, source

Graph = Callable[..., Flow]
MakeNode = Callable[..., Routine]
Slots = dict[str, list[dict[str, Any]]]


def downwards(self: Routine, n: int = 0) -> None:
    self.state["seen"] = [*self.state.get("seen", []), n]
    if n:
        self.emit("out", n=n - 1)


def fussy(self: Routine, n: int) -> None:
    if int(self.now()) % 3 < n % 3:
        raise ValueError(n)
    self.increment_stat("seen")
    self.emit("out", n=n)


def refuse_odd(self: Routine, n: int) -> None:
    if n % 2:
        raise ValueError(n)
    self.emit("out", n=n)


def share(self: Routine, n: int) -> None:
    self.job_state.shared_data.add("sum", n)
    self.job_state.shared_data.update_with("most", lambda old: max(old or 0, n))
    self.job_state.shared_log.append(n)


async def nap(self: Routine, n: int) -> None:
    await asyncio.sleep(n)
    self.emit("out", n=n)


def add_up(old: dict[str, Any] | None, new: dict[str, Any]) -> dict[str, Any]:
    return new if old is None else {"n": old["n"] + new["n"]}


class Join(Routine):
    """A logic over two slots, with a policy."""

    def __init__(self, policy: ActivationPolicy) -> None:
        super().__init__()
        self.define_slot("left")
        self.define_slot("right")
        self.define_event("out")
        self.set_activation_policy(policy)
        self.set_logic(self.join)

    def join(self, slots: Slots, message: object, job: object) -> None:
        self.increment_stat("joined")
        self.emit("out", n=[payload["n"] for found in slots.values() for payload in found])


class Merge(Routine):
    """Emits what its slot has gathered."""

    def __init__(self, strategy: Any) -> None:
        super().__init__()
        self.define_slot("input", handler=self.merge, merge_strategy=strategy)
        self.define_event("out")

    def merge(self, n: Any) -> None:
        self.emit("out", n=n)


class Narrow(Routine):
    """Relays what its short queue holds."""

    def __init__(self) -> None:
        super().__init__()
        self.define_slot("input", handler=lambda n: self.emit("out", n=n), max_queue_length=2)
        self.define_event("out")


@pytest.fixture
def fed(graph: Graph) -> Graph:
    """`fed(routine, ...)`: a source, and the routines a, b and so on after it."""

    def made(*routines: Any, **options: Any) -> Flow:
        names = "sabcdefgh"[: len(routines) + 1]
        connections = [f"{one}.out -> {other}.input" for one, other in pairwise(names)]
        return graph(dict(zip(names, (source, *routines), strict=True)), *connections, **options)

    return made


def check(flow: Flow, inputs: list[Input] | dict[str, Any], ignoring: Collection[str] = ()) -> None:
    """A crash at each point makes no difference, nor does it if flushes come last."""
    tried = assert_crash_equivalent(flow, inputs, ignoring=ignoring)
    assert tried > 10
    assert_crash_equivalent(flow, inputs, ignoring=ignoring, schedule=Schedule(hold=["log"]))


# Flows of each kind


def test_a_cycle_outlives_any_crash(graph: Graph) -> None:
    flow = graph(
        {"s": count, "a": downwards, "b": downwards}, "s.out -> a.input", "a.out -> b.input", "b.out -> a.input"
    )

    check(flow, {"n": 6})


@pytest.mark.parametrize(
    "policy", [immediate_policy(), batch_size_policy(2), all_slots_ready_policy(), time_interval_policy(2)]
)
def test_fan_in_under_any_policy_outlives_any_crash(graph: Graph, policy: ActivationPolicy) -> None:
    connections = ["s.out -> l.input", "s.out -> r.input", "l.out -> j.left", "r.out -> j.right", "j.out -> e.input"]

    check(graph({"s": source, "l": count, "r": count, "j": Join(policy), "e": count}, *connections), {"n": 3})


def test_what_a_join_cannot_match_outlives_any_crash(graph: Graph) -> None:
    flow = graph({"s": source, "j": Join(all_slots_ready_policy())}, "s.out -> j.left")

    check(flow, [{"n": 3}, ("j", "right", {"n": 7})])


@pytest.mark.parametrize("delay", [0.5, 1])
@pytest.mark.parametrize(("concurrency", "is_ordered"), [(1, True), (2, True), (2, False)])
def test_timers_of_retries_outlive_any_crash(
    fed: Graph, node: MakeNode, delay: float, concurrency: int, is_ordered: bool
) -> None:
    routine = node(fussy)
    routine.set_as_critical(max_retries=20, retry_delay=delay)
    routine.set_concurrency(concurrency, ordered=is_ordered)

    check(fed(routine, count), {"n": 4}, ignoring=["a"])


def test_shared_data_outlives_any_crash(graph: Graph) -> None:
    check(graph({"s": source, "a": share, "b": share}, "s.out -> a.input", "s.out -> b.input"), {"n": 3})


@pytest.mark.parametrize("concurrency", [1, 3])
def test_dead_letters_outlive_any_crash(fed: Graph, node: MakeNode, concurrency: int) -> None:
    routine = node(refuse_odd)
    routine.set_as_optional("skip")
    routine.set_concurrency(concurrency)

    check(fed(routine, count), {"n": 5})


@pytest.mark.parametrize("concurrency", [1, 3])
@pytest.mark.parametrize("strategy", ["append", "override", add_up])
def test_what_was_merged_outlives_any_crash(fed: Graph, strategy: Any, concurrency: int) -> None:
    routine = Merge(strategy)
    routine.set_concurrency(concurrency)

    check(fed(routine, count), {"n": 3})


def test_async_handlers_outlive_any_crash(fed: Graph) -> None:
    check(fed(nap, count), {"n": 3})


def test_short_queues_outlive_any_crash(fed: Graph) -> None:
    check(fed(Narrow(), Narrow()), {"n": 6})


def test_a_job_that_fails_fails_after_any_crash(fed: Graph) -> None:
    for point in range(12):
        run = simulate(fed(refuse_odd, count), {"n": 4}, schedule=Schedule(crash=[point]))
        assert run.status == "failed"
        assert run.job_state.failed_routine == "a"
        assert {"n": 1} not in run.outputs.get("b.out", [])


def test_a_generator_goes_on_from_its_cursor(fed: Graph) -> None:
    flow = fed(count)

    for point in range(20):
        run = simulate(flow, {"n": 4}, schedule=Schedule(crash=[point]))
        assert [payload["n"] for payload in run.outputs["a.out"]] == [0, 1, 2, 3]


# Commands


@pytest.mark.parametrize(
    "inputs",
    [
        [{"n": 1}, ("b", None, {"n": 5}), {"n": 2}],
        [{"n": 1}, Pause(), Resume(), {"n": 2}],
        [{"n": 1}, Pause("a"), Resume(), Pause("b"), Resume(), {"n": 3}],
    ],
)
def test_posts_pauses_and_resumes_outlive_any_crash(chain: Graph, inputs: list[Input]) -> None:
    check(chain(count, count), inputs)


def test_a_pause_at_the_end_outlives_any_crash(chain: Graph) -> None:
    for point in range(12):
        run = simulate(chain(count, count), [{"n": 1}, Pause("late")], schedule=Schedule(crash=[point], hold=["log"]))
        assert run.status == "paused"
        assert run.job_state.pause_reason == "late"


def test_a_cancelled_job_stays_cancelled(chain: Graph) -> None:
    for point in range(12):
        run = simulate(chain(count, count), [{"n": 1}, Cancel()], schedule=Schedule(crash=[point]))
        assert run.status == "cancelled"


# The crashes themselves


def test_three_crashes_in_a_row_make_no_difference(fed: Graph) -> None:
    flow = fed(count, count)
    for first in range(8):
        for gap in (3, 4):
            schedule = Schedule(crash=[first, first + gap, first + 2 * gap])
            run = simulate(flow, {"n": 3}, schedule=schedule)
            assert run.is_completed
            assert [payload["n"] for payload in run.outputs["b.out"]] == [0, 1, 2], schedule


def test_a_crash_past_the_end_does_not_happen(fed: Graph) -> None:
    run = simulate(fed(count), {"n": 2}, schedule=Schedule(crash=[1000]))

    assert run.crashes == 0
    assert run.story().startswith("First in, first out. ")


def test_a_crash_at_the_very_end_changes_nothing(fed: Graph) -> None:
    undisturbed = simulate(fed(count), {"n": 2}, is_durable=True)

    run = simulate(fed(count), {"n": 2}, schedule=Schedule(crash=[undisturbed.position]))

    assert run.crashes == 1
    assert run.digest == undisturbed.digest
    assert f"crashed with {undisturbed.position} records on disk" in run.story()


def test_a_crash_leaves_exactly_what_was_flushed(fed: Graph) -> None:
    undisturbed = simulate(fed(count), {"n": 3}, is_durable=True)

    for point in range(undisturbed.position):
        run = simulate(fed(count), {"n": 3}, schedule=Schedule(crash=[point]), until=lambda run: run.crashes == 1)
        assert [record for _, record in run.records[:point]] == [record for _, record in undisturbed.records[:point]]


def test_no_record_takes_what_no_record_brought(fed: Graph) -> None:
    for point in range(16):
        run = simulate(fed(count, count), {"n": 3}, schedule=Schedule(crash=[point], hold=["log"]))
        sent: set[int] = set()
        for _, record in run.records:
            if isinstance(record, StepCommitted):
                assert {message.id for message in record.messages} <= sent
            deliveries = [*getattr(record, "deliveries", ())]
            deliveries += [record.delivery] if hasattr(record, "delivery") else []
            sent |= {delivery.message.id for delivery in deliveries}


def test_positions_go_on_without_a_gap_after_a_crash(fed: Graph) -> None:
    run = simulate(fed(count), {"n": 3}, schedule=Schedule(crash=[4, 6, 9]))

    assert [record.position for _, record in run.records] == list(range(1, run.position + 1))
    assert [record.epoch for _, record in run.records] == sorted(record.epoch for _, record in run.records)


def test_a_crashed_run_and_another_see_equal_values(graph: Graph) -> None:
    seen: list[Any] = []

    def look(self: Routine, n: object) -> None:
        seen.append((type(n), n))

    simulate(graph({"a": count, "b": look}, "a.out -> b.input"), {"n": (1, frozenset({2}))}, is_durable=True)
    simulate(
        graph({"a": count, "b": look}, "a.out -> b.input"), {"n": (1, frozenset({2}))}, schedule=Schedule(crash=[4])
    )

    assert seen[1:] == seen[:1] * (len(seen) - 1)
    assert seen[0] == (tuple, (1, frozenset({2})))


def test_the_time_that_a_job_has_run_outlives_crashes(chain: Graph, node: MakeNode) -> None:
    def wait(self: Routine) -> None:
        if self.now() < 1_700_000_060:
            raise ValueError

    routine = node(wait)
    routine.set_as_critical(max_retries=20, retry_delay=1)

    run = simulate(chain(routine), schedule=Schedule(crash=[8, 11, 13]))

    records = [record for _, record in run.records]
    lost = sum(moved.at - last.at for last, moved in pairwise(records) if getattr(moved, "status", "") == "running")
    assert run.crashes == 3
    assert run.job_state.data.elapsed + lost == pytest.approx(run.time)
