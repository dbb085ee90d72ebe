"""A census of Python's standard library, taken by a flow of five routines.

    walk -> detect -> parse -> measure -> tally

Files that cannot be decoded or parsed, of which the library ships some, are skipped: they end as dead letters,
and the report lists them with their reasons. Run it with `make demo`, or

    python examples/stdlib_census.py [--directory DIRECTORY] [--store sqlite:///census.db] [--plain]

With a store it can be killed at any moment, and goes on when it is started again: see `census_crash.py`. What routines
send each other is written to the store, so messages name the files and hold no texts: those are on the disk already.
"""

import argparse
import ast
import heapq
import logging
import sys
import sysconfig
import time
import tokenize
import warnings
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from flowforge import ErrorHandler, ErrorStrategy, Flow, JobState, Routine, Runtime, RuntimeOptions

LONGEST = 10
SHOWN_PACKAGES = 15
FUNCTIONS = ast.FunctionDef | ast.AsyncFunctionDef
COUNTS = ("files", "lines", "classes", "functions", "documented")
BLOCKS = ("body", "orelse", "finalbody", "handlers", "cases")


class Walk(Routine):
    """Finds the files. A generator: each yield commits, so it is stopped by backpressure and can be resumed."""

    def __init__(self) -> None:
        super().__init__()
        self.define_slot("trigger", handler=self.walk)
        self.define_event("file", ["directory", "path"])
        self.state.update(cursor="", files=0)

    def walk(self, directory: str) -> Iterator[None]:
        root, cursor = Path(directory), self.state["cursor"].split("/")
        for path in python_files(root):
            parts = path.relative_to(root).parts
            if list(parts) > cursor:
                self.state["cursor"] = "/".join(parts)
                self.state["files"] += 1
                self.emit("file", directory=directory, path=self.state["cursor"])
                yield


def python_files(folder: Path) -> Iterator[Path]:
    """All Python files below a folder but those of installed packages, in the order of the parts of their paths.

    It looks into a folder when its turn has come, so that the first file comes at once.
    """
    for entry in sorted(folder.iterdir(), key=lambda entry: entry.name):
        if entry.is_dir() and not entry.is_symlink():
            if entry.name != "site-packages":
                yield from python_files(entry)
        elif entry.suffix == ".py" and entry.is_file():
            yield entry


class Detect(Routine):
    """Finds the encoding that a file declares, which its first two lines tell."""

    def __init__(self) -> None:
        super().__init__()
        self.define_slot("file", handler=self.detect, max_queue_length=100)
        self.define_event("encoding", ["directory", "path", "encoding"])

    def detect(self, directory: str, path: str) -> None:
        with (Path(directory) / path).open("rb") as file:
            encoding, _ = tokenize.detect_encoding(file.readline)
        self.emit("encoding", directory=directory, path=path, encoding=encoding)


class Parse(Routine):
    """Turns a file into its classes and functions, as plain data: a syntax tree need not outlive the step."""

    def __init__(self) -> None:
        super().__init__()
        self.define_slot("file", handler=self.parse, max_queue_length=100)
        self.define_event("definitions", ["path", "lines", "definitions"])

    def parse(self, directory: str, path: str, encoding: str) -> None:
        text = (Path(directory) / path).read_text(encoding)
        definitions = [
            {
                "name": node.name,
                "is_function": isinstance(node, FUNCTIONS),
                "line": node.lineno,
                "length": (node.end_lineno or node.lineno) - node.lineno + 1,
                "is_documented": ast.get_docstring(node, clean=False) is not None,
            }
            for node in definitions_in(ast.parse(text, path))
        ]
        self.emit("definitions", path=path, lines=len(text.splitlines()), definitions=definitions)


def definitions_in(tree: ast.Module) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef]:
    """All classes and functions; they stand in blocks only, so expressions, which are most of a tree, are left out."""
    waiting: list[Any] = [tree]
    while waiting:
        node = waiting.pop()
        if isinstance(node, FUNCTIONS | ast.ClassDef):
            yield node
        for block in BLOCKS:
            waiting.extend(getattr(node, block, ()))


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


def build_flow() -> Flow:
    """The graph; a file at which a routine fails is skipped, and nothing else stops for it."""
    flow = Flow(flow_id="stdlib_census", error_handler=ErrorHandler(ErrorStrategy.SKIP))
    flow.add_routine(Walk(), "walk")
    flow.add_routine(Detect(), "detect")
    flow.add_routine(Parse(), "parse")
    flow.add_routine(Measure(), "measure")
    flow.add_routine(Tally(), "tally")
    flow.connect("walk.file", "detect.file")
    flow.connect("detect.encoding", "parse.file")
    flow.connect("parse.definitions", "measure.definitions")
    flow.connect("measure.figures", "tally.figures")
    for routine in flow.routines.values():
        # They change nothing but their own state, so no step has to wait until its message is on disk.
        routine.set_pure()
    return flow


def take_census(directory: str, *, store: str | None = None, shows_progress: bool = False) -> JobState:
    """Run the flow on all Python files below `directory`, and return its job, which then is at rest.

    With a store it goes on where an earlier process was stopped, and a finished census is not taken again.
    """
    # A job's history holds the payloads, here the definitions of all files, so only its end is kept.
    options = RuntimeOptions(max_history=200)
    flow = build_flow()
    with warnings.catch_warnings(), Runtime(options=options, store=store, flows=[flow]) as runtime:
        # What the compiler thinks of old escapes in strings is not our concern.
        warnings.simplefilter("ignore")
        # One census for each directory; an id holds no dots.
        job = runtime.exec(flow, entry_params={"directory": directory}, job_id=directory.replace(".", "-"))
        if shows_progress:
            show_progress(job)
        job.wait()
    return job


def show_progress(job: JobState) -> None:
    """Follow the job's records to their end, on one line of the terminal."""
    drawn_at = 0.0
    for _ in job.subscribe():
        if time.monotonic() - drawn_at > 0.1:
            drawn_at = time.monotonic()
            measured = sum_of(job.get_routine_state("tally")["packages"].values())["files"]
            print(f"\r{measured:6,} files measured, {len(job.dead_letters)} skipped ...", end="", flush=True)
    print("\r" + " " * 40 + "\r", end="", flush=True)


def print_report(directory: str, job: JobState, seconds: float) -> None:
    """All that the census found, for people."""
    packages: dict[str, dict[str, int]] = job.get_routine_state("tally")["packages"]
    total = sum_of(packages.values())
    print(f"Census of {directory}")
    print(f"Job {job.status}: {job.get_routine_state('walk')['files']:,} files in {seconds:.1f} s")
    print("\nTotals")
    for name, count in total.items():
        print(f"  {name:<12}{count:>10,}")
    print("\nLongest functions")
    for length, place, name in job.get_routine_state("tally")["longest"]:
        print(f"  {length:>5} lines  {name:<28} {place}")
    print_packages(packages, total)
    print(f"\nDead letters: {len(job.dead_letters)}")
    for letter in sorted(job.dead_letters, key=lambda letter: str(letter.payload["path"])):
        print(f"  {letter.payload['path']}\n      {letter.routine}: {letter.reason}")
    print("\nTime per routine     calls     total      mean       p99")
    for routine, times in job.tracker.statistics().routines.items():
        spent = times.mean_time * (times.steps + times.errors)
        milliseconds = f"{times.mean_time * 1e3:>7.2f} ms{times.p99_time * 1e3:>7.2f} ms"
        print(f"  {routine:<14}{times.calls:>10,}{spent:>8.2f} s{milliseconds}")


def print_packages(packages: dict[str, dict[str, int]], total: dict[str, int]) -> None:
    """How many of the functions have a docstring: the packages with most functions, the others in one row."""
    ranked = sorted(packages.items(), key=lambda item: (-item[1]["functions"], item[0]))
    rows = ranked[:SHOWN_PACKAGES]
    if others := ranked[SHOWN_PACKAGES:]:
        rows.append((f"{len(others)} others", sum_of(counts for _, counts in others)))
    print("\nFunctions with a docstring, by package")
    for package, counts in [*rows, ("all", total)]:
        share = counts["documented"] / max(1, counts["functions"])
        print(f"  {package:<20}{counts['documented']:>7,} of{counts['functions']:>8,}{share:>8.1%}")


def sum_of(rows: Iterable[dict[str, int]]) -> dict[str, int]:
    """The rows added up, name by name."""
    total = dict.fromkeys(COUNTS, 0)
    for row in rows:
        for name, count in row.items():
            total[name] += count
    return total


def main() -> None:
    """Take the census that the command line asks for."""
    parser = argparse.ArgumentParser(description="A census of Python files, taken by a flow.")
    parser.add_argument("--directory", default=sysconfig.get_path("stdlib"), help="default: the standard library")
    parser.add_argument("--store", help="keep the census in this store, and go on with the one that is there")
    parser.add_argument("--plain", action="store_true", help="show no progress")
    options = parser.parse_args()
    if not Path(options.directory).is_dir():
        parser.error(f"There is no directory {options.directory!r}.")
    # That a short history lets records go is what we asked for, not worth a warning between the lines.
    logging.getLogger("flowforge").setLevel(logging.ERROR)
    start = time.perf_counter()
    shows_progress = sys.stdout.isatty() and not options.plain
    job = take_census(options.directory, store=options.store, shows_progress=shows_progress)
    print_report(options.directory, job, time.perf_counter() - start)
    if job.status != "completed":
        sys.exit(f"The census failed: {job.error}")


if __name__ == "__main__":
    main()
