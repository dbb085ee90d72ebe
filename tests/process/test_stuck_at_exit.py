"""What never ends holds up the end of the process no longer than the runtime's options say, and is named."""

from typing import Any

import pytest

# The program waits a quarter of a second; the rest is for its start, on a machine that does other things too.
SOON = 4.0


@pytest.mark.parametrize("what", ["handler", "generator", "stubborn"])
def test_a_step_that_never_ends_is_named_and_left_behind(programs: Any, what: str) -> None:
    ended = programs.run("stuck", what)

    assert ended.code == 0
    assert ended.seconds < SOON
    assert len(ended.errors.splitlines()) == 1
    assert ended.errors.startswith("WARNING flowforge job-1 stuck ")


def test_a_coroutine_that_waits_is_cancelled_without_a_word(programs: Any) -> None:
    ended = programs.run("stuck", "coroutine")

    assert (ended.code, ended.errors) == (0, "")
    assert ended.seconds < SOON


@pytest.mark.parametrize("what", ["hook", "output"])
def test_a_hook_or_output_handler_that_never_ends_is_left_behind(programs: Any, what: str) -> None:
    ended = programs.run("stuck", what)

    assert ended.code == 0
    assert ended.seconds < SOON
    assert "Traceback" not in ended.errors
    assert "Exception ignored" not in ended.errors
