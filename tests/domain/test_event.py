"""Events: their names and what they promise."""

from typing import Any

import pytest

from flowforge.event import Event
from flowforge.graph_errors import IllegalNameError
from flowforge.option_errors import OptionError


def test_an_event_promises_nothing_unless_told() -> None:
    assert Event("output").output_params == ()


def test_an_event_keeps_the_names_it_promises_in_order() -> None:
    assert Event("output", ["result", "error"]).output_params == ("result", "error")


def test_an_event_shows_where_it_belongs() -> None:
    event = Event("output")
    assert repr(event) == "<Event output>"

    event.routine_id = "worker"
    assert repr(event) == "<Event worker.output>"


@pytest.mark.parametrize("params", ["result", 3, ["a", "a"], ["a", ""], [1]])
def test_output_params_are_a_list_of_different_names(params: Any) -> None:
    with pytest.raises(OptionError, match=r"event 'output' cannot take output_params=.*Give a list of different"):
        Event("output", params)


def test_an_event_name_holds_no_dot() -> None:
    with pytest.raises(IllegalNameError, match=r"The event name 'a\.b' holds a dot"):
        Event("a.b")
