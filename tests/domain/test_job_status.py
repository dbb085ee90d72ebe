import pytest

from flowforge.job_status import ALLOWED_MOVES, FINISHED, RESTING, JobStatus, may_move


def test_a_status_is_equal_to_its_text_and_prints_as_it() -> None:
    status = JobStatus("completed")

    assert status == "completed"
    assert f"{status}" == "completed"


def test_the_table_names_every_status() -> None:
    assert list(ALLOWED_MOVES) == list(JobStatus)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("pending", "running paused failed cancelled"),
        ("running", "paused completed failed cancelled"),
        ("paused", "running failed cancelled"),
        ("completed", "running"),
        ("failed", "running"),
        ("cancelled", ""),
    ],
)
def test_a_job_moves_as_the_table_says(old: str, new: str) -> None:
    allowed = {status for status in JobStatus if may_move(JobStatus(old), status)}

    assert allowed == {JobStatus(status) for status in new.split()}


def test_no_status_follows_itself() -> None:
    assert not any(may_move(status, status) for status in JobStatus)


def test_waiting_ends_where_nothing_runs() -> None:
    assert set(JobStatus) - RESTING == {"pending", "running"}


def test_a_paused_job_rests_and_is_not_finished() -> None:
    resting_for_now = RESTING - FINISHED

    assert resting_for_now == {"paused"}
