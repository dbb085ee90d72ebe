"""The main job: its numbers are those of a plain loop, on files some of which are broken."""

import importlib.util
import os
import pty
import subprocess
import sys
import sysconfig
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

FILES = {
    "top.py": b"def f():\n    '''Says what f is.'''\n\n\nclass A:\n    async def g(self):\n        def h(): pass\n",
    "latin.py": b"# coding: latin-1\ndef caf\xe9(): pass\n",
    "pack/__init__.py": b"",
    "pack/deep/mod.py": b"try:\n    def a(): pass\nexcept ValueError:\n    def b():\n        'Doc.'\n",
    "pack/choice.py": b"match 1:\n    case 1:\n        def c(): pass\n    case _:\n        class D: pass\n",
    "pack/broken.py": b"def f(:\n",
    "pack/coding.py": b"# coding: no-such-coding\n",
    "pack/bytes.py": b"text = '\xff\xfe'\n",
    "site-packages/other.py": b"def not_counted(): pass\n",
    "notes.txt": b"def not_counted(): pass\n",
}


def example(repository: Path, name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"example_{name}", repository / "examples" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    for name, content in FILES.items():
        path = tmp_path / "library" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return tmp_path / "library"


def by_flow(repository: Path, directory: str, store: str | None = None) -> dict[str, Any]:
    job = example(repository, "stdlib_census").take_census(directory, store=store)
    assert job.status == "completed"
    skipped = sorted(letter.payload["path"] for letter in job.dead_letters)
    return {**job.get_routine_state("tally"), "skipped": skipped}


def by_loop(repository: Path, directory: str) -> dict[str, Any]:
    census: dict[str, Any] = example(repository, "census_plain").take_census(directory)
    return census


def run_census(repository: Path, *arguments: str, program: str = "stdlib_census") -> "subprocess.CompletedProcess[str]":
    program = str(repository / "examples" / f"{program}.py")
    return subprocess.run(
        [sys.executable, program, *arguments],
        capture_output=True,
        encoding="utf-8",
        env={**os.environ, "PYTHONUTF8": "1"},
        check=False,
        timeout=100,
    )


def test_the_flow_counts_what_a_plain_loop_counts(repository: Path, directory: Path) -> None:
    census = by_flow(repository, str(directory))

    assert census == by_loop(repository, str(directory))
    assert census["skipped"] == ["pack/broken.py", "pack/bytes.py", "pack/coding.py"]
    assert census["packages"] == {
        "pack": {"files": 3, "lines": 10, "classes": 1, "functions": 3, "documented": 1},
        "single modules": {"files": 2, "lines": 9, "classes": 1, "functions": 4, "documented": 1},
    }


def test_a_census_in_a_store_counts_the_same(repository: Path, directory: Path, tmp_path: Path) -> None:
    store = f"sqlite:///{tmp_path / 'census.db'}"

    census = by_flow(repository, str(directory), store)

    assert census == by_loop(repository, str(directory))


def test_a_census_that_is_in_the_store_is_not_taken_again(repository: Path, directory: Path, tmp_path: Path) -> None:
    store = f"sqlite:///{tmp_path / 'census.db'}"
    first = by_flow(repository, str(directory), store)
    (directory / "new.py").touch()

    assert by_flow(repository, str(directory), store) == first


def test_one_store_holds_the_censuses_of_two_directories(repository: Path, directory: Path, tmp_path: Path) -> None:
    store = f"sqlite:///{tmp_path / 'census.db'}"
    whole = by_flow(repository, str(directory), store)

    part = by_flow(repository, str(directory / "pack"), store)

    assert (len(whole["packages"]), len(part["packages"])) == (2, 2)
    assert part == by_loop(repository, str(directory / "pack"))


def test_a_census_killed_at_random_moments_reports_the_same(repository: Path, directory: Path) -> None:
    finished = run_census(repository, "--directory", str(directory), "--kills", "4", program="census_crash")

    assert (finished.returncode, finished.stderr) == (0, "")
    assert "  functions            7\n" in finished.stdout
    assert "  pack/broken.py\n" in finished.stdout
    assert finished.stdout.endswith("times, and the report equals that of the uninterrupted census, byte for byte.\n")
    assert finished.stdout.count("  killed after ") >= 4


def test_a_census_that_fails_by_itself_is_no_success_of_the_killer(repository: Path) -> None:
    finished = run_census(repository, "--directory", "no/such/directory", program="census_crash")

    assert finished.returncode == 1
    assert finished.stderr.endswith("The census ended with 2.\n\n")


@pytest.mark.parametrize("package", ["json", "email", "lib2to3"])
def test_both_censuses_agree_on_a_package(repository: Path, package: str) -> None:
    directory = Path(sysconfig.get_path("stdlib")) / package
    if not directory.is_dir():
        pytest.skip(f"This Python has no package {package!r}.")

    assert by_flow(repository, str(directory)) == by_loop(repository, str(directory))


@pytest.mark.soak
def test_both_censuses_agree_on_the_standard_library(repository: Path) -> None:
    library = sysconfig.get_path("stdlib")

    census = by_flow(repository, library)

    assert census == by_loop(repository, library)
    assert sum(package["files"] for package in census["packages"].values()) > 100


def test_the_report_tells_totals_and_dead_letters(repository: Path, directory: Path) -> None:
    finished = run_census(repository, "--directory", str(directory))

    assert (finished.returncode, finished.stderr) == (0, "")
    assert "Job completed: 8 files in " in finished.stdout
    assert "  functions            7\n" in finished.stdout
    assert "  pack                      1 of       3   33.3%\n" in finished.stdout
    assert "Dead letters: 3\n" in finished.stdout
    assert "  pack/coding.py\n      detect: SyntaxError: unknown encoding for " in finished.stdout
    assert "\r" not in finished.stdout


def test_an_empty_directory_is_reported_too(repository: Path, tmp_path: Path) -> None:
    finished = run_census(repository, "--directory", str(tmp_path))

    assert (finished.returncode, finished.stderr) == (0, "")
    assert "Job completed: 0 files" in finished.stdout


def test_a_wrong_directory_is_refused_at_once(repository: Path) -> None:
    finished = run_census(repository, "--directory", "no/such/directory")

    assert finished.returncode == 2
    assert "There is no directory 'no/such/directory'." in finished.stderr


@pytest.mark.parametrize(("option", "is_shown"), [((), True), (("--plain",), False)])
def test_progress_is_shown_on_a_terminal(
    repository: Path, directory: Path, option: tuple[str, ...], is_shown: bool
) -> None:
    program = str(repository / "examples" / "stdlib_census.py")
    terminal, its_end = pty.openpty()
    with subprocess.Popen([sys.executable, program, "--directory", str(directory), *option], stdout=its_end) as process:
        os.close(its_end)
        shown = read_all(terminal)

    assert process.returncode == 0
    assert (" files measured, " in shown) is is_shown


def read_all(terminal: int) -> str:
    """All that a terminal shows, to its end, of which Linux tells by an error."""
    shown = b""
    try:
        while piece := os.read(terminal, 4096):
            shown += piece
    except OSError:
        pass
    finally:
        os.close(terminal)
    return shown.decode()
