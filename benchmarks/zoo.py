"""`python -m benchmarks.zoo [--seeds 5]`: how soon each seeded defect is found, and what it shrinks to."""

import argparse
from collections import Counter
from statistics import median

from hypothesis.errors import NoSuchExample

from property_tests.zoo.collection import ZOO
from property_tests.zoo.specimen import Find, Specimen

__all__ = ["main"]


def search(specimen: Specimen, seed: int) -> Find | None:
    """What one seed finds; None for nothing."""
    try:
        return specimen.search(seed)
    except NoSuchExample:
        return None


def row(specimen: Specimen, seeds: int) -> str:
    """A line of the table."""
    finds = [found for seed in range(seeds) if (found := search(specimen, seed)) is not None]
    start = f"| {specimen.name} | {specimen.kind} | {len(finds)} of {seeds} |"
    if not finds:
        return f"{start} - | - | - |"
    examples = [found.examples for found in finds]
    sizes = ", ".join(str(found.schedule.size) for found in finds)
    schedule, _ = Counter(repr(found.schedule) for found in finds).most_common(1)[0]
    return f"{start} {min(examples)} / {median(examples):g} / {max(examples)} | {sizes} | `{schedule}` |"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.zoo", description=__doc__)
    parser.add_argument("--seeds", type=int, default=5, help="how many searches for each defect (default: 5)")
    seeds = parser.parse_args().seeds
    print("| defect | in | found | examples: fewest / median / most | sizes after shrinking | the commonest schedule |")
    print("|---|---|---|---|---|---|")
    for specimen in ZOO:
        print(row(specimen, seeds), flush=True)


if __name__ == "__main__":
    main()
