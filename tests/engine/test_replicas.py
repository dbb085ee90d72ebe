"""`set_concurrency(n)` runs n replicas of a routine behind its slots."""

import asyncio
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from actors.testing.stepped_dispatcher import SteppedDispatcher
from flowforge.activation_policies import batch_size_policy
from flowforge.flow import Flow
from flowforge.job_state import JobState
from flowforge.routine import Routine
from flowforge.runtime import Runtime

Chain = Callable[..., Flow]
Run = Callable[..., JobState]

COUNT = 30


def send(self: Routine) -> None:
    for number in range(COUNT):
        self.emit("out", n=number)


async def faster_later(self: Routine, n: int) -> None:
    await asyncio.sleep((COUNT - n) * 0.001)
    self.increment_stat("calls")
    self.emit("out", n=n)


def replicated(chain: Chain, handler: Any, *, ordered: bool = True, replicas: int = 4) -> Flow:
    flow = chain(send, handler)
    flow.routines["b"].set_concurrency(replicas, ordered=ordered)
    return flow


def numbers(job: JobState) -> list[int]:
    return [payload["n"] for payload in job.outputs.get("b.out", [])]


def test_ordered_replicas_commit_in_input_order(run: Run, chain: Chain) -> None:
    assert numbers(run(replicated(chain, faster_later))) == list(range(COUNT))


def test_unordered_replicas_commit_as_they_finish(stepped: Runtime, chain: Chain) -> None:
    job = stepped.exec(replicated(chain, faster_later, ordered=False, replicas=COUNT))
    job.wait()

    assert numbers(job) == list(reversed(range(COUNT)))


def test_replicas_work_at_the_same_time(stepped: Runtime, dispatcher: SteppedDispatcher, chain: Chain) -> None:
    async def slow(self: Routine, n: int) -> None:
        await asyncio.sleep(1.0)

    stepped.exec(replicated(chain, slow, replicas=10)).wait()

    assert dispatcher.clock.monotonic() == COUNT / 10


def test_stats_add_the_numbers_of_all_replicas(run: Run, chain: Chain) -> None:
    flow = replicated(chain, faster_later)

    job = run(flow)

    assert job.get_routine_state("b") == {"calls": COUNT}
    assert flow.routines["b"].stats() == {"calls": COUNT}


def test_a_replica_that_fails_is_skipped_and_order_holds(run: Run, chain: Chain) -> None:
    def refuse_some(self: Routine, n: int) -> None:
        self.emit("out", n=n)
        if n % 3 == 0:
            raise LookupError

    flow = replicated(chain, refuse_some)
    flow.routines["b"].set_as_optional("skip")
    job = run(flow)

    assert numbers(job) == [n for n in range(COUNT) if n % 3]
    assert sorted(letter.payload["n"] for letter in job.dead_letters) == [n for n in range(COUNT) if n % 3 == 0]


def test_a_head_that_retries_holds_the_others_back(stepped: Runtime, chain: Chain) -> None:
    failed: list[int] = []

    def refuse_first(self: Routine, n: int) -> None:
        if n == 0 and len(failed) < 2:
            failed.append(n)
            raise LookupError
        self.emit("out", n=n)

    flow = replicated(chain, refuse_first)
    flow.routines["b"].set_as_critical(retry_delay=5.0)
    job = stepped.exec(flow)
    job.wait()

    assert numbers(job) == list(range(COUNT))


@pytest.mark.parametrize("ordered", [True, False])
def test_stop_keeps_every_message_and_resume_loses_none(runtime: Runtime, chain: Chain, *, ordered: bool) -> None:
    failed: list[int] = []

    def refuse_one(self: Routine, n: int) -> None:
        if n == 7 and not failed:
            failed.append(n)
            raise LookupError
        self.emit("out", n=n)

    job = runtime.exec(replicated(chain, refuse_one, ordered=ordered))
    job.wait(30)
    status = job.status
    runtime.resume_job(job)

    assert job.wait(30)
    assert (status, job.status) == ("failed", "completed")
    assert sorted(numbers(job)) == list(range(COUNT))


@pytest.mark.parametrize("steps", range(0, 60, 6))
def test_a_pause_of_replicas_loses_and_doubles_nothing(
    stepped: Runtime, dispatcher: SteppedDispatcher, chain: Chain, steps: int
) -> None:
    job = stepped.exec(replicated(chain, lambda self, n: self.emit("out", n=n)))
    for number in range(steps):
        if dispatcher.choices():
            dispatcher.step(number % len(dispatcher.choices()))
    stepped.pause_job(job)
    if job.status == "paused":
        stepped.resume_job(job).wait()

    assert (job.status, numbers(job)) == ("completed", list(range(COUNT)))


def test_ordered_replicas_without_state_equal_one(run: Run, chain: Chain) -> None:
    def emit_twice(self: Routine, n: int) -> None:
        self.emit("out", n=n)
        self.emit("out", n=-n)

    results = [numbers(run(replicated(chain, emit_twice, replicas=replicas))) for replicas in (1, 4)]

    assert results[0] == results[1]


def test_a_policy_acts_once_before_work_is_handed_out(run: Run, chain: Chain) -> None:
    flow = replicated(chain, lambda self, n: None)
    routine = flow.routines["b"]
    routine.set_logic(lambda data, message, job: routine.emit("out", n=[p["n"] for p in data["input"]]))
    routine.set_activation_policy(batch_size_policy(10))

    assert numbers(run(flow)) == [list(range(start, start + 10)) for start in (0, 10, 20)]  # type: ignore[comparison-overlap]


def test_each_replica_has_an_instance_of_its_own(run: Run) -> None:
    instances: set[int] = set()

    class Counted(Routine):
        def __init__(self) -> None:
            super().__init__()
            self.define_slot("input", handler=self.work)

        async def work(self, n: int) -> None:
            instances.add(id(self))
            await asyncio.sleep(0.001)

    class Sender(Routine):
        def __init__(self) -> None:
            super().__init__()
            self.define_event("out")

        def __call__(self) -> None:
            send(self)

    flow = Flow("flow")
    flow.add_routine(Sender(), "a")
    flow.add_routine(Counted(), "b")
    flow.connect("a.out", "b.input")
    flow.routines["b"].set_concurrency(3)
    run(flow)

    assert len(instances) == 3


def test_cancelling_replicas_commits_nothing_more(
    stepped: Runtime, dispatcher: SteppedDispatcher, chain: Chain
) -> None:
    job = stepped.exec(replicated(chain, faster_later, ordered=False))
    dispatcher.run_until_idle(30)
    job.cancel()
    before = (numbers(job), job.get_routine_state("b"))
    dispatcher.run_until_idle()

    assert (numbers(job), job.get_routine_state("b")) == before


class Merging(Routine):
    """Emits what its handler is called with."""

    def __init__(self, merge_strategy: Any) -> None:
        super().__init__()
        self.define_slot("input", handler=self.tell, merge_strategy=merge_strategy, max_queue_length=5)
        self.define_event("out")

    def tell(self, n: Any) -> None:
        self.emit("out", n=n)


def refuse_seven(old: dict[str, Any] | None, new: dict[str, Any]) -> dict[str, Any]:
    if new["n"] == 7:
        raise LookupError(7)
    return {"n": new["n"] + (old["n"] if old else 0)}


def merging(graph: Callable[..., Flow], merge_strategy: Any) -> Flow:
    flow = graph({"a": send, "b": Merging(merge_strategy)}, "a.out -> b.input")
    flow.routines["b"].set_concurrency(3)
    return flow


def test_merging_acts_once_before_work_is_handed_out(run: Run, graph: Callable[..., Flow]) -> None:
    job = run(merging(graph, "append"))

    assert [payload["n"] for payload in job.outputs["b.out"]] == [list(range(n + 1)) for n in range(COUNT)]


def test_a_merge_that_raises_before_replicas_is_an_error_of_its_message(run: Run, graph: Callable[..., Flow]) -> None:
    flow = merging(graph, refuse_seven)
    flow.routines["b"].set_as_optional("skip")
    job = run(flow)

    assert (job.status, [letter.payload for letter in job.dead_letters]) == ("completed", [{"n": 7}])
    assert len(job.outputs["b.out"]) == COUNT - 1


def test_replicas_hold_their_source_back(stepped: Runtime, dispatcher: SteppedDispatcher, chain: Chain) -> None:
    waiting = [0, 0]

    def source(self: Routine) -> Iterator[None]:
        while self.state.setdefault("next", 0) < 200:
            self.emit("out", n=self.state["next"])
            self.state["next"] += 1
            waiting[0] += 1
            waiting[1] = max(waiting)
            yield

    flow = chain(source, Merging("override"))
    flow.routines["b"].set_concurrency(3)
    flow.routines["b"].slots["input"].handler = None
    flow.routines["b"].set_logic(lambda data, message, job: waiting.__setitem__(0, waiting[0] - 1))
    job = stepped.exec(flow)
    while dispatcher.choices():
        dispatcher.step(-1)

    assert job.status == "completed"
    assert waiting[0] == 0
    assert waiting[1] <= 5 + 3


def test_a_replica_that_takes_too_long_is_given_up_alone(stepped: Runtime, chain: Chain) -> None:
    async def slow_at_two(self: Routine, n: int) -> None:
        await asyncio.sleep(10.0 if n == 2 else 0.5)
        self.emit("out", n=n)

    flow = replicated(chain, slow_at_two)
    flow.routines["b"].set_timeout(2.0)
    flow.routines["b"].set_as_optional("skip")
    job = stepped.exec(flow)
    job.wait()

    assert numbers(job) == [n for n in range(COUNT) if n != 2]
    assert [letter.payload for letter in job.dead_letters] == [{"n": 2}]


def test_a_replicas_retry_survives_a_pause(stepped: Runtime, dispatcher: SteppedDispatcher, chain: Chain) -> None:
    failed: list[int] = []

    def refuse_once(self: Routine, n: int) -> None:
        if n in {3, 5} and n not in failed:
            failed.append(n)
            raise LookupError
        self.emit("out", n=n)

    flow = replicated(chain, refuse_once)
    flow.routines["b"].set_as_critical(retry_delay=10.0)
    job = stepped.exec(flow)
    while dispatcher.step():
        pass
    stepped.pause_job(job)
    stepped.resume_job(job).wait()

    assert (job.status, numbers(job)) == ("completed", list(range(COUNT)))
    assert dispatcher.clock.monotonic() == 10.0
