"""What users may import: `__all__` and docstrings of every public module of both packages."""

import ast
import functools
import importlib
import inspect
import logging
from pathlib import Path
from types import ModuleType
from typing import ParamSpec, TypeVar, TypeVarTuple

import pytest

import flowforge

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("flowforge", "actors")

# Modules that hand on names of others: the doors to libraries, and a second import path.
HANDING_ON = {"actors.pykka_door", "flowforge.structs", "flowforge.monitoring.flow_registry"}

DEFINITIONS = ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef

# What a module may name without an underscore and yet not offer.
NEVER_OFFERED = (TypeVar, ParamSpec, TypeVarTuple, logging.Logger)


def public_modules() -> list[str]:
    files = [path.relative_to(ROOT) for name in PACKAGES for path in (ROOT / name).rglob("*.py")]
    names = {".".join(path.with_suffix("").parts).removesuffix(".__init__") for path in files}
    return sorted(name for name in names if "._" not in name)


def public_packages() -> list[str]:
    return [name for name in public_modules() if (ROOT / name.replace(".", "/")).is_dir()]


def tree_of(module: ModuleType) -> ast.Module:
    assert module.__file__ is not None
    return ast.parse(Path(module.__file__).read_text(encoding="utf-8"))


def imported_names(tree: ast.Module) -> set[str]:
    statements = [node for node in ast.walk(tree) if isinstance(node, ast.Import | ast.ImportFrom)]
    return {alias.asname or alias.name for statement in statements for alias in statement.names}


def defined_names(module: ModuleType) -> set[str]:
    """The public names that the module's own statements bind, imports aside."""
    tree = tree_of(module)
    names: set[str] = set()
    for node in tree.body:
        if isinstance(node, DEFINITIONS):
            names.add(node.name)
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            names.update(name.id for target in targets for name in ast.walk(target) if isinstance(name, ast.Name))
    public = {name for name in names if not name.startswith("_")}
    return {name for name in public if not isinstance(getattr(module, name, None), NEVER_OFFERED)}


def own_classes(module: ModuleType) -> list[type]:
    return [
        member
        for name, member in vars(module).items()
        if isinstance(member, type) and member.__module__ == module.__name__ and not name.startswith("_")
    ]


def is_documentable(member: object) -> bool:
    kinds = (property, classmethod, staticmethod, functools.cached_property)
    return inspect.isfunction(member) or isinstance(member, kinds)


def undocumented_methods(cls: type) -> list[str]:
    """Public methods and properties with no docstring of their own nor one inherited."""
    public = [name for name, member in vars(cls).items() if name[0] != "_" and is_documentable(member)]
    return [f"{cls.__qualname__}.{name}" for name in public if not inspect.getdoc(getattr(cls, name))]


@pytest.mark.parametrize("name", public_modules())
def test_all_names_exactly_what_the_module_offers(name: str) -> None:
    module = importlib.import_module(name)
    offered, defined = set(module.__all__), defined_names(module)
    imported = imported_names(tree_of(module))

    assert len(module.__all__) == len(offered)
    if name in public_packages():
        assert offered == imported
    elif name in HANDING_ON:
        assert defined <= offered <= defined | imported
    else:
        assert offered == defined


@pytest.mark.parametrize("name", public_modules())
def test_every_public_class_and_function_has_a_docstring(name: str) -> None:
    tree = tree_of(importlib.import_module(name))
    public = [node for node in tree.body if isinstance(node, DEFINITIONS) and not node.name.startswith("_")]

    assert [node.name for node in public if not ast.get_docstring(node)] == []


@pytest.mark.parametrize("name", public_modules())
def test_every_public_method_has_a_docstring(name: str) -> None:
    classes = own_classes(importlib.import_module(name))

    assert [method for cls in classes for method in undocumented_methods(cls)] == []


@pytest.mark.parametrize("name", public_packages())
def test_packages_only_hand_on_what_modules_define(name: str) -> None:
    module = importlib.import_module(name)

    kinds = {type(statement) for statement in tree_of(module).body[1:]}

    assert kinds <= {ast.ImportFrom, ast.Assign, ast.AnnAssign}
    assert defined_names(module) == set()


@pytest.mark.parametrize("name", flowforge.__all__)
def test_each_name_of_flowforge_can_be_imported(name: str) -> None:
    assert getattr(flowforge, name) is not None
