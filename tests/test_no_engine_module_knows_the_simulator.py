"""The simulator runs the engine of production: no module of it asks which dispatcher, clock or store it runs on."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

SIMULATORS = ("actors.testing", "flowforge.testing")
KINDS = frozenset(
    {
        "PooledDispatcher",
        "SteppedDispatcher",
        "MemoryStore",
        "MemoryLog",
        "ManualClock",
        "SystemClock",
        "VirtualLoop",
    }
)


def modules(repository: Path) -> list[Path]:
    found = sorted((repository / "flowforge" / "_engine").glob("**/*.py"))
    assert found
    return found


def imported(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module or ""
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def words(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Name):
            yield node.id
        elif isinstance(node, ast.Attribute):
            yield node.attr
        elif isinstance(node, ast.alias):
            yield node.name


def test_no_engine_module_imports_the_simulator(repository: Path) -> None:
    for module in modules(repository):
        for name in imported(ast.parse(module.read_text(encoding="utf-8"))):
            assert not name.startswith(SIMULATORS), f"{module.name} imports {name}"


def test_no_engine_module_names_a_dispatcher_clock_or_store(repository: Path) -> None:
    for module in modules(repository):
        named = KINDS.intersection(words(ast.parse(module.read_text(encoding="utf-8"))))
        assert not named, f"{module.name} names {sorted(named)}"


@pytest.mark.parametrize("source", ["from actors.testing import x", "import flowforge.testing.simulation"])
def test_an_import_of_the_simulator_would_be_seen(source: str) -> None:
    assert any(name.startswith(SIMULATORS) for name in imported(ast.parse(source)))


def test_a_question_for_the_dispatcher_would_be_seen() -> None:
    assert KINDS.intersection(words(ast.parse("isinstance(dispatcher, pooled.PooledDispatcher)")))
