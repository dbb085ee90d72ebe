"""Each example is a whole program; run as its reader would, it prints what is stored beside it."""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

# Run in ways of their own: by a signal, on whatever Python's library holds, or by pytest.
APART = {"daemon", "stdlib_census", "census_plain", "census_crash", "test_your_flow"}


def all_examples() -> list[str]:
    folder = Path(__file__).resolve().parents[2] / "examples"
    return sorted(path.stem for path in folder.glob("*.py"))


@contextmanager
def started(repository: Path, name: str, *arguments: str) -> Iterator["subprocess.Popen[str]"]:
    """An example as a process with warnings as errors, killed at the end if it still runs."""
    with subprocess.Popen(
        [sys.executable, "-W", "error", str(repository / "examples" / f"{name}.py"), *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
        env={**os.environ, "PYTHONUTF8": "1"},
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def expected(repository: Path, name: str) -> str:
    return (repository / "examples" / "expected" / f"{name}.txt").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", sorted(set(all_examples()) - APART))
def test_an_example_prints_what_is_stored(repository: Path, name: str) -> None:
    with started(repository, name) as process:
        printed, errors = process.communicate(timeout=60)

    assert (process.returncode, errors) == (0, "")
    assert printed == expected(repository, name)


def daemon_life(repository: Path, state: Path, text: str, *, until: str) -> str:
    """What a daemon prints that is fed `text` and gets SIGTERM once it has printed `until`."""
    with started(repository, "daemon", str(state)) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(text)
        process.stdin.flush()
        printed = ""
        while not printed.endswith(until):
            line = process.stdout.readline()
            assert line, f"It ended after {printed!r}."
            printed += line
        process.send_signal(signal.SIGTERM)
        rest, errors = process.communicate(timeout=60)
    assert (process.returncode, errors) == (0, "")
    return printed + rest


def test_a_daemon_saves_at_sigterm_and_goes_on_when_restarted(repository: Path, tmp_path: Path) -> None:
    state = tmp_path / "state.json"

    first = daemon_life(repository, state, "one\ntwo words\n", until="{'lines': 2, 'words': 3}\n")
    second = daemon_life(repository, state, "one\ntwo words\nand three words\n", until="{'lines': 3, 'words': 6}\n")

    assert first + second == expected(repository, "daemon")


def test_each_stored_output_belongs_to_an_example(repository: Path) -> None:
    stored = {path.stem for path in (repository / "examples" / "expected").iterdir()}

    assert stored == (set(all_examples()) - APART) | {"daemon"}


def test_tests_of_a_flow_pass_under_pytest(repository: Path, tmp_path: Path) -> None:
    shutil.copy(repository / "examples" / "test_your_flow.py", tmp_path)
    pytest_here = [sys.executable, "-W", "error", "-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir", "."]

    run = subprocess.run(pytest_here, cwd=tmp_path, capture_output=True, encoding="utf-8", timeout=60, check=False)

    assert (run.returncode, run.stderr) == (0, ""), run.stdout
    assert "3 passed" in run.stdout


@pytest.mark.parametrize("name", sorted(set(all_examples()) - {"stdlib_census"}))
def test_examples_stay_short(repository: Path, name: str) -> None:
    lines = (repository / "examples" / f"{name}.py").read_text(encoding="utf-8").splitlines()

    assert len(lines) <= 120
