"""What a simulated run can do next, each with the names that a schedule knows it by."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from actors.testing.virtual_loop import VirtualLoop
from actors.timers import PendingTimer
from flowforge._engine.crew import Replica
from flowforge._engine.supervisor import JobSupervisor
from flowforge._engine.worker import Worker

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from actors.testing.stepped_dispatcher import Choice
    from flowforge._engine.plan import FlowPlan

__all__ = ["TIME", "Candidate", "candidates", "holdable_names"]


class Candidate(NamedTuple):
    """One thing that could be done next."""

    choice: int
    """Which of the dispatcher's choices it is; -1 to let time pass."""
    lane: int
    """The lane that the worker is to take from, or -1 if it has no choice."""
    names: tuple[str, ...]
    """The most particular one last."""


TIME = Candidate(-1, -1, ("timers",))
"""Let time pass until something is due."""


def holdable_names(plan: FlowPlan) -> list[str]:
    """All that can be held in a run of that flow, what tells most first."""
    slots = [f"{routine.id}.{slot.name}" for routine in plan.routines for slot in routine.slots]
    routines = [routine.id for routine in plan.routines]
    routines += [
        f"{r.id}#{n}" for r in plan.routines if r.template.concurrency > 1 for n in range(r.template.concurrency)
    ]
    commits = [f"commit of {name}" for name in routines]
    return [*slots, *commits, "supervisor", "timers", "log", "input", "loop", *routines]


def candidates(choices: Sequence[Choice]) -> Iterator[Candidate]:
    """The candidates among what is ready, in the usual order: the first is what is taken if nothing deviates."""
    for index, choice in enumerate(choices):
        if isinstance(choice, Worker):
            yield from _of_worker(index, choice)
        elif isinstance(choice, PendingTimer):
            yield Candidate(index, -1, ("timers",))
        elif isinstance(choice, VirtualLoop):
            yield Candidate(index, -1, ("loop",))
        elif isinstance(choice, JobSupervisor):
            yield Candidate(index, -1, ("supervisor",))
        else:
            yield Candidate(index, -1, (getattr(choice, "name", "other"),))


def _of_worker(index: int, worker: Worker) -> Iterator[Candidate]:
    name = worker.plan.id
    mailbox = worker.mailbox
    if isinstance(worker, Replica):
        yield _of_replica(index, worker)
    elif worker.unfinished is not None:
        yield Candidate(index, -1, (f"commit of {name}",))
    elif worker.work is not None:
        yield Candidate(index, -1, (name, *(f"{name}.{slot}" for slot in dict.fromkeys(worker.slots_of(worker.work)))))
    elif mailbox.control or mailbox.holds:
        yield Candidate(index, -1, (name,))
    elif worker.plan.template.logic is not None:
        yield Candidate(index, -1, (name, *(f"{name}.{lane.name}" for lane in mailbox.lanes if lane.items)))
    else:
        first = mailbox.peek()
        others = [lane for lane, content in enumerate(mailbox.lanes) if content.items and lane != first]
        for lane in (first, *others):
            yield Candidate(index, lane, (name, f"{name}.{mailbox.lanes[lane].name}") if lane >= 0 else (name,))


def _of_replica(index: int, replica: Replica) -> Candidate:
    """A replica has the names of its routine, and its own: `"routine#0"` is the first."""
    name = replica.plan.id
    own = f"{name}#{replica.replica}"
    if replica.unfinished is not None:
        return Candidate(index, -1, (f"commit of {name}", f"commit of {own}"))
    slots = () if replica.work is None else dict.fromkeys(replica.slots_of(replica.work))
    return Candidate(index, -1, (name, *(f"{name}.{slot}" for slot in slots), own))
