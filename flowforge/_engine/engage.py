"""How the actor of a routine comes into being: when something needs it; with the job's lock held.

What holds back the actors that are there holds back one that comes later: a gate that is closed, a full slot that it
feeds. It makes its instance in its first turn, so none of the user's code runs here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from flowforge._engine.crew import Crew
from flowforge._engine.orders import StartUp
from flowforge._engine.routine_actor import RoutineActor

if TYPE_CHECKING:
    from flowforge._engine.job import Job
    from flowforge._engine.plan import RoutinePlan
    from flowforge._engine.worker import Worker

__all__ = ["engage"]


def engage(job: Job, plan: RoutinePlan) -> RoutineActor:
    """Make the actor of a routine that has none, and of each of its replicas."""
    assert not job.is_over, "a run that is over has no use for an actor"
    if plan.concurrency == 1:
        actor = RoutineActor(job, plan)
    else:
        actor = Crew(job, plan)
        for replica in actor.replicas:
            _admit(job, replica)
    _admit(job, actor)
    job.workers[plan.index] = actor
    for _ in range(_full_slots_fed(job, plan)):
        actor.block()
    return actor


def _admit(job: Job, worker: Worker) -> None:
    if job.is_gate_closed:
        worker.mailbox.hold()
    if not worker.is_started:
        worker.order(StartUp())


def _full_slots_fed(job: Job, plan: RoutinePlan) -> int:
    """How many slots are full that the routine feeds, as far as they hold it back."""
    fed = {(target.routine, target.lane) for targets in plan.targets.values() for target in targets}
    return sum(_holds_back(job, plan, routine, lane) for routine, lane in fed)


def _holds_back(job: Job, plan: RoutinePlan, routine: int, lane: int) -> bool:
    actor = job.workers[routine]
    return actor is not None and actor.mailbox.lanes[lane].is_over and plan.index in actor.plan.upstream[lane]
