"""The Python code in the README and in each page runs, from top to bottom, in one namespace per page."""

import doctest
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
BLOCK = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\(([^)#:]+)\)")


def name_of(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


def blocks(page: Path) -> Iterator[tuple[str, int]]:
    """Each block of Python code with the number of lines above it."""
    text = page.read_text(encoding="utf-8")
    for block in BLOCK.finditer(text):
        yield block[1], text.count("\n", 0, block.start(1))


def run_block(code: str, line: int, page: str, names: dict[str, Any]) -> str:
    """Run a block, and return what doctest has to say about it."""
    if ">>> " not in code:
        exec(compile("\n" * line + code, page, "exec"), names)
        return ""
    test = doctest.DocTestParser().get_doctest(code, names, page, page, line)
    said: list[str] = []
    # A doctest works on a copy of the names, and later blocks use what it defined.
    doctest.DocTestRunner(verbose=False).run(test, out=said.append, clear_globs=False)
    names.update(test.globs)
    return "".join(said)


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_code_in_a_page_does_what_the_page_says(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {"__name__": name_of(page)}

    said = [run_block(code, line, name_of(page), names) for code, line in blocks(page)]

    assert "".join(said) == ""


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_links_in_a_page_lead_to_files(page: Path) -> None:
    targets = LINK.findall(page.read_text(encoding="utf-8"))

    assert [target for target in targets if not (page.parent / target).exists()] == []


def test_a_wrong_answer_in_a_page_is_found() -> None:
    assert "Expected:\n    3\nGot:\n    2\n" in run_block(">>> 1 + 1\n3\n", 0, "page", {})
