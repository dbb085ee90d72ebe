"""The census of stdlib_census.py as a plain loop on one thread: what the flow's numbers are compared with."""

import ast
import heapq
import sysconfig
import tokenize
import warnings
from pathlib import Path
from typing import Any

FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)


def take_census(directory: str) -> dict[str, Any]:
    """Figures by package, the longest functions, and the files that could not be read or parsed."""
    root = Path(directory)
    paths = sorted(path.relative_to(root).as_posix() for path in root.rglob("*.py") if path.is_file())
    packages: dict[str, dict[str, int]] = {}
    functions: list[list[Any]] = []
    skipped: list[str] = []
    for path in paths:
        if "site-packages" in path.split("/"):
            continue
        try:
            with tokenize.open(root / path) as file:
                text = file.read()
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                tree = ast.parse(text)
        except (SyntaxError, UnicodeDecodeError, ValueError):
            skipped.append(path)
            continue
        package = path.split("/")[0] if "/" in path else "single modules"
        counts = packages.setdefault(package, {"files": 0, "lines": 0, "classes": 0, "functions": 0, "documented": 0})
        counts["files"] += 1
        counts["lines"] += len(text.splitlines())
        for node in ast.walk(tree):
            if isinstance(node, ast.ClassDef):
                counts["classes"] += 1
            elif isinstance(node, FUNCTIONS):
                counts["functions"] += 1
                counts["documented"] += ast.get_docstring(node) is not None
                length = (node.end_lineno or 0) - node.lineno + 1
                functions.append([length, f"{path}:{node.lineno}", node.name])
    return {"packages": packages, "longest": heapq.nlargest(10, functions), "skipped": sorted(skipped)}


if __name__ == "__main__":
    for name, value in take_census(sysconfig.get_path("stdlib")).items():
        print(name, value)
