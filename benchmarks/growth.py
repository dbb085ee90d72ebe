"""How cost grows: with the number of jobs a runtime has run, and with the number of routines in a flow.

In processor time, since what is compared runs minutes apart.
"""

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from itertools import pairwise

from benchmarks.harness import Effort, Row, Sample, at_most, cpu_seconds_of, take_turns
from benchmarks.jobs import small_flow
from benchmarks.pipeline import Stage
from flowforge.flow import Flow
from flowforge.job_state import JobState
from flowforge.options import RuntimeOptions
from flowforge.runtime import Runtime

__all__ = ["against_the_first", "chain", "growth", "measure"]

JOBS = (1, 100, 10_000)
MOST_JOBS = 100_000
ROUTINES = (10, 100, 1_000)
MOST_ROUTINES = 10_000
AT_LEAST = 1_000
"""Small numbers of them are run again and again until they come to that, for a figure that can be told from noise."""
IN_FLIGHT = 100
ROUNDS = 3
NOISE = 1.25
"""Cost per unit may rise by this factor and still be called linear."""


def jobs_cost(count: int) -> float:
    """Microseconds of processor time a job of three routines, of which at most a hundred are in flight."""
    flow = small_flow()
    runs = max(1, AT_LEAST // count)
    with Runtime(options=RuntimeOptions(max_finished_jobs=IN_FLIGHT)) as runtime:

        def run_once() -> None:
            jobs: deque[JobState] = deque()
            for _ in range(count):
                jobs.append(runtime.exec(flow, "a", {"x": 0}))
                if len(jobs) == IN_FLIGHT:
                    jobs.popleft().wait()
            for job in jobs:
                job.wait()

        def run() -> None:
            for _ in range(runs):
                run_once()

        return cpu_seconds_of(run) / (runs * count) * 1e6


def chain(count: int) -> Flow:
    """So many routines in a row."""
    flow = Flow("chain")
    names = [flow.add_routine(Stage(), f"stage{number}") for number in range(count)]
    for name, following in pairwise(names):
        flow.connect(name, "out", following, "input")
    return flow


def routines_cost(count: int) -> float:
    """Microseconds of processor time a routine: to be added, connected, checked, started, and called once."""
    flows = max(1, AT_LEAST // count)
    with Runtime() as runtime:

        def run() -> None:
            for _ in range(flows):
                flow = chain(count)
                flow.validate()
                job = runtime.exec(flow, "stage0", {"x": 0})
                job.wait()
                assert job.outputs == {f"stage{count - 1}.out": [{"x": count}]}

        return cpu_seconds_of(run) / (flows * count) * 1e6


def growth(
    noun: str, cost: Callable[[int], float], sizes: Sequence[int], effort: Effort, *, label: str = "of {:,}"
) -> list[Row]:
    """A row for each size after the first, which all are held against; taken in turn within each round."""
    cost(sizes[0])
    contenders = {label.format(size): partial(cost, size) for size in sizes}
    samples = take_turns(contenders, min(ROUNDS, effort.rounds), "us", warms_up=False)
    return against_the_first(samples, f"cost of a {noun}, {{}}")


def against_the_first(samples: Mapping[str, Sample], work: str) -> list[Row]:
    """A row for each sample but the first, held against that, which may be exceeded by noise only."""
    base, *others = samples
    return [
        Row(work=work.format(name), ours=samples[name], peer=base, theirs=samples[base], target=at_most(NOISE))
        for name in others
    ]


def measure(effort: Effort) -> list[Row]:
    """Cost per job and per routine, where a ratio of 1 is linear growth."""
    jobs, routines = effort.sizes(*JOBS, largest=MOST_JOBS), effort.sizes(*ROUTINES, largest=MOST_ROUTINES)
    return [*growth("job", jobs_cost, jobs, effort), *growth("routine", routines_cost, routines, effort)]
