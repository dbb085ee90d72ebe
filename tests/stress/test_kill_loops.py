"""Processes that are killed under load lose nothing that they had acknowledged, and an audit that would notice."""

import logging
import os
import subprocess
import sys
from pathlib import Path

import pytest

from flowforge.runtime import Runtime
from tests.stress.kill_load import Stage, row
from tests.stress.kill_loops import audited

pytestmark = [
    pytest.mark.stress,
    pytest.mark.skipif(not hasattr(os, "fork"), reason="Processes are forked, and killed by a signal."),
]

logger = logging.getLogger(__name__)


def summary_of(repository: Path, kills: int) -> str:
    """The last line of a run in a process of its own, for it forks; each line is logged."""
    command = [sys.executable, "-m", "tests.stress.kill_loops", "--kills", str(kills)]
    environment = {"PYTHONPATH": str(repository), "PATH": "/usr/bin:/bin"}
    lines = [""]
    with subprocess.Popen(
        command, cwd=repository, env=environment, stderr=subprocess.PIPE, encoding="utf-8"
    ) as process:
        assert process.stderr is not None
        for line in process.stderr:
            logger.info("%s", line.rstrip())
            lines.append(line)
    assert process.returncode == 0, "".join(lines)
    return lines[-1]


def test_a_few_kills_under_load_lose_and_double_nothing(repository: Path) -> None:
    assert summary_of(repository, kills=5).startswith("5 kills, ")


@pytest.mark.soak
@pytest.mark.timeout(3600)
def test_a_thousand_kills_under_load_lose_and_double_nothing(repository: Path) -> None:
    summary = summary_of(repository, kills=1000)

    assert summary.startswith("1000 kills, ")
    assert " 0 lost, 0 doubled, 0 phantoms, " in summary


def test_an_audit_finds_what_was_acknowledged_and_is_not_there(tmp_path: Path) -> None:
    notes = tmp_path / "notes"
    notes.write_text("ok exec job\nok done job\nok post 0-0-0\n")

    tally = audited(tmp_path / "jobs.db", notes, is_over=False)

    assert tally.lost == ["job job", "end of job", "post 0-0-0"]
    assert not tally.is_clean


def test_an_audit_finds_what_nobody_asked_for_and_halves_of_steps(tmp_path: Path) -> None:
    store, notes = tmp_path / "jobs.db", tmp_path / "notes"
    main = row("main", intake=Stage(), ask=Stage(writes=True), book=Stage(writes=True))
    ledger, small = row("ledger", book=Stage(writes=True)), row("small", first=Stage())
    with Runtime(2, store=f"sqlite:///{store}", flows=[main, ledger, small]) as runtime:
        job = runtime.exec(main, job_id="main", keep_alive=True)
        runtime.exec(ledger, job_id="ledger", keep_alive=True)
        runtime.post("main", "intake", "input", {"n": 5}, key="0-0-5")
        runtime.post("main", "intake", "input", {"n": 5})
        runtime.exec(small, entry_params={"n": 0}, job_id="small-0")
        runtime.exec(small, entry_params={"n": 0}, job_id="child-5")
        job.close()
        job.wait()
    notes.write_text("try post 0-0-5\n")

    tally = audited(store, notes, is_over=False)

    assert tally.phantoms == ["job small-0"]
    assert set(tally.doubled) == {"message 5"}
    assert set(tally.lost) == {"child 5", "entry of the ledger 5", "reminder 5"}
