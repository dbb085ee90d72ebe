"""A durable job on a disk that is really full."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.process.conftest import STRICT

UNSHARE = ["unshare", "--map-root-user", "--mount"]


def may_mount() -> bool:
    """Whether a process of ours may have mounts of its own, and a small disk among them."""
    if shutil.which("unshare") is None:
        return False
    mount = ["mount", "-t", "tmpfs", "none", "/mnt"]
    return subprocess.run([*UNSHARE, *mount], capture_output=True, check=False).returncode == 0


pytestmark = pytest.mark.skipif(not may_mount(), reason="This machine lets nobody but root mount a small disk.")

WHOLE = f"completed {{'next': 60}} {{'count': 60, 'sum': {sum(range(60))}}} True"


def told(repository: Path, *arguments: str) -> list[str]:
    """What the program prints, and its errors."""
    ended = subprocess.run(
        [*UNSHARE, sys.executable, *STRICT, str(repository / "tests/process/programs/full_disk.py"), *arguments],
        env={"PYTHONPATH": str(repository), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    return [*ended.stdout.splitlines(), *(line for line in ended.stderr.splitlines() if "Error" in line)]


def test_a_job_on_a_full_disk_waits_for_space_and_loses_and_doubles_nothing(tmp_path: Path, repository: Path) -> None:
    assert told(repository, "wait", str(tmp_path)) == ["stalled", "running False", "True completed", WHOLE]


def test_a_store_on_a_full_disk_uses_the_space_that_it_has(tmp_path: Path, repository: Path) -> None:
    assert told(repository, "reuse", str(tmp_path)) == ["stalled", "True completed", WHOLE]
