"""Random chains under random schedules, pauses, saves and requeues, where each number must arrive once.

A failure names the seed; `fault_of_stepped(seed)` or `fault_of_threaded(seed)` shows it again, the first exactly.

What must hold for every seed:

- Nothing is lost: all numbers arrive once every dead letter has been requeued.
- Nothing is doubled, whatever was retried, timed out, paused, saved, loaded or requeued.
- Nothing is reordered where order is promised: by single routines and ordered replicas that retry.
- Hooks are in balance: what was started has been stopped when the job rests.
- The job ends: it comes to rest, with no message in flight and no actor busy.
"""

import json
import logging
import os
import random
import threading
import time
from collections.abc import Callable, Iterable
from itertools import count

import pytest

from actors.testing.stepped_dispatcher import SteppedDispatcher
from flowforge.job_state import JobState
from flowforge.job_status import JobStatus
from flowforge.runtime import Runtime
from tests.stress.fuzz_flows import Chain, drawn_chain

pytestmark = pytest.mark.stress

SECONDS = float(os.environ.get("FLOWFORGE_SOAK_SECONDS", "60"))
MOST_STEPS = 20_000
PATIENCE = 60.0


@pytest.fixture(autouse=True)
def few_records(caplog: pytest.LogCaptureFixture) -> None:
    """Pytest keeps what is logged, and these jobs log each injected error."""
    caplog.set_level(logging.CRITICAL, "flowforge")


class Disturbed:
    """One job, to which things are done by chance, and which is helped on when it rests."""

    def __init__(self, chain: Chain, seed: int, runtime: Runtime) -> None:
        self.chain = chain
        self.chance = random.Random(seed + 2)
        self.runtime = runtime
        self.job = runtime.exec(chain.flow, "s", {"n": chain.count})
        self.deeds = 0
        self.requeued: set[str] = set()

    def requeue(self, letter_id: str) -> None:
        """Give a letter back once: while the job comes to its rest, the letter is still listed."""
        if letter_id not in self.requeued:
            self.requeued.add(letter_id)
            self.job.requeue_dead_letter(letter_id)

    def goes_on(self) -> bool:
        """Resume the job that rests, as a copy now and then, or give it its dead letters back; False at its end."""
        job = self.job
        if job.status is JobStatus.PAUSED:
            if self.chance.random() < 0.5:
                self.job = JobState.deserialize(json.loads(json.dumps(job.serialize())))
                self.requeued.clear()
                self.runtime.exec(self.chain.flow, job_state=self.job)
            else:
                self.runtime.resume_job(job)
            return True
        letters = job.dead_letters
        if job.status is JobStatus.COMPLETED:
            for letter in letters:
                self.requeue(letter.id)
        return job.status is not JobStatus.FAILED and bool(letters)


class Stepped(Disturbed):
    """Its schedule is drawn from the seed too."""

    def __init__(self, chain: Chain, seed: int) -> None:
        self.dispatcher = SteppedDispatcher()
        super().__init__(chain, seed, Runtime(dispatcher=self.dispatcher))

    def run(self) -> str | None:
        """Go on until the job has completed and has no dead letter left, or stands still; what is wrong then."""
        for _ in range(MOST_STEPS):
            choices = self.dispatcher.choices()
            if choices:
                self.dispatcher.step(self.chance.randrange(len(choices)))
            elif not self.job.is_resting:
                if not self.dispatcher.advance_to_next():
                    return "stands still without a rest"
            elif not self.goes_on():
                return None
            if not self.job.is_resting and self.deeds < 15 and self.chance.random() < 0.02:
                self.disturb()
        return "does not come to an end"

    def disturb(self) -> None:
        self.deeds += 1
        deed = self.chance.choice(["ask to pause", "pause", "requeue"])
        if deed == "ask to pause":
            self.job.request_pause()
        elif deed == "pause":
            self.job.pause(timeout=self.chance.choice([0.5, 1.0, 100.0]))
        elif letters := self.job.dead_letters:
            self.requeue(self.chance.choice(letters).id)


class Threaded(Disturbed):
    """On real threads, while others read its records."""

    def __init__(self, chain: Chain, seed: int, runtime: Runtime) -> None:
        super().__init__(chain, seed, runtime)
        self.readers: list[threading.Thread] = []

    def run(self) -> str | None:
        """Go on until the job has completed and has no dead letter left; what is wrong if it does not."""
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            if self.deeds < 12:
                time.sleep(self.chance.random() * 0.002)
                self.disturb()
            elif not self.job.wait(PATIENCE):
                return f"does not come to rest: {self.job}"
            if self.job.is_resting and not self.goes_on():
                return None
        return "does not come to an end"

    def disturb(self) -> None:
        self.deeds += 1
        deed = self.chance.choice(["pause", "pause soon", "requeue", "read"])
        if deed == "pause":
            self.job.pause()
        elif deed == "pause soon":
            self.job.pause(timeout=self.chance.choice([0.0, 0.001]))
        elif deed == "requeue" and (letters := self.job.dead_letters):
            self.requeue(letters[0].id)
        elif deed == "read":
            stream = self.job.subscribe()
            self.readers.append(threading.Thread(target=lambda: list(stream), daemon=True))
            self.readers[-1].start()


def fault_of_stepped(seed: int) -> str | None:
    """What one seed shows that it must not, on the stepped dispatcher; None if all is well."""
    chain = drawn_chain(seed)
    stepped = Stepped(chain, seed)
    problem = stepped.run()
    problems = [problem] if problem else [*chain.faults_of(stepped.job), *chain.unbalanced_hooks()]
    stepped.runtime.shutdown(timeout=0.0)
    return f"Seed {seed}, {chain.description}: {'; '.join(problems)}" if problems else None


def fault_of_threaded(seed: int) -> str | None:
    """What one seed shows that it must not, on real threads; None if all is well."""
    chain = drawn_chain(seed, most=40, unit=0.002)
    with Runtime(random.Random(seed).choice([1, 2, 4])) as runtime:
        threaded = Threaded(chain, seed, runtime)
        problem = threaded.run()
        problems = [problem] if problem else chain.faults_of(threaded.job)
        for reader in threaded.readers:
            reader.join(PATIENCE)
            if reader.is_alive():
                problems.append("a stream does not end")
        if not runtime.shutdown(timeout=PATIENCE):
            problems.append("the runtime does not end")
    problems += chain.unbalanced_hooks()
    return f"Seed {seed}, {chain.description}: {'; '.join(problems)}" if problems else None


def faults_until(deadline: float, fault_of: Callable[[int], str | None]) -> list[str]:
    """The faults of as many seeds as there is time for, from a drawn one on."""
    faults: list[str] = []
    for seed in count(random.randrange(1_000_000_000)):
        if time.monotonic() > deadline or len(faults) > 3:
            break
        faults += faults_of([seed], fault_of)
    return faults


def faults_of(seeds: Iterable[int], fault_of: Callable[[int], str | None]) -> list[str]:
    """The faults of these seeds; what one of them raises names it."""
    faults = []
    for seed in seeds:
        try:
            fault = fault_of(seed)
        except Exception as error:
            error.add_note(f"Seed {seed} raised it.")
            raise
        if fault:
            faults.append(fault)
    return faults


def test_no_seed_loses_doubles_or_reorders_a_number_when_stepped() -> None:
    assert faults_of(range(100), fault_of_stepped) == []


def test_a_stepped_seed_shows_the_same_again() -> None:
    def trace(seed: int) -> tuple[list[object], float]:
        stepped = Stepped(drawn_chain(seed), seed)
        stepped.run()
        facts: list[object] = [(type(record).__name__, record.at) for record in stepped.job.view.history]
        return facts, stepped.dispatcher.clock.monotonic()

    assert trace(7) == trace(7)


def test_no_seed_loses_doubles_or_reorders_a_number_on_threads() -> None:
    assert faults_of(range(50), fault_of_threaded) == []


@pytest.mark.soak
@pytest.mark.timeout(SECONDS + 180)
@pytest.mark.parametrize("fault_of", [fault_of_stepped, fault_of_threaded])
def test_no_drawn_seed_loses_doubles_or_reorders_a_number(fault_of: Callable[[int], str | None]) -> None:
    assert faults_until(time.monotonic() + SECONDS / 2, fault_of) == []
