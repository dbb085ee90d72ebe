"""routilux: a flow whose worker is posted each message; a job is one post to a standing worker."""

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import pairwise
from typing import Any

from routilux.core import Flow, FlowRegistry, Routine, Runtime

from benchmarks.peers.works import IN_FLIGHT, STAGES, Contenders

__all__ = ["contenders"]

PATIENCE = 60.0
"""Seconds after which messages count as lost."""


class Stage(Routine):
    """Passes a number on, plus one."""

    def __init__(self) -> None:
        super().__init__()
        self.add_slot("input")
        self.add_event("out", ["x"])
        self.set_activation_policy(when_there_is_any)
        self.set_logic(self.work)

    def work(self, payloads: Sequence[dict[str, int]], *, worker_state: object, **_: object) -> None:
        """Pass them on."""
        for payload in payloads:
            # The context that it would be found in is not bound after the first routine.
            self.emit("out", worker_state=worker_state, x=payload["x"] + 1)


class Collect(Routine):
    """Counts what arrives, and lets go of a semaphore for each."""

    def __init__(self) -> None:
        super().__init__()
        self.arrived = threading.Semaphore(0)
        self.add_slot("input")
        self.set_activation_policy(when_there_is_any)
        self.set_logic(self.work)

    def work(self, payloads: Sequence[dict[str, int]], **_: object) -> None:
        """Count them."""
        self.arrived.release(len(payloads))


def when_there_is_any(slots: dict[str, Any], _worker_state: object) -> tuple[bool, dict[str, Any], str]:
    """Take all that is new."""
    new = {name: slot.consume_all_new() for name, slot in slots.items()}
    return any(new.values()), new, "new"


class Line:
    """A flow of so many stages with its worker."""

    def __init__(self, runtime: Any, name: str, stages: int) -> None:
        flow = Flow(name)
        self.collect = Collect()
        routines = [*(Stage() for _ in range(1, stages)), self.collect]
        names = [flow.add_routine(routine, f"stage{number}") for number, routine in enumerate(routines)]
        for one, following in pairwise(names):
            flow.connect(one, "out", following, "input")
        FlowRegistry.get_instance().register_by_name(name, flow)
        self.runtime, self.name = runtime, name
        self.worker = runtime.exec(name).worker_id

    def post(self, x: int) -> str:
        """Begin with a number."""
        _, job = self.runtime.post(self.name, "stage0", "input", {"x": x}, worker_id=self.worker)
        return str(job.job_id)

    def end(self, jobs: Sequence[str]) -> None:
        """Wait for as many as these to arrive, and forget them."""
        for _ in jobs:
            assert self.collect.arrived.acquire(timeout=PATIENCE), "messages were lost"
        for job in jobs:
            self.runtime.complete_job(job)

    def run(self, count: int, at_once: int) -> None:
        """So many numbers, of which so many are posted before they are waited for."""
        for start in range(0, count, at_once):
            self.end([self.post(x) for x in range(start, min(start + at_once, count))])


@contextmanager
def contenders() -> Iterator[Contenders]:
    """The works in memory."""
    with Runtime() as runtime:
        stages, small = Line(runtime, "stages", STAGES), Line(runtime, "small", 3)
        yield {
            "pipeline": lambda count: stages.run(count, count),
            "jobs": lambda count: small.run(count, 1),
            "jobs in flight": lambda count: small.run(count, IN_FLIGHT),
        }
