"""The wheel as users install it."""

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path, PurePosixPath

import pytest

PACKAGES = ("flowforge", "actors")


@pytest.fixture(scope="module")
def wheel(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from a copy, so that nothing is left in the repository and nothing stale gets in."""
    source, built = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("built")
    for name in ("pyproject.toml", "setup.cfg", "README.md", "LICENSE"):
        shutil.copy(repository / name, source)
    for name in PACKAGES:
        shutil.copytree(repository / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    pip = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation"]
    subprocess.run([*pip, "--wheel-dir", str(built), str(source)], check=True)
    return next(built.glob("*.whl"))


def test_wheel_holds_both_packages_whole_and_nothing_else(wheel: Path, repository: Path) -> None:
    files = [PurePosixPath(name) for name in zipfile.ZipFile(wheel).namelist()]
    modules = [path for name in PACKAGES for path in (repository / name).rglob("*.py")]
    expected = {path.relative_to(repository).as_posix() for path in modules}
    expected |= {f"{name}/py.typed" for name in PACKAGES}

    assert {str(path) for path in files if not path.parts[0].endswith(".dist-info")} == expected


def test_wheel_needs_three_libraries_and_a_licence(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        name = next(name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        lines = archive.read(name).decode().splitlines()

    needed = {line.partition(": ")[2] for line in lines if line.startswith("Requires-Dist") and ";" not in line}

    assert {need.split("<")[0].split(">")[0] for need in needed} == {"cloudpickle", "msgspec", "pykka"}
    assert "License-Expression: Apache-2.0" in lines
