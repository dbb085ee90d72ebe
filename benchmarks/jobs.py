"""Small jobs, many in flight: against three threads of pykka for each, and each by itself among a thousand."""

import threading
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import pykka

from benchmarks.harness import Effort, Row, Sample, at_least, at_most, seconds_of, take_turns
from benchmarks.pipeline import Stage
from flowforge.flow import Flow
from flowforge.job_state import JobState
from flowforge.options import RuntimeOptions
from flowforge.routine import Routine
from flowforge.runtime import Runtime

__all__ = ["IN_FLIGHT", "flow_rate", "measure", "small_flow"]

IN_FLIGHT = 100
MESSAGES = 10


class Running(Routine):
    """Adds up what arrives and emits the sum so far."""

    def __init__(self) -> None:
        super().__init__()
        self.define_slot("input", handler=self.work)
        self.define_event("out", ["total"])
        self.state["total"] = 0

    def work(self, x: int) -> None:
        """Add it."""
        self.state["total"] += x
        self.emit("out", total=self.state["total"])


class Relay(pykka.ThreadingActor):
    """One of a job's three actors: passes a message on, or says that it arrived."""

    def __init__(self, following: pykka.ActorRef[Any] | None, is_done: threading.Event) -> None:
        super().__init__()
        self.following = following
        self.is_done = is_done

    def on_receive(self, message: dict[str, int]) -> None:
        """Pass it on."""
        if self.following is None:
            self.is_done.set()
        else:
            self.following.tell({"x": message["x"] + 1})


def small_flow() -> Flow:
    """Three routines in a row."""
    flow = Flow("small")
    names = [flow.add_routine(Stage(), name) for name in ("a", "b", "c")]
    for name, following in pairwise(names):
        flow.connect(name, "out", following, "input")
    return flow


def flow_rate(runtime: Runtime, flow: Flow, count: int) -> float:
    """Jobs a second, `IN_FLIGHT` started before they are waited for."""

    def run() -> None:
        for _ in range(0, count, IN_FLIGHT):
            jobs = [runtime.exec(flow, "a", {"x": 0}) for _ in range(IN_FLIGHT)]
            for job in jobs:
                job.wait()
                assert job.outputs == {"c.out": [{"x": 3}]}

    return count / seconds_of(run)


def pykka_rate(count: int, in_flight: int) -> float:
    """The same where a job is three actors that are started, told one message, and stopped."""

    def run() -> None:
        for _ in range(0, count, in_flight):
            jobs = [start_relays() for _ in range(in_flight)]
            for actors, is_done in jobs:
                is_done.wait()
                for actor in actors:
                    actor.stop()

    return count / seconds_of(run)


def start_relays() -> tuple[Sequence[pykka.ActorRef[Relay]], threading.Event]:
    """Three actors, the first of which has been told."""
    is_done = threading.Event()
    third = Relay.start(None, is_done)
    second = Relay.start(third, is_done)
    first = Relay.start(second, is_done)
    first.tell({"x": 0})
    return (first, second, third), is_done


def run_isolated(jobs: int) -> int:
    """Keep `jobs` open at once, post to all in turn, and count those that show anything but their own sums."""
    flow = Flow("isolated")
    flow.add_routine(Running(), "sum")
    with Runtime(options=RuntimeOptions(shutdown_timeout=60.0)) as runtime:
        open_jobs = [runtime.exec(flow, "sum", {"x": number}, keep_alive=True) for number in range(jobs)]
        for _ in range(MESSAGES - 1):
            for number, job in enumerate(open_jobs):
                runtime.post(job, "sum", "input", {"x": number})
        assert runtime.statistics().jobs == {"running": jobs}
        for job in open_jobs:
            job.close()
        runtime.wait_until_all_jobs_finished()
        return sum(not _shows_only_its_own(number, job) for number, job in enumerate(open_jobs))


def _shows_only_its_own(number: int, job: JobState) -> bool:
    expected = [{"total": number * step} for step in range(1, MESSAGES + 1)]
    return job.outputs == {"sum.out": expected} and job.get_routine_state("sum") == {"total": number * MESSAGES}


def measure(effort: Effort) -> list[Row]:
    """Jobs a second against pykka, and how many of a thousand jobs in flight saw anything of another's."""
    count = effort.size(1_000) // IN_FLIGHT * IN_FLIGHT or IN_FLIGHT
    flow = small_flow()
    with Runtime(options=RuntimeOptions(max_finished_jobs=IN_FLIGHT)) as runtime:
        rates = take_turns(
            {
                "flowforge": lambda: flow_rate(runtime, flow, count),
                "pykka": lambda: pykka_rate(count, IN_FLIGHT),
                "pykka, one by one": lambda: pykka_rate(count, 1),
            },
            effort.rounds,
            "jobs/s",
        )
    ours = rates["flowforge"]
    work = f"jobs of 3 routines, {IN_FLIGHT} in flight"
    target = at_least(2, stretch=5)
    isolated = effort.size(1_000)
    return [
        Row(work=work, ours=ours, peer="3 pykka actors a job", theirs=rates["pykka"], target=target),
        Row(work=work, ours=ours, peer="the same, one by one", theirs=rates["pykka, one by one"], target=target),
        Row(
            work=f"{isolated:,} jobs in flight, isolated",
            ours=Sample((float(run_isolated(isolated)),), "mixed up"),
            target=at_most(0),
        ),
    ]
