"""The shape of the source: who imports whom, how large things grow, what may not be written at all."""

import ast
import functools
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("flowforge", "actors")
TESTS = ("tests", "property_tests")
EVERYTHING = (*PACKAGES, *TESTS, "examples", "docs", "benchmarks")

# From bottom to top: a module imports from its own row and from the rows before it. The longest prefix
# decides, so "flowforge" stands for the nouns. That `actors` knows no flows is a test of its own.
LAYERS = (
    ("actors",),
    (
        "flowforge.errors",
        "flowforge.option_checks",
        "flowforge.option_errors",
        "flowforge.records",
        "flowforge.structs",
    ),
    ("flowforge.stores",),
    ("flowforge",),
    ("flowforge._engine",),
    (
        "flowforge.async_waiting",
        "flowforge.at_rest",
        "flowforge.dead_letters",
        "flowforge.durable_jobs",
        "flowforge.feeding",
        "flowforge.job_actors",
        "flowforge.flow_registry",
        "flowforge.job_directory",
        "flowforge.job_launcher",
        "flowforge.job_migration",
        "flowforge.job_starts",
        "flowforge.job_state",
        "flowforge.job_state_file",
        "flowforge.job_state_form",
        "flowforge.job_steering",
        "flowforge.job_table",
        "flowforge.job_versions",
        "flowforge.output_pumps",
        "flowforge.runtime_checks",
        "flowforge.runtime_statistics",
        "flowforge.shared_data",
        "flowforge.subscription",
    ),
    ("flowforge.runtime",),
    ("flowforge.flow", "flowforge.monitoring"),
    ("actors.testing",),
    ("flowforge.testing", "flowforge.__init__", "actors.__init__"),
)

# Each third-party library and the one place that may import it.
DOORS = {
    "pykka": "actors.pykka_door",
    "msgspec": "flowforge.structs",
    "cryptography": "flowforge.stores.encryption",
    "cloudpickle": "flowforge.stores.pickle_codec",
    "numpy": "flowforge.stores.codec_numpy",
    "pandas": "flowforge.stores.codec_pandas",
    "pyarrow": "flowforge.stores.codec_arrow",
    "hypothesis": "flowforge.testing",
    "pytest": "flowforge.testing",
}

# (module, library or its door) of each import that stands in a function because the library is an optional extra.
OPTIONAL_EXTRAS = frozenset(
    {
        ("flowforge.stores.codec_extras", "flowforge.stores.codec_arrow"),
        ("flowforge.stores.codec_extras", "flowforge.stores.codec_numpy"),
        ("flowforge.stores.codec_extras", "flowforge.stores.codec_pandas"),
        ("flowforge.testing.equivalence", "hypothesis"),
        ("flowforge.testing.pytest_plugin", "hypothesis"),
        ("flowforge.testing.schedule_strategies", "hypothesis"),
    }
)

MAX_MODULE_LINES = 400
MAX_FUNCTION_LINES = 60
# Spelled so that this file does not match itself.
UNFINISHED = re.compile(r"\b(TOD[O]|FIXM[E]|XX[X]|HAC[K])\b")

Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True, slots=True)
class Import:
    """One name of an import statement: `from source import name` has the target `source.name`."""

    module: str
    line: int
    source: str
    target: str
    in_function: bool
    for_types: bool

    def __str__(self) -> str:
        return f"{self.module}:{self.line} imports {self.target}"


def is_within(name: str, prefix: str) -> bool:
    return name == prefix or name.startswith(prefix + ".")


def python_files(*folders: str) -> list[Path]:
    return sorted(path for folder in folders for path in (ROOT / folder).rglob("*.py"))


def parsed(*folders: str) -> Iterator[tuple[str, ast.Module]]:
    """Each file's path below the repository, and its tree."""
    for path in python_files(*folders):
        yield path.relative_to(ROOT).as_posix(), ast.parse(path.read_text(encoding="utf-8"))


def modules() -> dict[str, ast.Module]:
    """The modules of both packages by name; a package's own is `name.__init__`."""
    return {path.removesuffix(".py").replace("/", "."): tree for path, tree in parsed(*PACKAGES)}


def imports_of(tree: ast.Module, module: str) -> Iterator[Import]:
    functions = [node for node in ast.walk(tree) if isinstance(node, Function)]
    in_function = {id(node) for function in functions for node in ast.walk(function)}
    guards = [node for node in ast.walk(tree) if isinstance(node, ast.If)]
    guarded = [node.body for node in guards if ast.unparse(node.test).endswith("TYPE_CHECKING")]
    for_types = {id(node) for body in guarded for statement in body for node in ast.walk(statement)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            pairs = [(alias.name, alias.name) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            source = "." * node.level + (node.module or "")
            pairs = [(source, f"{source}.{alias.name}") for alias in node.names]
        else:
            continue
        for source, target in pairs:
            yield Import(module, node.lineno, source, target, id(node) in in_function, id(node) in for_types)


@functools.cache
def package_imports() -> tuple[Import, ...]:
    return tuple(found for module, tree in modules().items() for found in imports_of(tree, module))


def rank(name: str) -> int:
    """The row of the longest prefix of `name` in the table of layers."""
    prefixes = [(len(prefix), row) for row, names in enumerate(LAYERS) for prefix in names if is_within(name, prefix)]
    assert prefixes, f"{name} is in no layer."
    return max(prefixes)[1]


def resolve(target: str, known: frozenset[str]) -> str | None:
    """The module of ours that an import loads, None for anybody else's."""
    parent = target.rpartition(".")[0]
    candidates = (target, f"{target}.__init__", parent, f"{parent}.__init__")
    return next((name for name in candidates if name in known), None)


def is_ours(found: Import) -> bool:
    return any(is_within(found.target, package) for package in PACKAGES)


def assigned_names(tree: ast.Module) -> set[str]:
    return {node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}


def switches_without_reason(tree: ast.Module) -> set[int]:
    switch = re.compile(r"pytest\.(mark\.)?(skip|skipif|xfail)")
    nodes = [node for node in ast.walk(tree) if isinstance(node, ast.Attribute)]
    switches = {id(node): node.lineno for node in nodes if switch.fullmatch(ast.unparse(node))}
    for call in ast.walk(tree):
        if isinstance(call, ast.Call) and id(call.func) in switches:
            words_first = not ast.unparse(call.func).endswith("skipif") and bool(call.args)
            if words_first or any(keyword.arg == "reason" for keyword in call.keywords):
                del switches[id(call.func)]
    return set(switches.values())


def test_imports_point_down_the_table_of_layers() -> None:
    ours = [found for found in package_imports() if is_ours(found)]

    upwards = [str(found) for found in ours if rank(found.target) > rank(found.module)]

    assert upwards == []


def test_actors_know_nothing_of_flows() -> None:
    ours = [found for found in package_imports() if is_within(found.module, "actors")]

    assert [str(found) for found in ours if is_within(found.target, "flowforge")] == []


def test_each_library_has_one_door() -> None:
    foreign = [found for found in package_imports() if not is_ours(found)]
    libraries = [(found, found.target.partition(".")[0]) for found in foreign]
    third_party = [(found, name) for found, name in libraries if name not in sys.stdlib_module_names]

    past_the_door = [
        str(found) for found, name in third_party if name not in DOORS or not is_within(found.module, DOORS[name])
    ]

    assert past_the_door == []


def test_sqlite_is_known_to_its_own_store_alone() -> None:
    users = {found.module for found in package_imports() if is_within(found.target, "sqlite3")}

    assert users == {f"flowforge.stores.sqlite{part}" for part in ("", "_file", "_writer")}


def test_nobody_imports_from_a_package_root() -> None:
    known = frozenset(modules())

    # A submodule is no name that the root hands on.
    from_roots = [
        str(found) for found in package_imports() if f"{found.source}.__init__" in known and found.target not in known
    ]

    assert from_roots == []


def test_imports_stand_at_the_top_except_for_extras() -> None:
    inside = [found for found in package_imports() if found.in_function]

    unlisted = [str(found) for found in inside if (found.module, found.source) not in OPTIONAL_EXTRAS]

    assert unlisted == []


def test_modules_do_not_import_each_other_in_a_cycle() -> None:
    known = frozenset(modules())
    graph: dict[str, set[str]] = {name: set() for name in known}
    for found in package_imports():
        loaded = resolve(found.target, known)
        if loaded is not None and not found.for_types:
            graph[found.module].add(loaded)

    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail("A cycle of imports: " + " <- ".join(error.args[1]))


def test_reader_tells_functions_and_type_blocks_apart() -> None:
    source = "import a\nif TYPE_CHECKING:\n  from b import c\ndef f():\n  def g():\n    from d.e import f\n"

    found = {(item.target, item.in_function, item.for_types) for item in imports_of(ast.parse(source), "m")}

    assert found == {("a", False, False), ("b.c", False, True), ("d.e.f", True, False)}


def test_layers_are_decided_by_the_longest_prefix() -> None:
    assert rank("flowforge.stores.sqlite") < rank("flowforge.slot") < rank("flowforge._engine.step")
    assert rank("flowforge.flow_graph") == rank("flowforge.slot") < rank("flowforge.flow")
    assert rank("flowforge.__init__") > rank("flowforge.runtime")


def test_modules_have_at_most_400_lines() -> None:
    texts = {path.relative_to(ROOT): path.read_text(encoding="utf-8") for path in python_files(*PACKAGES)}
    lengths = {str(path): len(text.splitlines()) for path, text in texts.items()}

    assert {path: lines for path, lines in lengths.items() if lines > MAX_MODULE_LINES} == {}


def test_functions_have_at_most_60_lines() -> None:
    lengths = {
        f"{path}:{node.lineno} {node.name}": (node.end_lineno or node.lineno) - node.lineno + 1
        for path, tree in parsed(*EVERYTHING)
        for node in ast.walk(tree)
        if isinstance(node, Function)
    }

    assert {name: lines for name, lines in lengths.items() if lines > MAX_FUNCTION_LINES} == {}


def test_public_modules_have_a_docstring_and_all() -> None:
    public = {name: tree for name, tree in modules().items() if "._" not in name.removesuffix(".__init__")}

    bare = [name for name, tree in public.items() if not ast.get_docstring(tree)]
    open_ended = [name for name, tree in public.items() if "__all__" not in assigned_names(tree)]

    assert (bare, open_ended) == ([], [])


def test_packages_print_nothing() -> None:
    printing = [
        f"{path}:{node.lineno}"
        for path, tree in parsed(*PACKAGES)
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "print"
    ]

    assert printing == []


def test_only_stress_tests_sleep() -> None:
    sleeping = [
        f"{path}:{node.lineno}"
        for path, tree in parsed(*TESTS)
        if "pytest.mark.stress" not in ast.unparse(tree)
        for node in ast.walk(tree)
        if (isinstance(node, ast.Attribute) and ast.unparse(node) == "time.sleep")
        or (isinstance(node, ast.ImportFrom) and ast.unparse(node).startswith("from time import sleep"))
    ]

    assert sleeping == []


def test_each_test_that_is_switched_off_says_why() -> None:
    silent = [f"{path}:{line}" for path, tree in parsed(*TESTS) for line in sorted(switches_without_reason(tree))]

    assert silent == []


def test_a_skip_without_words_is_found() -> None:
    source = "@pytest.mark.skip\ndef a(): pytest.skip('why')\n@pytest.mark.skipif(True)\ndef b(): pytest.skip()\n"

    assert switches_without_reason(ast.parse(source)) == {1, 3, 4}


def test_no_unfinished_work_is_marked_in_the_tree() -> None:
    pages = [*ROOT.glob("*.md"), *(page for folder in EVERYTHING for page in (ROOT / folder).rglob("*.md"))]
    texts = {path: path.read_text(encoding="utf-8") for path in [*python_files(*EVERYTHING), *pages]}

    assert [str(path.relative_to(ROOT)) for path, text in texts.items() if UNFINISHED.search(text)] == []
