"""A census of Python's standard library, taken by a flow of five routines.

    walk -> read -> parse -> measure -> tally

Files that cannot be decoded or parsed, of which the library ships some, are skipped: they end as dead letters,
and the report lists them with their reasons. Run it with `make demo`, or

    python examples/stdlib_census.py [--directory DIRECTORY] [--plain]
"""

import argparse
import ast
import bisect
import heapq
import io
import sys
import sysconfig
import time
import tokenize
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from flowforge import ErrorHandler, ErrorStrategy, Flow, JobState, Routine, Runtime, RuntimeOptions
from flowforge.records import MessageGivenUp, StepCommitted

LONGEST = 10
FUNCTIONS = ast.FunctionDef | ast.AsyncFunctionDef


class Walk(Routine):
    """Finds the files. A generator: each yield commits, so it is stopped by backpressure and can be resumed."""

    def __init__(self, directory: str) -> None:
        super().__init__()
        self.directory = directory
        self.define_slot("trigger", handler=self.walk)
        self.define_event("file", ["path"])
        self.state["cursor"] = ""

    def walk(self) -> Iterator[None]:
        root = Path(self.directory)
        found = (path.relative_to(root) for path in root.rglob("*.py"))
        paths = sorted(path.as_posix() for path in found if "site-packages" not in path.parts)
        self.state["files"] = len(paths)
        for path in paths[bisect.bisect_right(paths, self.state["cursor"]) :]:
            self.state["cursor"] = path
            self.emit("file", path=path)
            yield


class Read(Routine):
    """Turns a path into text, by the encoding that the file declares."""

    def __init__(self, directory: str) -> None:
        super().__init__()
        self.directory = directory
        self.define_slot("path", handler=self.read, max_queue_length=100)
        self.define_event("text", ["path", "text"])

    def read(self, path: str) -> None:
        content = (Path(self.directory) / path).read_bytes()
        encoding, _ = tokenize.detect_encoding(io.BytesIO(content).readline)
        text = io.TextIOWrapper(io.BytesIO(content), encoding).read()
        self.emit("text", path=path, text=text)


class Parse(Routine):
    """Turns text into its classes and functions, as plain data: a syntax tree need not outlive the step."""

    def __init__(self) -> None:
        super().__init__()
        self.define_slot("text", handler=self.parse, max_queue_length=100)
        self.define_event("definitions", ["path", "lines", "definitions"])

    def parse(self, path: str, text: str) -> None:
        tree = ast.parse(text, path)
        definitions = [
            {
                "name": node.name,
                "is_function": isinstance(node, FUNCTIONS),
                "line": node.lineno,
                "length": (node.end_lineno or node.lineno) - node.lineno + 1,
                "is_documented": ast.get_docstring(node, clean=False) is not None,
            }
            for node in ast.walk(tree)
            if isinstance(node, FUNCTIONS | ast.ClassDef)
        ]
        self.emit("definitions", path=path, lines=len(text.splitlines()), definitions=definitions)


class Measure(Routine):
    """Turns the definitions of a file into its figures."""

    def __init__(self) -> None:
        super().__init__()
        self.define_slot("definitions", handler=self.measure)
        self.define_event("figures", ["package", "counts", "longest"])

    def measure(self, path: str, lines: int, definitions: list[dict[str, Any]]) -> None:
        functions = [definition for definition in definitions if definition["is_function"]]
        counts = {
            "files": 1,
            "lines": lines,
            "classes": len(definitions) - len(functions),
            "functions": len(functions),
            "documented": sum(function["is_documented"] for function in functions),
        }
        named = [[function["length"], f"{path}:{function['line']}", function["name"]] for function in functions]
        package = path.partition("/")[0] if "/" in path else "single modules"
        self.emit("figures", package=package, counts=counts, longest=heapq.nlargest(LONGEST, named))


class Tally(Routine):
    """Adds up the figures of all files in its state, which is what the report is made of."""

    def __init__(self) -> None:
        super().__init__()
        self.define_slot("figures", handler=self.add)
        self.state.update(packages={}, longest=[])

    def add(self, package: str, counts: dict[str, int], longest: list[list[Any]]) -> None:
        sums = self.state["packages"].setdefault(package, dict.fromkeys(counts, 0))
        for name, count in counts.items():
            sums[name] += count
        self.state["longest"] = heapq.nlargest(LONGEST, [*self.state["longest"], *longest])


def build_flow(directory: str) -> Flow:
    """The graph; a file at which a routine fails is skipped, and nothing else stops for it."""
    flow = Flow(flow_id="stdlib_census", error_handler=ErrorHandler(ErrorStrategy.SKIP))
    flow.add_routine(Walk(directory), "walk")
    flow.add_routine(Read(directory), "read")
    flow.add_routine(Parse(), "parse")
    flow.add_routine(Measure(), "measure")
    flow.add_routine(Tally(), "tally")
    flow.connect("walk.file", "read.path")
    flow.connect("read.text", "parse.text")
    flow.connect("parse.definitions", "measure.definitions")
    flow.connect("measure.figures", "tally.figures")
    return flow


def take_census(directory: str, *, shows_progress: bool = False) -> JobState:
    """Run the flow on all Python files below `directory`, and return its job, which then is at rest."""
    # The texts in the records of a job would stay in memory, so few are kept.
    options = RuntimeOptions(thread_pool_size=4, max_history=200)
    with warnings.catch_warnings(), Runtime(options=options) as runtime:
        # What the compiler thinks of old escapes in strings is not our concern.
        warnings.simplefilter("ignore")
        job = runtime.exec(build_flow(directory))
        if shows_progress:
            show_progress(job)
        job.wait()
    return job


def show_progress(job: JobState) -> None:
    """Follow the job's records to their end, on one line of the terminal."""
    measured = skipped = 0
    drawn_at = 0.0
    for record in job.subscribe():
        measured += isinstance(record, StepCommitted) and record.routine == "tally"
        skipped += isinstance(record, MessageGivenUp)
        if time.monotonic() - drawn_at > 0.1:
            drawn_at = time.monotonic()
            print(f"\r{measured:6,} files measured, {skipped} skipped ...", end="", flush=True)
    print("\r" + " " * 40 + "\r", end="", flush=True)
