"""A million messages round a cycle of two routines: how fast, and whether memory stays flat."""

import os
import statistics
import time
from pathlib import Path

from benchmarks.harness import Effort, Row, Sample, at_most
from benchmarks.pipeline import RingStage
from flowforge.flow import Flow
from flowforge.routine import Routine
from flowforge.runtime import Runtime

__all__ = ["measure", "resident_bytes"]

LOOK_EVERY = 0.1
FULL = 1_000_000


class Turn(Routine):
    """Sends its token round again, `laps` times, and counts in its state."""

    def __init__(self) -> None:
        super().__init__()
        self.define_slot("input", handler=self.work)
        self.define_event("again", ["x"])
        self.define_event("out", ["x"])
        self.state["count"] = 0

    def work(self, x: int) -> None:
        """Count a lap."""
        self.state["count"] += 1
        self.emit("again" if x else "out", x=x - 1 if x else 0)


def cycle_flow() -> Flow:
    """Two routines, each of which feeds the other."""
    flow = Flow("cycle")
    flow.add_routine(Turn(), "turn")
    flow.add_routine(RingStage(), "back")
    flow.connect("turn", "again", "back", "input")
    flow.connect("back", "out", "turn", "input")
    return flow


def resident_bytes() -> int:
    """The memory that this process holds; Linux only."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def run_cycle(laps: int) -> tuple[float, list[int]]:
    """Seconds of one job, and what memory was held at each look."""
    looks = [resident_bytes()]
    with Runtime() as runtime:
        before = time.perf_counter()
        job = runtime.exec(cycle_flow(), "turn", {"x": laps})
        while not job.wait(LOOK_EVERY):
            looks.append(resident_bytes())
        seconds = time.perf_counter() - before
        looks.append(resident_bytes())
        assert job.get_routine_state("turn") == {"count": laps + 1}
        assert job.outputs == {"turn.out": [{"x": 0}]}
    return seconds, looks


def growth(looks: list[int]) -> float:
    """Bytes gained from the second tenth, when history is full, to the last."""
    tenth = max(1, len(looks) // 10)
    return statistics.median(looks[-tenth:]) - statistics.median(looks[tenth : 2 * tenth] or looks[:1])


def measure(effort: Effort) -> list[Row]:
    """Messages a second of a million against those of ten thousand, and bytes gained a message."""
    laps = effort.size(FULL) // 2
    run_cycle(laps // 100)
    short, _ = run_cycle(laps // 50)
    long, looks = run_cycle(laps)
    work = f"cycle, {2 * laps:,} messages"
    return [
        Row(
            work=work,
            ours=Sample((2 * laps / long,), "messages/s"),
            peer=f"{2 * (laps // 50):,} messages",
            theirs=Sample((2 * (laps // 50) / short,), "messages/s"),
        ),
        Row(work=work, ours=Sample((growth(looks) / (2 * laps),), "B gained a message"), target=at_most(1)),
    ]
