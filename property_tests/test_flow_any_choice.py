"""A confluent flow gives the same output, state and ids, whatever order its turns are taken in."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from actors.pooled_dispatcher import PooledDispatcher
from actors.testing.stepped_dispatcher import SteppedDispatcher
from flowforge.flow import Flow
from flowforge.job_state import JobState
from flowforge.routine import Routine
from flowforge.runtime import Runtime


@dataclass(frozen=True)
class Shape:
    """A random flow with the routines 0 to n-1; an edge leads to a later one, or back with a lower number."""

    edges: tuple[tuple[int, int], ...]
    kinds: tuple[str, ...]
    entry: int
    bound: int

    @property
    def routines(self) -> range:
        return range(len(self.kinds))


KINDS = ("plain", "generator", "async", "flaky")


@st.composite
def shapes(draw: st.DrawFn) -> Shape:
    size = draw(st.integers(1, 5))
    pairs = [(a, b) for a in range(size) for b in range(size)]
    edges = tuple(sorted(draw(st.sets(st.sampled_from(pairs), max_size=6))))
    kinds = tuple(draw(st.sampled_from(KINDS)) for _ in range(size))
    return Shape(edges, kinds, draw(st.integers(0, 3)), draw(st.integers(1, 4)))


class Stage(Routine):
    """Emits the number that comes, one lower, and as an output; 0 ends there."""

    def __init__(self, kind: str, bound: int) -> None:
        super().__init__()
        handlers = {"plain": self.plain, "generator": self.generator, "async": self.slow, "flaky": self.flaky}
        self.define_slot("input", handler=handlers[kind], max_queue_length=bound)
        self.define_event("out")
        self.define_event("seen")

    def plain(self, n: int) -> None:
        self.increment_stat("sum", n)
        self.job_state.shared_data.add("steps")
        self.emit("seen", n=n)
        if n:
            self.emit("out", n=n - 1)

    def generator(self, n: int) -> Iterator[None]:
        if not self.state.get("is_sent"):
            self.plain(n)
            self.state["is_sent"] = True
            yield
        self.state["is_sent"] = False

    async def slow(self, n: int) -> None:
        self.plain(n)

    def flaky(self, n: int) -> None:
        self.plain(n)
        if self.random.random() < 0.3 and self.failures_left:
            self.failures_left.pop()
            raise LookupError

    @property
    def failures_left(self) -> list[int]:
        return self.__dict__.setdefault("_failures", [1, 1])  # type: ignore[no-any-return]  # a test's own list


def build(shape: Shape) -> Flow:
    flow = Flow("flow")
    for index in shape.routines:
        flow.add_routine(Stage(shape.kinds[index], shape.bound), f"r{index}")
        flow.routines[f"r{index}"].set_as_critical(max_retries=3, retry_delay=0.25)
    for source, target in shape.edges:
        flow.connect(f"r{source}.out", f"r{target}.input")
    return flow


def run_stepped(shape: Shape, choices: list[int]) -> JobState:
    dispatcher = SteppedDispatcher()
    with Runtime(dispatcher=dispatcher) as runtime:
        job = runtime.exec(build(shape), "r0", {"n": shape.entry}, job_id="same")
        for choice in choices:
            ready = len(dispatcher.choices())
            if ready:
                dispatcher.step(choice % ready)
            elif not dispatcher.advance_to_next():
                break
        assert job.wait()
    return job


def run_pooled(shape: Shape) -> JobState:
    with Runtime(dispatcher=PooledDispatcher(3)) as runtime:
        job = runtime.exec(build(shape), "r0", {"n": shape.entry}, job_id="same")
        assert job.wait(60)
    return job


def result_of(job: JobState) -> dict[str, Any]:
    outputs = {name: Counter(payload["n"] for payload in payloads) for name, payloads in job.outputs.items()}
    ids = Counter(
        (record.routine, message.id)  # type: ignore[attr-defined]  # a committed step has both
        for record in job.view.history
        if getattr(record, "is_final", False)
        for message in record.messages  # type: ignore[attr-defined]  # a committed step has both
    )
    return {
        "status": job.status,
        "outputs": outputs,
        "states": job.routine_states,
        "shared": dict(job.shared_data),
        "ids": ids,
    }


@given(shapes(), st.lists(st.integers(0, 9), max_size=100))
def test_every_schedule_gives_the_same_result(shape: Shape, choices: list[int]) -> None:
    expected = result_of(run_stepped(shape, []))

    assert expected["status"] == "completed"
    assert result_of(run_stepped(shape, choices)) == expected


@given(shapes())
def test_threads_give_the_same_result_as_steps(shape: Shape) -> None:
    assert result_of(run_pooled(shape)) == result_of(run_stepped(shape, []))


@given(shapes(), st.lists(st.integers(0, 9), max_size=60), st.integers(1, 3))
def test_pauses_and_resumes_change_nothing(shape: Shape, choices: list[int], pauses: int) -> None:
    expected = result_of(run_stepped(shape, []))
    dispatcher = SteppedDispatcher()
    with Runtime(dispatcher=dispatcher) as runtime:
        job = runtime.exec(build(shape), "r0", {"n": shape.entry}, job_id="same")
        for _ in range(pauses):
            for choice in choices:
                ready = len(dispatcher.choices())
                if not ready:
                    break
                dispatcher.step(choice % ready)
            runtime.pause_job(job)
            if job.status == "paused":
                runtime.resume_job(job)
        assert job.wait()

    assert result_of(job) == expected
