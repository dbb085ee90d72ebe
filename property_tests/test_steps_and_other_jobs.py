"""Steps that start, feed and pause other jobs, killed at any instant on both stores: all they asked for, or nothing."""

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.testing.manual_clock import ManualClock
from actors.testing.stepped_dispatcher import SteppedDispatcher
from flowforge.error_handler import ErrorHandler
from flowforge.flow import Flow
from flowforge.records import JobMoved, MessagePosted, PauseRequested, StepCommitted
from flowforge.routine import Routine
from property_tests.paced_store import (
    PacedMemory,
    PacedSqlite,
    PacedStore,
    come_to_rest,
    copied,
    read_files,
    store_path,
)
from tests.engine.machine import InlineRuntime

ASKED = ["start", "start and feed", "post", "post with key", "pause", "own"]
ORDERS = [*range(6), "flush", "flush", "flush one", "flush two", "kill"]
FED = ["fed0", "fed1"]


class Case(NamedTuple):
    """What each message to the parent asks for, how often its step fails after that, and what is done meanwhile."""

    messages: list[tuple[list[str], int]]
    replicas: int
    is_ordered: bool
    is_pure: bool
    orders: list[Any]


asked = st.lists(st.sampled_from(ASKED), min_size=1, max_size=3)
cases = st.builds(
    Case,
    st.lists(st.tuples(asked, st.sampled_from([0, 0, 1, 2])), min_size=1, max_size=5),
    st.integers(1, 3),
    st.booleans(),
    st.booleans(),
    st.lists(st.sampled_from(ORDERS), min_size=10, max_size=80),
)


class Writing(Routine):
    """Writes down what it gets."""

    def __init__(self, handle: Callable[[int], None] | None = None) -> None:
        super().__init__()
        self.ask = handle
        self.state["seen"] = []
        self.define_slot("input", self.handle)

    def handle(self, n: int) -> None:
        self.state["seen"].append(n)
        if self.ask is not None:
            self.ask(n)


def flow_of(name: str, **routines: Routine) -> Flow:
    flow = Flow(name, ErrorHandler("retry", max_retries=5, retry_delay=1.0))
    for routine_id, routine in routines.items():
        flow.add_routine(routine, routine_id)
    return flow


class World:
    """A process after the other on one store, and those who feed it from outside."""

    def __init__(self, case: Case, media: "Media") -> None:
        self.case = case
        self.media = media
        self.clock = ManualClock()
        self.failures: Counter[int] = Counter()
        self.other = flow_of("other", a=Writing())
        asking = Writing(self.ask)
        asking.set_concurrency(case.replicas, ordered=case.is_ordered)
        if case.is_pure:
            asking.set_pure()
        self.parent = flow_of("parent", a=asking, own=Writing())
        self.boot()

    def boot(self) -> None:
        self.store = self.media.opened()
        self.check()
        flows = [self.other, self.parent]
        self.dispatcher = SteppedDispatcher(self.clock)
        self.runtime = InlineRuntime(dispatcher=self.dispatcher, store=self.store, flows=flows, drains_at_exit=False)
        for name in (*FED, "sleeper"):
            self.runtime.exec(self.other, job_id=name, keep_alive=True)
        self.runtime.exec(self.parent, job_id="parent", keep_alive=True)
        for n in range(len(self.case.messages)):
            self.runtime.post("parent", "a", "input", {"n": n}, key=f"message {n}")

    def ask(self, n: int) -> None:
        """What a step of the parent does."""
        asked, failures = self.case.messages[n]
        for place, what in enumerate(asked):
            tag = 10 * n + place
            if what == "start":
                self.runtime.exec(self.other, entry_params={"n": tag}, job_id=f"child-{tag}")
            elif what == "start and feed":
                child = self.runtime.exec(self.other, job_id=f"child-{tag}", keep_alive=True)
                for more in tag, tag + 5:
                    self.runtime.post(child, "a", "input", {"n": more})
            elif what == "pause":
                self.runtime.pause_job("sleeper", "asked")
            elif what == "own":
                self.runtime.post("parent", "own", "input", {"n": tag})
            else:
                key = None if what == "post" else "key"
                self.runtime.post(FED[n % 2], "a", "input", {"n": tag}, key=key)
        if self.failures[n] < failures:
            self.failures[n] += 1
            raise InterruptedError(n)

    def obey(self, order: Any) -> None:
        before, ready = self.store.written, len(self.dispatcher.choices())
        if order == "kill":
            self.boot()
        elif isinstance(order, str):
            self.store.flush({"flush": None, "flush one": 1, "flush two": 2}[order])
        elif ready:
            self.dispatcher.step(order % ready)
        if self.store.written != before:
            self.check()

    def finish(self) -> None:
        """Let all come to rest, and try again what was set aside because too many processes had died at it."""
        come_to_rest(self.dispatcher, self.store)
        for letter in self.runtime.dead_letters():
            self.runtime.requeue_dead_letter(letter.id)
        come_to_rest(self.dispatcher, self.store)

    # What is on disk

    def asked_for(self, done: list[int]) -> Iterator[tuple[int, str, int]]:
        """The message, what it asked for, and its number, of each that steps of the log have asked for."""
        for n in done:
            for place, what in enumerate(self.case.messages[n][0]):
                yield n, what, 10 * n + place

    def check(self) -> None:
        """All that the steps in the log have asked for is in it, once, and nothing else."""
        steps = [record for record in self.store.records("parent") if isinstance(record, StepCommitted)]
        done = [record.messages[0].payload["n"] for record in steps if record.routine == "a"]
        asked = list(self.asked_for(done))
        assert len(set(done)) == len(done)
        children = [job.id for job in self.store.jobs() if job.id.startswith("child")]
        assert sorted(children) == sorted(f"child-{tag}" for _, what, tag in asked if what.startswith("start"))
        for _, what, tag in asked:
            if what == "start and feed":
                assert self.posted(f"child-{tag}") == [tag, tag + 5]
        for number, name in enumerate(FED):
            fed = [(what, tag) for n, what, tag in asked if n % 2 == number]
            unkeyed = [tag for what, tag in fed if what == "post"]
            keyed = [tag for what, tag in fed if what == "post with key"]
            assert Counter(self.posted(name)) == Counter(unkeyed)
            # Of those under one key the first one counts, which is that of the first commit.
            assert self.posted(name, "key") == keyed[:1]
        slept = [record for record in self.store.records("sleeper") if is_pause(record)]
        assert bool(slept) == any(what == "pause" for _, what, _ in asked)

    def posted(self, job: str, key: str | None = None) -> list[int]:
        records = [record for record in self.store.records(job) if isinstance(record, MessagePosted)]
        messages = [record.delivery.message for record in records]
        return [message.payload["n"] for message in messages if message.key == key]

    def check_the_end(self) -> None:
        """Every message was handled, and what was asked for has come to its end."""
        self.check()
        asked = list(self.asked_for(list(range(len(self.case.messages)))))
        seen = {job.job_id: job.routine_states for job in self.runtime.list_jobs()}
        for _, what, tag in asked:
            if what.startswith("start"):
                wanted = [tag] if what == "start" else [tag, tag + 5]
                assert Counter(seen[f"child-{tag}"]["a"]["seen"]) == Counter(wanted)
        own = [tag for _, what, tag in asked if what == "own"]
        assert Counter(seen["parent"]["own"]["seen"]) == Counter(own)
        for name in FED:
            assert Counter(seen[name]["a"]["seen"]) == Counter([*self.posted(name), *self.posted(name, "key")])


def is_pause(record: object) -> bool:
    return isinstance(record, PauseRequested) or (isinstance(record, JobMoved) and record.status == "paused")


class Media:
    """What outlives a process: a list, or files."""

    def __init__(self) -> None:
        self.disk: list[tuple[str, bytes]] = []

    def opened(self) -> PacedStore:
        return PacedMemory(self.disk)

    def close(self) -> None:
        """Nothing is open."""


class FileMedia(Media):
    """Each process has a copy of the files that the one before it has left; that one is still there, unheard."""

    def __init__(self) -> None:
        self.stack = ExitStack()
        self.path = self.stack.enter_context(store_path())

    def opened(self) -> PacedStore:
        self.path = self.stack.enter_context(copied(read_files(self.path)))
        return self.stack.enter_context(PacedSqlite(self.path))

    def close(self) -> None:
        self.stack.close()


@pytest.mark.parametrize("medium", [Media, FileMedia])
@given(case=cases)
def test_what_a_step_asks_of_other_jobs_is_there_if_the_step_is(medium: type[Media], case: Case) -> None:
    media = medium()
    try:
        world = World(case, media)
        world.store.flush()
        for order in case.orders:
            world.obey(order)
        world.boot()
        world.finish()
        world.check_the_end()
    finally:
        media.close()
