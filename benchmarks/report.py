"""What was measured, as a table to read and as JSON to keep, with what is to be known about machine and commit."""

import json
import os
import platform
import sqlite3
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.harness import Row

__all__ = ["circumstances", "show", "write_json"]

HEADINGS = ("work", "FlowForge", "limit", "peer", "ratio", "target", "met")
ROOT = Path(__file__).resolve().parents[1]


def table(rows: Sequence[Row]) -> str:
    """All rows under one heading, in columns."""
    cells = [HEADINGS, *_lines(rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in cells]
    lines.insert(1, "  ".join("-" * width for width in widths))
    return "\n".join(lines)


def markdown(rows: Sequence[Row], around: Mapping[str, Any]) -> str:
    """The same table for a page, and below it what is to be known about it."""
    lines = [HEADINGS, tuple("---" for _ in HEADINGS), *_lines(rows)]
    text = "\n".join(f"| {' | '.join(line)} |" for line in lines)
    return f"{text}\n\n{'; '.join(f'{key}: {value}' for key, value in around.items())}."


def show(rows: Sequence[Row], around: Mapping[str, Any], *, as_markdown: bool) -> None:
    """Print the table, and what is to be known about it."""
    if as_markdown:
        print(markdown(rows, around))
        return
    print(table(rows), end="\n\n")
    for key, value in around.items():
        print(f"{key}: {value}")


def circumstances() -> dict[str, Any]:
    """Machine, load, Python and commit, which is marked if files differ from it."""
    return {
        "machine": f"{platform.system()} {platform.machine()}, {os.cpu_count()} CPUs, {_processor()}",
        "load": " ".join(f"{load:.2f}" for load in os.getloadavg()),
        "python": f"{platform.python_implementation()} {sys.version.split()[0]}",
        "sqlite": sqlite3.sqlite_version,
        "commit": _git("describe", "--always", "--dirty"),
    }


def write_json(path: Path, rows: Sequence[Row], around: dict[str, Any]) -> None:
    """Write rows and circumstances to a file."""
    tree = {**around, "rows": [row.to_dict() for row in rows]}
    path.write_text(json.dumps(tree, indent=1) + "\n", encoding="utf-8")


def _lines(rows: Sequence[Row]) -> Iterator[tuple[str, ...]]:
    """The cells of each row; what is as in the row above is not said again."""
    above = ("", "")
    for row in rows:
        work, ours, *rest = _cells(row)
        yield ("", "", *rest) if (work, ours) == above else (work, ours, *rest)
        above = work, ours


def _cells(row: Row) -> tuple[str, ...]:
    against = row.peer if row.theirs is None else f"{row.peer}: {row.theirs}"
    return (
        row.work,
        str(row.ours),
        against if row.is_limit else "",
        "" if row.is_limit else against,
        "" if row.ratio is None else str(row.ratio),
        "" if row.target is None else str(row.target),
        row.verdict,
    )


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "")


def _git(*arguments: str) -> str:
    try:
        run = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return run.stdout.strip()
