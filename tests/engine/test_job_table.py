"""The table of a runtime's jobs; each test is named after a guarantee of its module."""

from typing import Any

import pytest

from flowforge._engine.job_data import JobData
from flowforge._engine.view import JobView
from flowforge.job_errors import DuplicateJobError, JobFinishedError, RuntimeClosedError
from flowforge.job_state import JobState
from flowforge.job_status import JobStatus
from flowforge.job_table import JobTable
from flowforge.stores.codec import Codec


def job(job_id: str, *, position: int = 0, status: JobStatus = JobStatus.PENDING) -> JobState:
    state = JobState(JobData(job_id, "flow", position=position), JobView(job_id, 10, 10), Codec())
    state.view.status = status
    return state


def run() -> Any:
    """Stands for a run, of which a table knows only which one it is."""
    return object()


def finish(table: JobTable, state: JobState) -> None:
    its_run = run()
    table.reserve(state)
    table.note_start(state, its_run)
    state.view.status = JobStatus.COMPLETED
    table.note_rest(state, its_run)


def test_an_id_is_taken_from_the_moment_it_is_reserved() -> None:
    table = JobTable(10)
    table.reserve(job("one"))

    with pytest.raises(DuplicateJobError, match="already has a job 'one'"):
        table.reserve(job("one"))


def test_an_id_is_taken_until_it_is_released() -> None:
    table = JobTable(10)
    first, second = job("one"), job("one")
    table.reserve(first)
    table.release(first)
    table.reserve(second)

    assert table.all() == [second]


def test_what_was_known_before_is_known_again_after_a_release() -> None:
    table = JobTable(10)
    saved, loaded = job("one", position=7), job("one", position=7)
    table.add_resting(saved)
    table.reserve(loaded)

    table.release(loaded)

    assert table.get("one") is saved


def test_an_id_is_taken_until_its_job_is_let_go() -> None:
    table = JobTable(1)
    finish(table, job("one"))
    with pytest.raises(DuplicateJobError, match="'one'"):
        table.reserve(job("one"))

    finish(table, job("two"))
    table.reserve(job("one"))
    assert [state.job_id for state in table.all()] == ["two", "one"]


def test_a_job_that_is_being_started_cannot_be_started_again() -> None:
    table = JobTable(10)
    state = job("one")
    table.reserve(state)

    with pytest.raises(JobFinishedError, match=r"^The job 'one' is running, so it cannot be resumed\. A job that runs"):
        table.reserve(state)


def test_a_loaded_job_takes_the_place_of_the_one_that_was_saved() -> None:
    table = JobTable(10)
    finish(table, job("one"))
    loaded = job("one", position=7)
    table.reserve(loaded)

    assert table.get("one") is loaded


def test_a_loaded_job_cannot_take_the_place_of_one_that_runs() -> None:
    table = JobTable(10)
    running = job("one")
    table.reserve(running)
    table.note_start(running, run())

    with pytest.raises(DuplicateJobError, match="'one'"):
        table.reserve(job("one", position=7))


def test_idle_is_set_exactly_while_no_job_runs() -> None:
    table = JobTable(10)
    states, runs = [job("one"), job("two")], [run(), run()]
    seen = [table.idle.is_set()]
    for state, its_run in zip(states, runs, strict=True):
        table.reserve(state)
        table.note_start(state, its_run)
        seen.append(table.idle.is_set())
    for state, its_run in zip(states, runs, strict=True):
        table.note_rest(state, its_run)
        seen.append(table.idle.is_set())

    assert seen == [True, False, False, False, True]


def test_the_end_of_an_earlier_run_says_nothing_about_a_later_one() -> None:
    table = JobTable(10)
    state, earlier, later = job("one"), run(), run()
    table.reserve(state)
    table.note_start(state, earlier)
    table.note_rest(state, earlier)
    table.reserve(state)
    table.note_start(state, later)
    table.note_rest(state, earlier)

    assert not table.idle.is_set()


def test_a_closed_table_takes_no_job() -> None:
    table = JobTable(10)
    reserved = job("one")
    table.reserve(reserved)
    table.close()

    with pytest.raises(
        RuntimeClosedError, match=r"^The runtime was shut down, so it cannot start the job 'two'\. Create"
    ):
        table.reserve(job("two"))
    with pytest.raises(RuntimeClosedError, match="cannot start the job 'one'"):
        table.note_start(reserved, run())
    assert table.idle.is_set()


def test_its_lock_is_reentrant_and_new_in_a_forked_child() -> None:
    table = JobTable(10)
    table.reserve(job("one"))
    with table._lock:  # noqa: SLF001 - as a thread of the parent holds it
        assert [state.job_id for state in table.all()] == ["one"]
        table.forget_lock()

    assert table.get("one") is not None


def test_a_finished_job_whose_resume_is_refused_still_counts_as_one() -> None:
    table = JobTable(1)
    first, second = job("one"), job("two")
    finish(table, first)
    table.reserve(first)
    table.release(first)

    finish(table, second)

    assert table.all() == [second]
