"""The Python code in the README and in each page runs, from top to bottom, in one namespace per page.

A console block is a run of pytest on the code above it, saved under the name that the command gives.
"""

import doctest
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
BLOCK = re.compile(r"^```(python|console)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\(([^)#:]+)\)")


def name_of(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


class Block(NamedTuple):
    """A block of a page, with the number of lines above it."""

    language: str
    code: str
    line: int

    @property
    def is_module_code(self) -> bool:
        return self.language == "python" and ">>> " not in self.code


def blocks(page: Path) -> Iterator[Block]:
    text = page.read_text(encoding="utf-8")
    for block in BLOCK.finditer(text):
        yield Block(block[1], block[2], text.count("\n", 0, block.start(2)))


def run_block(block: Block, page: str, names: dict[str, Any], above: str = "") -> str:
    """Run a block, and return what is wrong with what the page says of it."""
    if block.language == "console":
        return run_console(block.code, above)
    if block.is_module_code:
        exec(compile("\n" * block.line + block.code, page, "exec"), names)
        return ""
    test = doctest.DocTestParser().get_doctest(block.code, names, page, page, block.line)
    said: list[str] = []
    # A doctest works on a copy of the names, and later blocks use what it defined.
    doctest.DocTestRunner(verbose=False).run(test, out=said.append, clear_globs=False)
    names.update(test.globs)
    return "".join(said)


def run_console(session: str, above: str) -> str:
    """Run the command of a console block on the code above it; an ellipsis in what it prints stands for anything."""
    command, _, expected = session.partition("\n")
    program, *arguments = shlex.split(command.removeprefix("$ "))
    Path(arguments[-1]).write_text(above, encoding="utf-8")
    environment = {**os.environ, "COLUMNS": "80"}
    printed = subprocess.run(
        [sys.executable, "-m", program, *arguments],
        env=environment,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    ).stdout
    is_as_expected = doctest.OutputChecker().check_output(expected, printed, doctest.ELLIPSIS)
    return "" if is_as_expected else f"{command}\nExpected:\n{expected}Got:\n{printed}"


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_code_in_a_page_does_what_the_page_says(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {"__name__": name_of(page)}
    said, above = "", ""

    for block in blocks(page):
        said += run_block(block, name_of(page), names, above)
        above += f"\n\n{block.code}" if block.is_module_code else ""

    assert said == ""


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_links_in_a_page_lead_to_files(page: Path) -> None:
    targets = LINK.findall(page.read_text(encoding="utf-8"))

    assert [target for target in targets if not (page.parent / target).exists()] == []


def test_a_wrong_answer_in_a_page_is_found() -> None:
    block = Block("python", ">>> 1 + 1\n3\n", 0)

    assert "Expected:\n    3\nGot:\n    2\n" in run_block(block, "page", {})


def test_a_wrong_output_in_a_console_block_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    block = Block("console", "$ pytest -q test_nothing.py\n1 passed\n", 0)

    assert "Expected:\n1 passed\nGot:\n\nno tests ran" in run_block(block, "page", {}, "x = 1")
