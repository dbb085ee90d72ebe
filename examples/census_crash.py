"""The census, killed with `kill -9` at random moments until it is done; then its report is compared.

    python examples/census_crash.py [--directory DIRECTORY] [--kills 20]

Each life of the census is another process on the same store, which goes on where the one before was killed. How long
they live is drawn at random, from a span that grows with each kill, so that they come to an end on any machine. If that
took fewer kills than were asked for, it is done again in shorter lives.
"""

import argparse
import itertools
import random
import subprocess
import sys
import sysconfig
import tempfile
import time
from pathlib import Path

CENSUS = str(Path(__file__).with_name("stdlib_census.py"))


def census(directory: str, store: Path) -> "subprocess.Popen[str]":
    """A process that takes the census, or goes on with it."""
    arguments = ["--plain", "--directory", directory, "--store", f"sqlite:///{store}"]
    return subprocess.Popen([sys.executable, CENSUS, *arguments], stdout=subprocess.PIPE, encoding="utf-8")


def report_of(process: "subprocess.Popen[str]", printed: str) -> str:
    """What a census printed that has ended; the program ends, too, if that was by an error."""
    if process.returncode:
        sys.exit(f"The census ended with {process.returncode}.\n{printed}")
    return printed


def run_and_kill(directory: str, store: Path, span: float, growth: float) -> tuple[str, int]:
    """Start the census and kill it after a part of `span` seconds, again and again; its report and the kills."""
    kills = 0
    while True:
        seconds = random.uniform(0, span)
        with census(directory, store) as process:
            try:
                report, _ = process.communicate(timeout=seconds)
            except subprocess.TimeoutExpired:
                process.kill()
                kills += 1
                span *= growth
            else:
                return report_of(process, report), kills
        size = store.stat().st_size if store.exists() else 0
        print(f"  killed after {seconds:5.2f} s, the store has {size / 1e6:6.1f} MB", flush=True)


def crash(directory: str, folder: Path, span: float, wanted: int) -> tuple[str, int]:
    """The report of a census that was killed at least `wanted` times, and how often it was."""
    for attempt in itertools.count():
        report, kills = run_and_kill(directory, folder / f"killed{attempt}.db", span, 1 + 1 / wanted)
        if kills >= wanted:
            return report, kills
        print(f"Done after {kills} kills, which are too few: once more, in shorter lives.", flush=True)
        span /= 2
    raise AssertionError("It counts for ever.")


def facts(report: str) -> str:
    """What must be equal: all but how long it took."""
    head, _, rest = report.partition(" s\n")
    return head.rpartition(" in ")[0] + "\n" + rest.partition("\nTime per routine")[0]


def main() -> None:
    """Take the census twice, once in peace."""
    parser = argparse.ArgumentParser(description="A census of Python files that survives kill -9.")
    parser.add_argument("--directory", default=sysconfig.get_path("stdlib"), help="default: the standard library")
    parser.add_argument("--kills", type=int, default=20, help="kill it at least so often")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        with census(options.directory, Path(folder) / "peaceful.db") as process:
            peaceful = report_of(process, process.communicate()[0])
        seconds = time.perf_counter() - start
        print(f"Uninterrupted: {seconds:.1f} s", flush=True)
        killed, kills = crash(options.directory, Path(folder), seconds / 10, options.kills)
    print(facts(killed))
    if facts(killed) != facts(peaceful):
        sys.exit(f"The report differs from that of the uninterrupted census:\n{facts(peaceful)}")
    print(f"Killed {kills} times, and the report equals that of the uninterrupted census, byte for byte.")


if __name__ == "__main__":
    main()
