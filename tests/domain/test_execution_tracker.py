import threading
import tracemalloc
from typing import Any

import pytest

from flowforge.execution_tracker import ExecutionTracker, FlowStatistics, RoutineStatistics
from flowforge.records import (
    Delivery,
    Destination,
    ErrorInfo,
    JobStarted,
    Message,
    MessageGivenUp,
    Record,
    RetryScheduled,
    StepCommitted,
    StepFailed,
)

ENTRY = Message(id=1, job="job-1", source="", payload={}, at=0.0)
ERROR = ErrorInfo("ValueError", "no", "Traceback ...")


def step(routine: str = "scan", *, duration: float = 0.1, queued: float = 0.0, **rest: Any) -> StepCommitted:
    facts = {"at": 0.0, "is_final": True, **rest}
    return StepCommitted(
        position=1,
        epoch=0,
        routine=routine,
        replica=0,
        slot="input",
        messages=(ENTRY,),
        duration=duration,
        queued=queued,
        **facts,
    )


def failure(*, duration: float = 0.1, queued: float = 0.0) -> StepFailed:
    return StepFailed(
        position=1,
        at=0.0,
        epoch=0,
        routine="scan",
        replica=0,
        slot="input",
        messages=(ENTRY,),
        duration=duration,
        queued=queued,
        error=ERROR,
    )


def retry() -> RetryScheduled:
    return RetryScheduled(position=1, at=0.0, epoch=0, routine="scan", replica=0, delay=1.0, due=1.0)


def give_up() -> MessageGivenUp:
    return MessageGivenUp(
        position=1,
        at=0.0,
        epoch=0,
        letter="job-1-dl1",
        routine="scan",
        slots=("input", "input"),
        messages=(ENTRY, ENTRY),
        strategy="skip",
        error=ERROR,
    )


def delivery(source: str, to: str) -> Delivery:
    routine, slot = to.split(".")
    return Delivery(Destination(routine, slot), Message(id=2, job="job-1", source=source, payload={}, at=0.0))


def tracked(*records: Record) -> ExecutionTracker:
    tracker = ExecutionTracker()
    for record in records:
        tracker.apply(record)
    return tracker


def are_of_one_instant(statistics: FlowStatistics) -> bool:
    calls = sum(figures.calls for figures in statistics.routines.values())
    return calls == statistics.steps == sum(statistics.connections.values())


def test_a_tracker_that_saw_nothing_answers_with_zeros() -> None:
    statistics = ExecutionTracker().statistics()

    assert statistics.to_dict() == {"routines": {}, "connections": {}, "steps": 0, "steps_per_second": 0.0}
    assert ExecutionTracker().routine("scan") == RoutineStatistics()


def test_asking_for_an_unknown_routine_does_not_create_it() -> None:
    tracker = tracked(step("scan"))

    assert tracker.routine("nobody") == RoutineStatistics()
    assert list(tracker.statistics().routines) == ["scan"]


def test_times_have_extremes_mean_and_percentiles() -> None:
    figures = tracked(*(step(duration=n / 1000) for n in range(1, 101))).routine("scan")

    assert (figures.min_time, figures.max_time) == (0.001, 0.1)
    assert figures.mean_time == pytest.approx(0.0505)
    assert figures.p50_time == pytest.approx(0.050, rel=0.05)
    assert figures.p99_time == pytest.approx(0.099, rel=0.05)


def test_queue_times_have_mean_and_maximum() -> None:
    figures = tracked(step(queued=1.0), step(queued=4.0), failure(queued=1.0)).routine("scan")

    assert (figures.mean_queue_time, figures.max_queue_time) == (2.0, 4.0)


def test_each_yield_is_a_step_and_only_the_end_is_a_call() -> None:
    figures = tracked(step(is_final=False, queued=3.0), step(is_final=False), step(queued=3.0)).routine("scan")

    assert (figures.calls, figures.steps, figures.mean_queue_time) == (1, 3, 3.0)


def test_failed_attempts_are_calls_and_timed() -> None:
    figures = tracked(step(duration=0.1), failure(duration=0.3)).routine("scan")

    assert (figures.calls, figures.steps, figures.errors, figures.max_time) == (2, 1, 1, 0.3)
    assert figures.mean_time == pytest.approx(0.2)


def test_errors_retries_and_dead_letters_are_counted() -> None:
    figures = tracked(failure(), retry(), failure(), give_up()).routine("scan")

    assert (figures.errors, figures.retries, figures.dead_letters) == (2, 1, 1)


def test_messages_are_counted_by_connection() -> None:
    sent = (delivery("scan.found", "parse.input"), delivery("scan.found", "log.line"))

    statistics = tracked(step(deliveries=sent), step(deliveries=sent[:1])).statistics()

    assert statistics.connections == {"scan.found -> parse.input": 2, "scan.found -> log.line": 1}


def test_what_comes_from_outside_is_no_connection() -> None:
    start = JobStarted(position=1, at=0.0, epoch=0, flow="census", deliveries=(delivery("", "scan.input"),))

    statistics = tracked(start, step(deliveries=(delivery("", "parse.input"),))).statistics()

    assert statistics.connections == {}


def test_throughput_is_steps_between_first_and_last_record() -> None:
    statistics = tracked(step(at=100.0), step("parse", at=101.0), step(at=102.0)).statistics()

    assert (statistics.steps, statistics.steps_per_second) == (3, 1.5)


def test_throughput_of_one_instant_is_zero() -> None:
    assert tracked(step(at=100.0)).statistics().steps_per_second == 0.0


def test_figures_become_plain_data() -> None:
    tracker = tracked(step(), retry())

    data = tracker.to_dict()

    assert data == tracker.statistics().to_dict()
    assert data["routines"]["scan"]["retries"] == 1


def test_equal_records_give_equal_figures() -> None:
    records = [step(duration=0.2, deliveries=(delivery("scan.found", "parse.input"),)), failure(), give_up()]

    assert tracked(*records).statistics() == tracked(*records).statistics()


def test_figures_that_were_read_do_not_change() -> None:
    tracker = tracked(step(duration=0.1))
    before = tracker.statistics()

    tracker.apply(step(duration=5.0, deliveries=(delivery("scan.found", "parse.input"),)))

    assert (before.steps, before.routines["scan"].max_time, dict(before.connections)) == (1, 0.1, {})
    with pytest.raises(TypeError):
        before.routines["scan"] = RoutineStatistics()  # type: ignore[index]  # What the test is about.


def test_memory_is_bounded_by_routines_and_connections() -> None:
    sent = (delivery("scan.found", "parse.input"),)
    records = [step(duration=1.0 + n % 50, deliveries=sent) for n in range(50)]
    tracker = tracked(*records * 100)

    tracemalloc.start()
    for record in records * 100:
        tracker.apply(record)
    grown, _peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    # Counters that grow past Python's ready-made small numbers, nothing per record.
    assert grown < 5_000


def test_readers_on_any_thread_get_the_figures_of_one_instant() -> None:
    tracker = ExecutionTracker()
    sent = (delivery("scan.found", "parse.input"),)
    seen: list[FlowStatistics] = []

    def read() -> None:
        seen.extend(tracker.statistics() for _ in range(200))

    readers = [threading.Thread(target=read) for _ in range(2)]
    for reader in readers:
        reader.start()
    for n in range(3_000):
        tracker.apply(step(f"routine_{n % 3}", deliveries=sent))
    for reader in readers:
        reader.join()

    assert [figures for figures in seen if not are_of_one_instant(figures)] == []
