"""Defects of what is written down of a job and what is made of it after a crash."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from flowforge._engine.recovery import _Fold
from flowforge._engine.routine_actor import RoutineActor
from flowforge._engine.tracked import TrackedState
from flowforge.error_handler import ErrorHandler
from flowforge.feeding import feed
from property_tests.zoo.judges import retries_at_most
from property_tests.zoo.specimen import Part, Patch, Specimen, pass_on, wired

if TYPE_CHECKING:
    from flowforge._engine.job_data import JobData
    from flowforge._engine.tracked_ops import StateOp
    from flowforge._engine.work import Work
    from flowforge.flow import Flow

__all__ = ["RECOVERY_DEFECTS"]


def refuse(part: Part, n: int) -> None:
    """A handler that never succeeds."""
    raise ValueError(n)


def refusing(*, handler: ErrorHandler) -> Flow:
    """A routine that passes on, and one that fails for ever."""
    return wired({"a": Part({"input": pass_on}), "b": Part({"input": refuse})}, "a b.input", error_handler=handler)


def count_nothing(_count: Callable[..., None], fold: object, routine: str, messages: object) -> None:
    """After a crash, messages are tried again as if none of the attempts at them had been made."""


def finish_without_letters(finish: Callable[[Any], JobData], fold: Any) -> JobData:
    """After a crash, the dead letters from before are gone."""
    data = finish(fold)
    data.dead_letters.clear()
    return data


def deliver_without_keys(deliver: Callable[[Any, Any], None], fold: Any, deliveries: Any) -> None:
    """After a crash, a key under which something was posted can be posted under again."""
    deliver(fold, deliveries)
    fold.data.keys.clear()


def greeting_once() -> Flow:
    """Each message asks for a greeting, under the same key."""

    def ask(part: Part, n: int) -> None:
        feed(part.job_state, "b", "input", {"n": 0}, "greeting", None)

    return wired({"a": Part({"input": ask}), "b": Part({"input": pass_on})})


def commit_without_merged(
    commit: Callable[[TrackedState], tuple[StateOp, ...]], tracked: TrackedState
) -> tuple[StateOp, ...]:
    """What a slot has merged is not in the records of its steps."""
    return tuple(op for op in commit(tracked) if op[1][0] != "merged")


def gathering() -> Flow:
    """A slot that gathers, and what it has gathered after each message."""

    def tell(part: Part, n: list[int]) -> None:
        part.emit("out", n=n)

    return wired({"a": Part({"input": tell}, input={"merge_strategy": "append"})})


def put_back_without_progress(
    put_back: Callable[[RoutineActor, Work, int, int], None],
    actor: RoutineActor,
    work: Work,
    attempt: int,
    progress: int,
) -> None:
    """After each yield of a generator, the numbering of its messages begins again."""
    put_back(actor, work, attempt, 0)


def source() -> Flow:
    """A generator with its cursor where it belongs."""

    def produce(part: Part) -> Iterator[None]:
        while part.state["next"] < 3:
            part.emit("out", n=part.state["next"])
            part.state["next"] += 1
            yield

    return wired({"a": Part({"input": produce}, {"next": 0}), "b": Part({"input": pass_on})}, "a b.input")


RECOVERY_DEFECTS = (
    Specimen(
        name="attempts not recovered",
        flow=lambda: refusing(handler=ErrorHandler("retry", max_retries=2, on_exhausted="skip")),
        patches=(Patch(_Fold, "_count", count_nothing),),
        inputs=({"n": 1}, {"n": 2}),
        judges=(retries_at_most(4),),
        crashes=2,
    ),
    Specimen(
        name="dead letters not recovered",
        flow=lambda: refusing(handler=ErrorHandler("skip")),
        patches=(Patch(_Fold, "finish", finish_without_letters),),
        inputs=({"n": 1}, {"n": 2}),
        crashes=2,
    ),
    Specimen(
        name="keys of posts not recovered",
        flow=greeting_once,
        patches=(Patch(_Fold, "_deliver", deliver_without_keys),),
        inputs=({"n": 1}, {"n": 2}),
        crashes=2,
    ),
    Specimen(
        name="what was merged not in the record",
        flow=gathering,
        patches=(Patch(TrackedState, "commit", commit_without_merged),),
        inputs=({"n": 1}, {"n": 2}, {"n": 3}),
        crashes=2,
    ),
    Specimen(
        name="ids that repeat after a yield",
        flow=source,
        patches=(Patch(RoutineActor, "put_back", put_back_without_progress),),
        inputs=({},),
        crashes=2,
    ),
)
