"""How the cost of a message grows: with their number, with the size of a payload, and with what history remembers.

Rates of what is compared are in processor time, since it runs minutes apart.
"""

from functools import partial

from benchmarks.durable import stored_runtime
from benchmarks.growth import against_the_first, growth
from benchmarks.harness import Effort, Row, cpu_seconds_of, seconds_of, take_turns
from benchmarks.pipeline import STAGES, Collect, Stage, flow_rate, pipeline_flow, run_job, source_to
from benchmarks.raw_sqlite import frame_seconds
from flowforge.flow import Flow
from flowforge.options import RuntimeOptions
from flowforge.routine import Routine
from flowforge.runtime import Runtime

__all__ = ["measure"]

MESSAGES = (1_000, 10_000, 100_000)
MOST_MESSAGES = 10_000_000
AT_LEAST_MESSAGES = 10_000
"""Short jobs are run again and again until they come to that, for a figure that can be told from noise."""
PAYLOADS = (10, 1_000, 100_000)
LARGEST_PAYLOAD = 10_000_000
BYTES = 50_000_000
"""How much goes through a pipeline of large payloads, of which ten pass at least."""
HISTORIES = {"history of 1": 1, "the usual history": RuntimeOptions().max_history, "all history": 1 << 40}


class Enlarge(Routine):
    """Gives each number a text of that length."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.define_slot("input", handler=self.work)
        self.define_event("out", ["x", "text"])
        self.size = size

    def work(self, x: int) -> None:
        """Pass it on, with its text."""
        self.emit("out", x=x, text=f"{x:0{self.size}}")


class Pass(Routine):
    """Passes on what it gets."""

    def __init__(self) -> None:
        super().__init__()
        self.define_slot("input", handler=self.work)
        self.define_event("out", ["x", "text"])

    def work(self, x: int, text: str) -> None:
        """Pass it on."""
        self.emit("out", x=x, text=text)


class Drop(Collect):
    """Counts what arrives, whatever it is."""

    def work(self, x: int, text: str = "") -> None:
        """Count it."""
        self.state["count"] += 1


def messages_cost(count: int) -> float:
    """Microseconds of processor time a message that goes through the pipeline."""
    jobs = max(1, AT_LEAST_MESSAGES // count)
    flow = pipeline_flow()
    with Runtime() as runtime:

        def run() -> None:
            for _ in range(jobs):
                flow_rate(runtime, flow, count)

        return cpu_seconds_of(run) / (jobs * count) * 1e6


def payload_flow(size: int) -> Flow:
    """A source whose numbers become large, and are passed on and dropped."""
    return source_to(Stage(), Enlarge(size), Pass(), Drop())


def payload_count(size: int, effort: Effort) -> int:
    """How many messages of that size go through."""
    return max(10, min(effort.size(2_000), BYTES // size))


def payload_cost(size: int, effort: Effort) -> float:
    """Microseconds of processor time a message whose text has that size, in memory."""
    count = payload_count(size, effort)
    with Runtime() as runtime:
        return cpu_seconds_of(lambda: run_job(runtime, payload_flow(size), count)) / count * 1e6


def durable_payload_rate(size: int, effort: Effort) -> float:
    """Megabytes of texts a second, from the first step to the last on disk."""
    count, flow = payload_count(size, effort), payload_flow(size)
    with stored_runtime(flow) as (runtime, _):
        return size * count / 1e6 / seconds_of(lambda: run_job(runtime, flow, count))


def raw_payload_rate(size: int, effort: Effort) -> float:
    """The limit: each text written once, in frames of five hundred, but none larger than eight megabytes."""
    count = payload_count(size, effort)
    records = [f"{x:0{size}}".encode() for x in range(count)]
    return size * count / 1e6 / frame_seconds(records, batch=max(1, min(500, (8 << 20) // size)))


def payload_rows(effort: Effort) -> list[Row]:
    """In memory, where a payload is passed on by reference, and durable, where it is written twice."""
    sizes = [*PAYLOADS, LARGEST_PAYLOAD] if effort.is_full else [*PAYLOADS]
    rows = []
    for size in sizes:
        work = f"payload of {size:,} B"
        contenders = {
            "durable": partial(durable_payload_rate, size, effort),
            "raw": partial(raw_payload_rate, size, effort),
        }
        rates = take_turns(contenders, min(3, effort.rounds), "MB/s")
        peer = "each text once, as raw frames"
        rows.append(Row(work=f"durable {work}", ours=rates["durable"], peer=peer, theirs=rates["raw"], is_limit=True))
    return [
        *growth("message", lambda size: payload_cost(size, effort), sizes, effort, label="its payload {:,} B"),
        *rows,
    ]


def history_rows(effort: Effort) -> list[Row]:
    """Cost of a message when all steps are remembered, against when only one is."""
    count = effort.size(20_000)

    def cost(most: int) -> float:
        with Runtime(options=RuntimeOptions(max_history=most)) as runtime:
            return cpu_seconds_of(lambda: flow_rate(runtime, pipeline_flow(), count)) / count * 1e6

    samples = take_turns({name: partial(cost, most) for name, most in HISTORIES.items()}, effort.rounds, "us")
    return against_the_first(samples, f"a message through {STAGES} stages, {{}}")


def measure(effort: Effort) -> list[Row]:
    """Cost per message: with their number, with their size, and with history."""
    sizes = effort.sizes(*MESSAGES, 1_000_000, largest=MOST_MESSAGES)
    return [*growth("message", messages_cost, sizes, effort), *payload_rows(effort), *history_rows(effort)]
