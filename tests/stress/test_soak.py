"""Mixed jobs with errors, cancels, pauses and restarts from files, where every message is counted."""

import logging
import os
import random
import statistics
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

import pytest

from flowforge.job_state import JobState
from flowforge.job_status import JobStatus
from flowforge.options import RuntimeOptions
from flowforge.runtime import Runtime
from tests.stress.soak_flow import Kind, found_in, kinds, torn_counts

pytestmark = pytest.mark.stress

logger = logging.getLogger(__name__)

SECONDS = float(os.environ.get("FLOWFORGE_SOAK_SECONDS", "300"))
PATIENCE = 60.0
IN_FLIGHT = 16
LOOK_EVERY = 1.0
FLAT = 2_000_000
"""Bytes by which memory may seem to grow in a minute: the noise of an allocator."""


@dataclass
class Run:
    """A job that is under way, with the numbers that were given to it."""

    kind: Kind
    job: JobState
    numbers: range
    posted: int = 0


@dataclass
class Tally:
    """What a soak has counted."""

    ended: Counter[str] = field(default_factory=Counter)
    done_to: Counter[str] = field(default_factory=Counter)
    messages: int = 0
    dead_letters: int = 0
    faults: list[str] = field(default_factory=list)
    """Messages lost, doubled or out of order, and steps of which a half took effect, each with its job."""
    looks: list[tuple[float, int]] = field(default_factory=list)
    """Instants and the bytes held at each."""

    @property
    def bytes_a_minute(self) -> float:
        """How fast memory grew once the first third of the time was over."""
        settled = self.looks[len(self.looks) // 3 :]
        if len(settled) < 2:
            return 0.0
        times, held = zip(*settled, strict=True)
        return statistics.linear_regression(times, held).slope * 60

    def check(self, run: Run) -> None:
        """Count what a job that has ended has shown, against what its numbers must lead to."""
        job = run.job
        is_complete = job.status is JobStatus.COMPLETED
        expected, found = run.kind.expected(run.numbers), found_in(job)
        problems = {"doubled": found - expected, "lost": expected - found if is_complete else Counter()}
        self.faults += [f"{what} in {job}: {which}" for what, which in problems.items() if which]
        self.faults += [f"torn in {job}: {torn}" for torn in torn_counts(run.kind, job)]
        if run.kind.in_order is not None:
            shown = [payload["x"] for payload in job.outputs.get(run.kind.in_order, [])]
            if shown != sorted(shown):
                self.faults.append(f"out of order in {job}: {shown}")
        self.ended[f"{run.kind.name}, {job.status}"] += 1
        self.messages += found.total()
        self.dead_letters += len(job.dead_letters)


class Soak:
    """Keeps jobs in flight, does things to them, and counts what they show when they end."""

    def __init__(self, runtime: Runtime, folder: Path, seed: int) -> None:
        self.runtime = runtime
        self.file = folder / "job.json"
        self.chance = random.Random(seed)
        self.kinds = kinds(random.Random(seed + 1))
        self.firsts = count(0, 1_000)
        self.tally = Tally()
        self.runs: list[Run] = []

    def go_on_until(self, deadline: float) -> None:
        while (now := time.monotonic()) < deadline:
            looks = self.tally.looks
            if not looks or now >= looks[-1][0] + LOOK_EVERY:
                looks.append((now, resident_bytes()))
            while len(self.runs) < IN_FLIGHT:
                self.runs.append(self.start())
            run = self.chance.choice(self.runs)
            self.disturb(run)
            self.reap()

    def come_to_an_end(self) -> None:
        while self.runs:
            run = self.runs[0]
            self.feed(run, len(run.numbers))
            assert run.job.wait(PATIENCE), f"{run.job} of {run.kind.name} does not come to rest."
            self.reap()

    def start(self) -> Run:
        kind = self.chance.choice(self.kinds)
        first, amount = next(self.firsts), self.chance.randint(0, 150)
        numbers = range(first, first + amount)
        if not kind.is_fed:
            return Run(kind, self.runtime.exec(kind.flow, "source", {"first": first, "count": amount}), numbers)
        numbers = range(first, first + amount + 1)
        job = self.runtime.exec(kind.flow, "worker", {"x": first}, keep_alive=True)
        return Run(kind, job, numbers, posted=1)

    def disturb(self, run: Run) -> None:
        deeds: list[Callable[[Run], None]] = [self.cancel, self.pause, self.save_and_load]
        deed = self.chance.choices([*deeds, self.feed, self.look_on], [2, 4, 3, 20, 71])[0]
        deed(run)

    def cancel(self, run: Run) -> None:
        run.job.cancel("soak")
        self.tally.done_to["cancels"] += 1

    def pause(self, run: Run) -> None:
        if self.is_paused(run):
            self.runtime.resume_job(run.job)
            self.tally.done_to["pauses"] += 1

    def save_and_load(self, run: Run) -> None:
        if self.is_paused(run):
            run.job.save(self.file)
            run.job = JobState.load(self.file)
            self.runtime.exec(run.kind.flow, job_state=run.job)
            self.tally.done_to["loads"] += 1

    def is_paused(self, run: Run) -> bool:
        stuck = run.job.pause("soak", timeout=PATIENCE)
        assert not stuck, f"{run.job} of {run.kind.name} does not pause: {stuck}"
        return run.job.status is JobStatus.PAUSED

    def feed(self, run: Run, at_most: int = 20) -> None:
        """Post some of the numbers, each twice under one key, and close after the last."""
        # A job that was cancelled takes no posts, though a step of it may still run.
        if not run.kind.is_fed or run.job.status is not JobStatus.RUNNING:
            return
        for x in run.numbers[run.posted : run.posted + at_most]:
            for _ in range(2):
                self.runtime.post(run.job, "worker", "input", {"x": x}, key=str(x), timeout=PATIENCE)
            run.posted += 1
        if run.posted == len(run.numbers):
            run.job.close()

    def look_on(self, run: Run) -> None:
        run.job.wait(0.002)

    def reap(self) -> None:
        resting = [run for run in self.runs if run.job.is_resting]
        for run in resting:
            if run.job.status is JobStatus.FAILED:
                assert run.kind.may_fail, f"{run.job} of {run.kind.name} failed: {run.job.error}"
                self.runtime.resume_job(run.job)
                self.tally.done_to["resumes of failed jobs"] += 1
            else:
                self.tally.check(run)
                self.runs.remove(run)


def resident_bytes() -> int:
    """The memory that this process holds; 0 where that cannot be read."""
    path = Path("/proc/self/statm")
    pages = int(path.read_text(encoding="ascii").split()[1]) if path.exists() else 0
    return pages * os.sysconf("SC_PAGE_SIZE")


def soak(seconds: float, folder: Path, seed: int) -> Tally:
    """Run mixed jobs for so long, wait for the last of them, end the runtime, and tell what was counted."""
    logger.info("Seed %s", seed)
    options = RuntimeOptions(thread_pool_size=8, max_history=200, max_finished_jobs=20, shutdown_timeout=PATIENCE)
    with Runtime(options=options) as runtime:
        run = Soak(runtime, folder, seed)
        run.go_on_until(time.monotonic() + seconds)
        run.come_to_an_end()
    tally = run.tally
    logger.info("%s jobs, %s messages seen, %s dead letters", tally.ended.total(), tally.messages, tally.dead_letters)
    logger.info("Jobs by kind and end: %s", dict(sorted(tally.ended.items())))
    logger.info("Done to jobs: %s", dict(tally.done_to))
    logger.info("Memory: %s looks, %.0f bytes a minute", len(tally.looks), tally.bytes_a_minute)
    return tally


@pytest.fixture(autouse=True)
def few_records(caplog: pytest.LogCaptureFixture) -> None:
    """Pytest keeps what is logged, and these jobs log each injected error."""
    caplog.set_level(logging.ERROR, "flowforge")


def test_no_message_is_lost_or_doubled_in_a_short_soak(tmp_path: Path) -> None:
    threads = set(threading.enumerate())

    tally = soak(5.0, tmp_path, seed=1)

    assert tally.faults == []
    assert len(tally.ended) >= 10
    assert set(threading.enumerate()) <= threads


@pytest.mark.soak
@pytest.mark.timeout(SECONDS + 180)
def test_no_message_is_lost_and_memory_is_flat_in_a_long_soak(tmp_path: Path) -> None:
    threads = set(threading.enumerate())

    tally = soak(SECONDS, tmp_path, seed=random.randrange(1_000_000))

    assert tally.faults == []
    assert tally.bytes_a_minute < FLAT
    assert set(threading.enumerate()) <= threads
