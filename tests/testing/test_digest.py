"""The digest: the same for the same run in any process, another for any other."""

import os
import subprocess
import sys
from collections.abc import Callable

import pytest

from flowforge.flow import Flow
from flowforge.records import DeadLetterPurged, ErrorInfo, JobClosed, MessageGivenUp, Record
from flowforge.routine import Routine
from flowforge.stores.codec import Codec
from flowforge.testing.digest import digest_of, first_difference, told_difference
from flowforge.testing.schedule import Schedule
from flowforge.testing.simulation import simulate

PROGRAM = """
from flowforge import Flow, Routine
from flowforge.testing import Schedule, simulate


class Sets(Routine):
    def __init__(self):
        super().__init__()
        self.define_slot("input", handler=self.handle)
        self.define_event("out")
        self.state["seen"] = set()

    def handle(self, words):
        self.state["seen"].update(words)
        self.state["by"] = {word: {word, word * 2} for word in words}
        self.emit("out", words=set(words) | {"x", "y", "z"}, by={word: len(word) for word in words})


flow = Flow("f")
for name in "abc":
    flow.add_routine(Sets(), name)
flow.connect("a.out", "b.input")
flow.connect("b.out", "c.input")
for schedule in (Schedule(), Schedule(hold=["input"]), Schedule(crash=[4, 7])):
    print(simulate(flow, [{"words": {"one", "two", "three"}}, {"words": {"four"}}], schedule=schedule).digest)
"""


def digests(seed: str) -> str:
    environment = {**os.environ, "PYTHONHASHSEED": seed}
    done = subprocess.run([sys.executable, "-c", PROGRAM], env=environment, capture_output=True, text=True, check=True)
    return done.stdout


def test_the_digest_is_the_same_under_any_hash_seed() -> None:
    first = digests("1")

    assert len(set(first.split())) == 3
    assert digests("2") == first


def test_another_schedule_or_payload_has_another_digest(chain: Callable[..., Flow]) -> None:
    def relay(self: Routine, n: int) -> None:
        self.emit("out", n=n)

    flow = chain(relay, relay)
    runs = [simulate(flow, {"n": 1}), simulate(flow, {"n": 2}), simulate(flow, {"n": 1}, schedule=Schedule(crash=[2]))]

    assert len({run.digest for run in runs}) == 3


def test_addresses_and_tracebacks_do_not_count() -> None:
    def given_up(text: str, traceback: str) -> Record:
        error = ErrorInfo("ValueError", text, traceback)
        return MessageGivenUp(
            position=1, at=0.0, epoch=1, letter="l", routine="a", slots=(), messages=(), strategy="skip", error=error
        )

    one, two = given_up("<object at 0x7f01>", "line 1"), given_up("<object at 0x8e02>", "line 2")

    assert digest_of([("j", one)], Codec()) == digest_of([("j", two)], Codec())
    assert digest_of([("j", one)], Codec()) != digest_of([("j", given_up("another", ""))], Codec())


def closed(position: int) -> Record:
    return JobClosed(position=position, at=0.0, epoch=1)


def test_the_first_difference_of_two_logs_is_found() -> None:
    one: list[tuple[str, Record]] = [("j", closed(1)), ("j", closed(2))]

    assert first_difference(one, one, Codec()) is None
    assert first_difference(one, [("j", closed(1)), ("j", closed(3))], Codec()) == (1, closed(2), closed(3))
    assert first_difference(one, one[:1], Codec()) == (1, closed(2), None)


@pytest.mark.parametrize(
    ("one", "other", "told"),
    [
        (closed(1), None, "one run ends there"),
        (closed(1), closed(2), "position is 1 in one and 2 in the other"),
        (
            closed(1),
            DeadLetterPurged(position=1, at=0.0, epoch=1, letter="l"),
            "JobClosed in one, DeadLetterPurged in the other",
        ),
    ],
)
def test_a_difference_is_told(one: Record, other: Record | None, told: str) -> None:
    assert told_difference(4, one, other) == ("at record 5", told)
