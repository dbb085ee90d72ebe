"""Defects of a user's flow, each beside the flow as it should be."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from flowforge.activation_policies import all_slots_ready_policy
from flowforge.routine import Routine
from flowforge.testing.checks import eventually
from property_tests.zoo.specimen import WAIT, Part, Specimen, pass_on, wired

if TYPE_CHECKING:
    from flowforge.flow import Flow
    from property_tests.zoo.specimen import Handler

__all__ = ["WRONG_FLOWS"]


# Lost update


def add_one(part: Part, n: int) -> None:
    """Count in shared data, so that nothing is lost."""
    part.job_state.shared_data.add("count", 1)


def read_and_write(part: Part, n: int) -> None:
    """Count in shared data, and lose what others count meanwhile."""
    shared = part.job_state.shared_data
    shared["count"] = shared.get("count", 0) + 1


def two_counters(count: Handler) -> Flow:
    """Two routines count, the second one later by a detour."""
    parts = {"a": Part({"input": count}), "detour": Part({"input": pass_on}), "b": Part({"input": count})}
    return wired(parts, "detour b.input")


# Order-dependent merge


def gather(merge: Handler) -> Flow:
    """Two branches, and what is made of their numbers."""
    last = Part({"left": lambda part, n: merge(part, 2 * n), "right": lambda part, n: merge(part, 3 * n)}, {"total": 1})
    parts = {"a": Part({"input": pass_on}), "b": Part({"input": pass_on}), "last": last}
    return wired(parts, "a last.left", "b last.right")


def add_up(part: Part, n: int) -> None:
    """A merge that does not mind the order."""
    part.state["total"] += n


def mix_up(part: Part, n: int) -> None:
    """A merge that does."""
    part.state["total"] = 10 * part.state["total"] + n


# A slot that starves


def poller() -> Flow:
    """It asks itself again and again until the other slot has got its message."""

    def look(part: Part, n: int) -> None:
        if not part.state["is_ready"]:
            part.emit("out", n=n)

    def note(part: Part, n: int) -> None:
        part.state["is_ready"] = True

    parts = {"a": Part({"look": look, "note": note}, {"is_ready": False})}
    return wired(parts, "a a.look")


def waiter() -> Flow:
    """It is called when both messages are there."""
    last = Routine()
    last.define_slot("look")
    last.define_slot("note")
    last.set_logic(lambda slot_data, policy_message, job_state: None)
    last.set_activation_policy(all_slots_ready_policy())
    return wired({"a": last})


# A livelock


def handshake(limit: float) -> Flow:
    """Two routines pass a ball until a stop arrives; with a limit, a stop that arrives late is overlooked."""

    def throw(part: Part, n: int) -> None:
        if not part.state["has_stopped"]:
            part.state["throws"] += 1
            part.emit("out", n=n)

    def stop(part: Part, n: int) -> None:
        if part.state["throws"] <= limit:
            part.state["has_stopped"] = True

    parts = {
        "a": Part({"ball": throw, "stop": stop}, {"throws": 0, "has_stopped": False}),
        "b": Part({"ball": pass_on}),
    }
    return wired(parts, "a b.ball", "b a.ball")


# Cursors


def produce(part: Part) -> Iterator[None]:
    """A source whose cursor is moved by the commit that emits."""
    for n in range(part.state["next"], 3):
        part.state["calls"] += 1
        part.emit("out", n=n)
        part.state["next"] = n + 1
        yield


def produce_and_move_late(part: Part) -> Iterator[None]:
    """A source whose cursor is moved after the yield, by the next commit."""
    for n in range(part.state["next"], 3):
        part.state["calls"] += 1
        part.emit("out", n=n)
        yield
        part.state["next"] = n + 1


def source(handler: Handler) -> Flow:
    """A source and what follows it."""
    parts = {"a": Part({"input": handler}, {"next": 0, "calls": 0}), "b": Part({"input": pass_on})}
    return wired(parts, "a b.input")


# What a handler must not do


def ranking(rank: Handler) -> Flow:
    """Two bids; the one that comes first is 1, and a tie is broken when the second comes first."""
    last = Part({"first": lambda part, n: rank(part, 0), "second": lambda part, n: rank(part, 1)}, {"bids": 0})
    parts = {"a": Part({"input": pass_on}), "b": Part({"input": pass_on}), "last": last}
    return wired(parts, "a last.first", "b last.second")


def note_rank(part: Part, bid: int) -> None:
    """Break ties by the step's own chance, which is the same in each run."""
    if bid and not part.state["bids"]:
        part.random.random()
    part.state["bids"] += 1


def note_random_rank(part: Part, bid: int) -> None:
    """Break ties by real chance."""
    if bid and not part.state["bids"]:
        random.random()
    part.state["bids"] += 1


def batches(fill: Handler) -> Flow:
    """A routine that hands on what it has gathered, and one that counts it."""

    def count(part: Part, batch: list[int]) -> None:
        part.state["count"] += 1

    return wired({"a": Part({"input": fill}), "b": Part({"input": count}, {"count": 0})}, "a b.input")


def emit_copy(part: Part, n: int) -> None:
    """Emit a list that nobody changes any more."""
    part.emit("out", batch=[n])


def emit_and_change(part: Part, n: int) -> None:
    """Emit a list and go on filling it."""
    part.kept.append(n)
    part.emit("out", batch=part.kept)


SPACED: Any = ({"n": 1}, *[WAIT] * 8, {"n": 2})

WRONG_FLOWS = (
    Specimen(name="a lost update", flow=lambda: two_counters(add_one), wrong=lambda: two_counters(read_and_write)),
    Specimen(
        name="a merge that minds the order",
        flow=lambda: gather(add_up),
        wrong=lambda: gather(mix_up),
    ),
    Specimen(
        name="a slot that starves",
        flow=waiter,
        wrong=poller,
        inputs=(("a", "look", {"n": 1}), ("a", "note", {"n": 1})),
        ignoring=None,
        options={"max_choices": 500},
    ),
    Specimen(
        name="a livelock",
        flow=lambda: handshake(float("inf")),
        wrong=lambda: handshake(8),
        inputs=(("a", "ball", {"n": 1}), ("a", "stop", {"n": 1})),
        ignoring=None,
        options={
            "checks": (eventually(lambda run: run.is_completed, within=10.0, name="it completes"),),
            "max_choices": 1_500,
        },
    ),
    Specimen(
        name="a cursor moved after the yield",
        flow=lambda: source(produce),
        wrong=lambda: source(produce_and_move_late),
        inputs=({},),
        ignoring=("a",),
        crashes=2,
    ),
    Specimen(
        name="a nondeterministic handler", flow=lambda: ranking(note_rank), wrong=lambda: ranking(note_random_rank)
    ),
    Specimen(
        name="a payload changed after it was emitted",
        flow=lambda: batches(emit_copy),
        wrong=lambda: batches(emit_and_change),
        inputs=SPACED,
    ),
)
