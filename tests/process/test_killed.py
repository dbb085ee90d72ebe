"""Processes that are killed at any instant: what they had acknowledged is there, all of it once."""

import contextlib
import random
import subprocess
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from flowforge.job_state import JobState
from flowforge.runtime import Runtime

FEEDERS = 3


class Aftermath:
    """What the killed processes have left: notes of what was acknowledged, effects, and the store."""

    def __init__(self, folder: Path) -> None:
        self.store = folder / "jobs.db"
        self.notes = folder / "notes"

    def acknowledged(self, kind: str) -> set[int]:
        return {int(number) for name, number in self._lines(self.notes) if name == kind}

    def effects(self) -> list[tuple[str, ...]]:
        return self._lines(self.notes.with_suffix(".effects"))

    def _lines(self, path: Path) -> list[tuple[str, ...]]:
        return [tuple(line.split()) for line in path.read_text().splitlines()] if path.exists() else []

    @contextlib.contextmanager
    def opened(self) -> Iterator[Runtime]:
        """A runtime that knows no flow, so nothing goes on."""
        with Runtime(2, store=f"sqlite:///{self.store}") as runtime:
            yield runtime

    def check_what_was_acknowledged(self) -> None:
        with self.opened() as runtime:
            started, done = (self.acknowledged(kind) for kind in ("exec", "done"))
            assert all(runtime.get_job(f"small{number}") for number in started)
            assert {job_of(runtime, f"small{number}").status for number in done} <= {"completed"}
            posted = {f"post{f}-{n}" for f in range(FEEDERS) for n in self.acknowledged(f"post{f}")}
            assert not posted or posted <= job_of(runtime, "large").data.keys

    def states(self, job: str, status: str = "completed") -> dict[str, dict[str, Any]]:
        with self.opened() as runtime:
            assert job_of(runtime, job).status == status
            return job_of(runtime, job).routine_states


def job_of(runtime: Runtime, job_id: str) -> JobState:
    job = runtime.get_job(job_id)
    assert job is not None
    return job


def kill_often(programs: Any, left: Aftermath, kills: int, seed: int) -> None:
    instants = random.Random(seed)
    for _ in range(kills):
        process = programs.start("durable_load", str(left.store), str(left.notes), "load")
        # A kill may come while it recovers, too.
        if instants.random() < 0.8:
            assert process.stdout.readline() == "ready\n", programs.end(process).errors
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(instants.uniform(0.0, 0.5))
        process.kill()
        programs.end(process)
        left.check_what_was_acknowledged()
    ended = programs.run("durable_load", str(left.store), str(left.notes), "finish")
    assert (ended.code, ended.output) == (0, "ready\nover\n"), ended.errors


def check_nothing_lost_or_doubled(left: Aftermath) -> None:
    wanted = {FEEDERS * number + f for f in range(FEEDERS) for number in left.acknowledged(f"post{f}")}
    states = left.states("large")

    assert Counter(n for _, n, _ in states["effect"]["done"]) == Counter(wanted)
    assert [states[routine]["seen"] for routine in ("intake", "tag", "end")] == [len(wanted)] * 3
    with left.opened() as runtime:
        for number in left.acknowledged("exec"):
            assert job_of(runtime, f"small{number}").routine_states == {"first": {"seen": 1}, "last": {"seen": 1}}


def check_effects(left: Aftermath) -> None:
    """At least once each, and none with a text that another attempt of the step before it had sent."""
    done = {(key, str(n), tag) for key, n, tag in left.states("large")["effect"]["done"]}

    assert set(left.effects()) == done


def test_ten_kills_lose_and_double_nothing(programs: Any, tmp_path: Path) -> None:
    left = Aftermath(tmp_path)

    kill_often(programs, left, 10, seed=1)

    check_nothing_lost_or_doubled(left)
    check_effects(left)


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(50))
def test_a_thousand_kills_lose_and_double_nothing(programs: Any, tmp_path: Path, seed: int) -> None:
    left = Aftermath(tmp_path)

    kill_often(programs, left, 20, seed)

    check_nothing_lost_or_doubled(left)
    check_effects(left)


def test_a_runtime_that_nobody_shut_down_lets_the_program_end_and_goes_on(programs: Any, tmp_path: Path) -> None:
    left = Aftermath(tmp_path)
    codes = {"end": 0, "exit": 3, "exception": 1}

    ended = {ending: programs.run("durable_left_open", str(left.store), ending) for ending in codes}

    assert {ending: program.code for ending, program in ended.items()} == codes
    assert {program.output for program in ended.values()} == {"running\n"}
    assert max(program.seconds for program in ended.values()) < 5
    with left.opened() as runtime:
        job = job_of(runtime, "job")
        # The last program may have ended before the step that its post asked for.
        waiting = [message for messages in job.data.pending.values() for message in messages]
        assert job.status == "paused"
        assert job.get_routine_state("a")["seen"] + len(waiting) == len(codes)
