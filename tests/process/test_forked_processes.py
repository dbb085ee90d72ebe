"""A runtime belongs to the process that made it: a child is told so, and the parent does not notice."""

import sys
from typing import Any

import pytest

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Windows cannot fork.")

# From Python 3.12 on, a fork beside threads is itself worth a warning.
FORKING = ("-W", "error", "-W", "ignore::DeprecationWarning")

ALWAYS = ("exec", "get_job", "list_jobs", "statistics", "wait_until_all_jobs_finished", "shutdown")
WITH_A_JOB = ("post", "cancel_job", "pause_job", "resume_job", "wait")


@pytest.mark.parametrize(("use", "calls"), [("used", ALWAYS + WITH_A_JOB), ("unused", ALWAYS)])
def test_a_forked_child_is_told_to_make_its_own_runtime(programs: Any, use: str, calls: tuple[str, ...]) -> None:
    ended = programs.run("forks", use, options=FORKING)

    lines = ended.output.splitlines()
    refused = [line.split()[0] for line in lines if " RuntimeForkedError The runtime belongs to the parent" in line]
    assert refused == list(calls)
    assert all(line.endswith("Create a new Runtime in the child.") for line in lines[: len(calls)])
    assert lines[len(calls)] == "new True completed {'waiting.done': [{'ok': True}]}"


@pytest.mark.parametrize(("use", "jobs"), [("used", 2), ("unused", 1)])
def test_a_fork_leaves_the_parents_runtime_unharmed(programs: Any, use: str, jobs: int) -> None:
    ended = programs.run("forks", use, options=FORKING)

    assert (ended.code, ended.errors) == (0, "")
    assert ended.output.splitlines()[-2:] == ["child 7", f"parent True {['completed'] * jobs!r}"]


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_a_multiprocessing_child_runs_jobs_of_its_own(programs: Any, method: str) -> None:
    ended = programs.run("children", method, options=FORKING)

    assert (ended.code, ended.errors) == (0, "")
    assert ended.output.splitlines() == [
        "child True {'double.out': [{'n': 4}]}",
        "parent 0 True {'double.out': [{'n': 2}, {'n': 6}]}",
    ]


def test_a_runtime_made_before_the_workers_fork_is_refused_in_them(programs: Any) -> None:
    ended = programs.run("preload", options=FORKING)

    assert (ended.code, ended.errors) == (0, "")
    assert ended.output.splitlines() == [
        "0 RuntimeForkedError True {'answer.out': [{'worker': 0}]}",
        "worker 0",
        "1 RuntimeForkedError True {'answer.out': [{'worker': 1}]}",
        "worker 0",
    ]
