"""A job that is paused at any step, saved, loaded and resumed, any number of times, ends as one that never paused."""

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from actors.testing.stepped_dispatcher import SteppedDispatcher
from flowforge.activation_policies import all_slots_ready_policy, batch_size_policy
from flowforge.error_handler import ErrorHandler
from flowforge.flow import Flow
from flowforge.job_state import JobState
from flowforge.routine import Routine
from flowforge.runtime import Runtime

KINDS = ("plain", "async", "flaky", "skipping", "replicas", "merging")


@dataclass(frozen=True)
class Shape:
    """A source, stages one behind the other, and what gathers the numbers that come out of the last."""

    numbers: int
    stages: tuple[str, ...]
    gatherer: str
    bound: int


shapes = st.builds(
    Shape,
    st.integers(0, 6),
    st.lists(st.sampled_from(KINDS), min_size=1, max_size=3).map(tuple),
    st.sampled_from(["batch", "join", "none"]),
    st.integers(1, 4),
)


class Source(Routine):
    """Emits the numbers from 0, one for each yield, with a cursor in its state."""

    def __init__(self) -> None:
        super().__init__()
        self.define_slot("trigger", handler=self.send)
        self.define_event("out")
        self.state["next"] = 0

    def send(self, numbers: int) -> Iterator[None]:
        while self.state["next"] < numbers:
            self.emit("out", n=self.state["next"])
            self.state["next"] += 1
            yield


class Stage(Routine):
    """Passes numbers on, one higher, and leaves a trace of each in all places that a step can write to."""

    def __init__(self, kind: str, bound: int, failed: set[tuple[int, int]], number: int) -> None:
        super().__init__()
        self.kind = kind
        self.failed = failed
        self.number = number
        handler = self.work_async if kind == "async" else self.work
        strategy = "append" if kind == "merging" else "override"
        self.define_slot("input", handler=handler, merge_strategy=strategy, max_queue_length=bound)
        self.define_event("out")
        self.define_event("seen")
        if kind == "replicas":
            self.set_concurrency(2)
        if kind == "flaky":
            self.set_error_handler(ErrorHandler("retry", max_retries=2, retry_delay=5.0))
        if kind == "skipping":
            self.set_error_handler(ErrorHandler("skip"))

    async def work_async(self, n: int) -> None:
        self.work(n)

    def work(self, n: Any) -> None:
        n = n[-1] if self.kind == "merging" else n
        self.increment_stat("sum", n)
        self.job_state.shared_data.add(f"calls {self.number}")
        self.job_state.shared_log.append([self.number, n])
        self.send_output("passed", n=n)
        self.emit("seen", n=n)
        self.emit("out", n=n + 1)
        if self.kind == "skipping" and n % 3 == 0:
            raise LookupError(n)
        if self.kind == "flaky" and (self.number, n) not in self.failed:
            self.failed.add((self.number, n))
            raise ConnectionError(n)


class Gatherer(Routine):
    """Counts what it is given, in twos of one slot or in pairs of two."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.define_slot("left")
        self.define_slot("right")
        self.set_logic(self.gather)
        self.set_activation_policy(batch_size_policy(2) if kind == "batch" else all_slots_ready_policy())

    def gather(self, slot_data: dict[str, list[dict[str, Any]]], message: Any, job_state: Any) -> None:
        for payloads in slot_data.values():
            for payload in payloads:
                self.increment_stat("sum", payload["n"])


def build(shape: Shape) -> Flow:
    flow = Flow("flow")
    flow.add_routine(Source(), "source")
    failed: set[tuple[int, int]] = set()
    before = "source"
    for number, kind in enumerate(shape.stages):
        name = f"{number}_{kind}"
        flow.add_routine(Stage(kind, shape.bound, failed, number), name)
        flow.connect(before, "out", name, "input")
        before = name
    if shape.gatherer != "none":
        flow.add_routine(Gatherer(shape.gatherer), "gatherer")
        flow.connect("source", "out", "gatherer", "left")
        flow.connect(before, "out", "gatherer", "right")
    return flow


def outcome(job: JobState) -> dict[str, Any]:
    """What a user can see of a job at its end, but for times, and for the order of what has no order."""
    entries = Counter(
        (entry.routine_id, entry.slot, entry.event, repr(entry.payload), entry.outcome, entry.attempt, entry.error)
        for entry in job.execution_history
        if entry.routine_id != "gatherer"
    )
    return {
        "status": job.status,
        "outputs": {name: Counter(p["n"] for p in payloads) for name, payloads in job.outputs.items()},
        "output_log": Counter((entry["routine_id"], entry["data"]["n"]) for entry in job.output_log),
        "states": {routine: total_of(state) for routine, state in job.routine_states.items()},
        "shared": dict(job.shared_data),
        "log": Counter(map(tuple, job.shared_log)),
        "letters": Counter((letter.routine, letter.reason, letter.payload["n"]) for letter in job.dead_letters),
        "entries": entries,
        "facts": {name: facts["calls"] for name in job.routine_states if (facts := job.routine_status(name))},
    }


def total_of(state: dict[str, Any]) -> dict[str, Any]:
    return {key: sum(value) if isinstance(value, list) else value for key, value in state.items()}


def run_at_once(shape: Shape) -> JobState:
    with Runtime(dispatcher=SteppedDispatcher()) as runtime:
        job = runtime.exec(build(shape), "source", {"numbers": shape.numbers}, job_id="job")
        assert job.wait()
    return job


def run_with_pauses(shape: Shape, pauses: list[int]) -> JobState:
    """After so many steps each, the job is paused, saved, loaded, and resumed in another runtime."""
    flow = build(shape)
    dispatcher = SteppedDispatcher()
    runtime = Runtime(dispatcher=dispatcher, drains_at_exit=False)
    job = runtime.exec(flow, "source", {"numbers": shape.numbers}, job_id="job")
    for steps in pauses:
        dispatcher.run_until_idle(max_steps=steps)
        job.pause("between", checkpoint={"steps": (steps, len(pauses))})
        runtime.shutdown()
        if job.status != "paused":
            return job
        tree = json.loads(json.dumps(job.serialize()))
        job = JobState.deserialize(tree)
        assert job.serialize() == tree
        assert job.checkpoint == {"steps": (steps, len(pauses))}
        dispatcher = SteppedDispatcher()
        runtime = Runtime(dispatcher=dispatcher, drains_at_exit=False)
        runtime.exec(flow, job_state=job)
    assert job.wait()
    runtime.shutdown()
    return job


@given(shapes, st.lists(st.integers(0, 25), min_size=1, max_size=5))
def test_pausing_saving_and_resuming_equals_never_pausing(shape: Shape, pauses: list[int]) -> None:
    assert outcome(run_with_pauses(shape, pauses)) == outcome(run_at_once(shape))
