"""A slot that appends, and a join of two slots: against loops that do the same, and a join on asyncio queues."""

from collections import deque
from typing import Any

from benchmarks.asyncio_queues import join_seconds
from benchmarks.harness import Effort, Row, seconds_of, take_turns
from benchmarks.pipeline import BATCH, Collect, Source, run_job
from flowforge.activation_policies import all_slots_ready_policy
from flowforge.flow import Flow
from flowforge.routine import Routine
from flowforge.runtime import Runtime

__all__ = ["measure"]

GATHERED = 200
"""What a job's slot gathers: each message hands out all so far, so the work grows with the square of it."""


class Gather(Routine):
    """Gets all numbers so far each time that one arrives."""

    def __init__(self) -> None:
        super().__init__()
        self.define_slot("input", handler=self.work, merge_strategy="append")
        self.state["most"] = 0

    def work(self, x: list[int]) -> None:
        """Note how many there are."""
        self.state["most"] = len(x)


class Match(Routine):
    """Passes on the sum of one message of each of two slots."""

    def __init__(self) -> None:
        super().__init__()
        self.define_slot("left")
        self.define_slot("right")
        self.define_event("out", ["x"])
        self.set_logic(self.match)
        self.set_activation_policy(all_slots_ready_policy())

    def match(self, slot_data: dict[str, list[dict[str, int]]], _policy_message: object, _job_state: object) -> None:
        """Add them."""
        self.emit("out", x=slot_data["left"][0]["x"] + slot_data["right"][0]["x"])


def gathering_flow() -> Flow:
    """A source, and one that gathers."""
    flow = Flow("gathering")
    flow.add_routine(Source(), "source")
    flow.add_routine(Gather(), "gather")
    flow.connect("source", "out", "gather", "input")
    return flow


def joining_flow() -> Flow:
    """A source that feeds both sides of a join, and one that counts what comes of it."""
    flow = Flow("joining")
    flow.add_routine(Source(), "source")
    flow.add_routine(Match(), "match")
    flow.add_routine(Collect(), "collect")
    flow.connect("source", "out", "match", "left")
    flow.connect("source", "out", "match", "right")
    flow.connect("match", "out", "collect", "input")
    return flow


def gathering_rate(runtime: Runtime, flow: Flow, jobs: int) -> float:
    """Messages a second of so many jobs, one after the other."""

    def run() -> None:
        for _ in range(jobs):
            job = runtime.exec(flow, "source", {"count": GATHERED})
            job.wait()
            assert job.get_routine_state("gather") == {"most": GATHERED}

    return jobs * GATHERED / seconds_of(run)


def bare_gathering_rate(jobs: int) -> float:
    """The limit: a list that grows, and a copy of it for each call."""

    def run() -> None:
        for _ in range(jobs):
            gathered: dict[str, list[Any]] = {"x": []}
            for x in range(GATHERED):
                gathered["x"].append(x)
                len({key: list(values) for key, values in gathered.items()}["x"])

    return jobs * GATHERED / seconds_of(run)


def joining_rate(runtime: Runtime, flow: Flow, count: int) -> float:
    """Pairs a second."""
    return count / seconds_of(lambda: run_job(runtime, flow, count))


def bare_joining_rate(count: int) -> float:
    """The limit: two deques, and the same functions."""
    left: deque[dict[str, int]] = deque()
    right: deque[dict[str, int]] = deque()
    end: deque[dict[str, int]] = deque()

    def run() -> None:
        collected = 0
        for start in range(0, count, BATCH):
            for x in range(start, min(start + BATCH, count)):
                left.append({"x": x})
                right.append({"x": x})
            while left and right:
                end.append({"x": left.popleft()["x"] + right.popleft()["x"]})
            while end:
                end.popleft()
                collected += 1
        assert collected == count

    return count / seconds_of(run)


def measure(effort: Effort) -> list[Row]:
    """Messages and pairs a second."""
    jobs, pairs = effort.size(50), effort.size(20_000)
    gathering, joining = gathering_flow(), joining_flow()
    with Runtime() as runtime:
        gathered = take_turns(
            {
                "flowforge": lambda: gathering_rate(runtime, gathering, jobs),
                "bare": lambda: bare_gathering_rate(jobs),
            },
            effort.rounds,
            "messages/s",
        )
        joined = take_turns(
            {
                "flowforge": lambda: joining_rate(runtime, joining, pairs),
                "asyncio": lambda: pairs / join_seconds(pairs),
                "bare": lambda: bare_joining_rate(pairs),
            },
            effort.rounds,
            "pairs/s",
        )
    work, ours = f"join of two slots, {pairs:,} pairs", joined["flowforge"]
    return [
        Row(
            work=f"append merge of {GATHERED} messages, {jobs:,} jobs",
            ours=gathered["flowforge"],
            peer="bare lists",
            theirs=gathered["bare"],
            is_limit=True,
        ),
        Row(work=work, ours=ours, peer="asyncio queues", theirs=joined["asyncio"]),
        Row(work=work, ours=ours, peer="bare deques", theirs=joined["bare"], is_limit=True),
    ]
