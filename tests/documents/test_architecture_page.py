"""What docs/architecture.md names exists, and its six files are six."""

import ast
import functools
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
SPANS = sorted(set(re.findall(r"`([^`\n]+)`", PAGE)))
PATHS = [span for span in SPANS if "/" in span]
SYMBOLS = [span for span in SPANS if re.fullmatch(r"[A-Z]\w+(\.\w+)?", span)]

# Of the drawing, which stands in no code spans.
DRAWN = re.findall(r"\b[A-Z][a-z]+(?:[A-Z][a-z]+)+\b", PAGE[PAGE.index("```text") : PAGE.index("## Layers")])


@functools.cache
def classes() -> dict[str, set[str]]:
    """Each class of both packages with the names that its body defines, or that of a base."""
    trees = [
        ast.parse(path.read_text(encoding="utf-8"))
        for folder in ("flowforge", "actors")
        for path in (ROOT / folder).rglob("*.py")
    ]
    found = {node.name: node for tree in trees for node in tree.body if isinstance(node, ast.ClassDef)}

    def names(node: ast.ClassDef) -> set[str]:
        bases = [found[base.id] for base in node.bases if isinstance(base, ast.Name) and base.id in found]
        return names_in(node).union(*map(names, bases))

    return {name: names(node) for name, node in found.items()}


def names_in(node: ast.ClassDef) -> set[str]:
    return {member.name for member in node.body if isinstance(member, ast.FunctionDef | ast.AsyncFunctionDef)}


@pytest.mark.parametrize("path", PATHS)
def test_each_path_on_the_page_exists(path: str) -> None:
    assert (ROOT / path).exists()


@pytest.mark.parametrize("symbol", sorted({*SYMBOLS, *DRAWN}))
def test_each_symbol_on_the_page_is_defined(symbol: str) -> None:
    name, _, member = symbol.partition(".")

    assert name in classes()
    assert not member or member in classes()[name]


def test_the_reading_order_names_six_files_and_a_symbol_in_each() -> None:
    steps = re.findall(r"^\d\. `([\w/]+\.py)` — `(\w+)", PAGE, re.MULTILINE)

    assert len(steps) == 6
    texts = [(ROOT / path).read_text(encoding="utf-8") for path, _ in steps]
    assert [name for (_, name), text in zip(steps, texts, strict=True) if f"class {name}" not in text] == []
