"""A numbered stream of records for several readers: gapless, or saying from where it lags."""

import threading
from collections.abc import Callable
from typing import Any

import pytest

from flowforge.flow import Flow
from flowforge.job_state import JobState
from flowforge.options import RuntimeOptions
from flowforge.records import JobMoved, JobStarted, Record, StepCommitted
from flowforge.routine import Routine
from flowforge.runtime import Runtime
from flowforge.subscription import Lagged, Subscription
from tests.handlers import pass_on, send

Chain = Callable[..., Flow]


def positions(entries: list[Any]) -> list[int]:
    return [entry.position for entry in entries if isinstance(entry, Record)]


def read_in_a_thread(stream: Subscription) -> tuple[threading.Thread, list[Record | Lagged]]:
    entries: list[Record | Lagged] = []
    thread = threading.Thread(target=lambda: entries.extend(stream))
    thread.start()
    return thread, entries


@pytest.fixture
def finished(runtime: Runtime, chain: Chain) -> JobState:
    job = runtime.exec(chain(send, pass_on), entry_params={"n": 5})
    job.wait(30)
    return job


def test_a_stream_of_a_finished_job_holds_all_its_records(finished: JobState) -> None:
    records = list(finished.subscribe())

    assert positions(records) == list(range(1, 9))
    assert isinstance(records[0], JobStarted)
    assert isinstance(records[-1], JobMoved)


def test_a_stream_begins_at_the_position_asked_for(finished: JobState) -> None:
    assert positions(list(finished.subscribe(6))) == [6, 7, 8]


def test_a_stream_ends_with_its_job(runtime: Runtime, chain: Chain) -> None:
    job = runtime.exec(chain(send, pass_on), keep_alive=True)
    thread, entries = read_in_a_thread(job.subscribe())
    runtime.post(job, "a", "input", {"n": 5})
    job.close()
    job.wait(30)
    thread.join(30)

    assert not thread.is_alive()
    assert positions(entries) == list(range(1, len(entries) + 1))
    assert isinstance(entries[-1], JobMoved)


def test_several_readers_each_get_all_records(runtime: Runtime, chain: Chain) -> None:
    job = runtime.exec(chain(send, pass_on), keep_alive=True)
    readers = [read_in_a_thread(job.subscribe()) for _ in range(3)]
    runtime.post(job, "a", "input", {"n": 50})
    job.close()
    job.wait(30)
    for thread, _ in readers:
        thread.join(30)

    assert [positions(entries) for _, entries in readers] == [list(range(1, 1 + 3 + 1 + 50 + 1))] * 3


def test_a_reader_who_joins_late_misses_nothing(stepped: Runtime, chain: Chain, turn: Callable[..., None]) -> None:
    job = stepped.exec(chain(send, pass_on))
    turn("a", "a", "b", "b")

    stream = job.subscribe()
    job.wait()

    entries = list(stream)
    assert positions(entries) == list(range(1, 1 + 1 + 3 + 1 + 1))


def test_a_stream_subscribed_ahead_skips_what_comes_before(stepped: Runtime, chain: Chain) -> None:
    job = stepped.exec(chain(send, pass_on))
    stream = job.subscribe(from_position=4)
    job.wait()

    assert positions(list(stream)) == [4, 5, 6]


def test_a_stream_says_what_the_history_had_let_go(chain: Chain) -> None:
    with Runtime(options=RuntimeOptions(thread_pool_size=2, max_history=10)) as runtime:
        job = runtime.exec(chain(send, pass_on), entry_params={"n": 50})
        job.wait(30)
        first, *rest = job.subscribe()

    assert isinstance(first, Lagged)
    assert (first.first, first.last) == (1, 43)
    assert repr(first) == "Lagged(first=1, last=43)"
    assert positions(rest) == list(range(44, 54))


def test_a_slow_reader_is_told_from_where_it_lags(stepped: Runtime, chain: Chain) -> None:
    job = stepped.exec(chain(send, pass_on), entry_params={"n": 20})
    stream = job.subscribe(max_waiting=5)
    job.wait()
    first, *rest = stream

    assert isinstance(first, Lagged)
    assert positions(rest) == list(range(first.last + 1, first.last + 6))
    assert first.first == 1


def test_a_closed_stream_ends_after_what_has_arrived(stepped: Runtime, chain: Chain, turn: Callable[..., None]) -> None:
    job = stepped.exec(chain(send, pass_on))
    turn("a", "a")
    stream = job.subscribe()
    stream.close()
    stream.close()
    job.wait()

    assert positions(list(stream)) == [1, 2]


def test_a_stream_of_a_reopened_job_tells_the_second_run_too(stepped: Runtime, chain: Chain) -> None:
    is_open: list[int] = []

    def gate(self: Routine) -> None:
        if not is_open:
            raise LookupError

    flow = chain(gate)
    flow.routines["a"].set_as_optional()
    job = stepped.exec(flow)
    job.wait()
    before = len(list(job.subscribe()))
    is_open.append(1)
    job.requeue_dead_letter(job.dead_letters[0].id)
    stream = job.subscribe(before + 1)
    job.wait()

    records = list(stream)
    assert positions(records) == list(range(before + 1, before + 1 + len(records)))
    assert any(isinstance(record, StepCommitted) for record in records)
    assert isinstance(records[-1], JobMoved)


def test_a_subscriber_of_an_idle_job_has_seen_its_last_step(stepped: Runtime, chain: Chain, dispatcher: Any) -> None:
    job = stepped.exec(chain(pass_on), keep_alive=True)
    stream = job.subscribe()
    stepped.post(job, "a", "input", {"n": 1})
    dispatcher.run_until_idle()
    stream.close()

    assert any(isinstance(record, StepCommitted) for record in stream)


def test_the_stream_and_the_history_are_the_same_records(finished: JobState) -> None:
    assert list(finished.subscribe()) == list(finished.view.history)
