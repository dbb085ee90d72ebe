"""Slots: their options and how they merge payloads."""

from typing import Any

import pytest

from flowforge.graph_errors import (
    HandlerNotCallableError,
    IllegalNameError,
    MergeResultError,
    UnknownMergeStrategyError,
)
from flowforge.option_errors import OptionError
from flowforge.slot import Slot


def test_a_slot_has_the_defaults_that_its_users_know() -> None:
    slot = Slot("input")

    assert (slot.handler, slot.shape, slot.merge_strategy) == (None, None, "override")
    assert (slot.max_queue_length, slot.watermark, slot.routine_id) == (1000, 0.8, None)


def test_a_slot_reads_its_handler_once() -> None:
    slot = Slot("input", handler=lambda data: data)

    assert slot.shape is not None
    assert slot.shape.parameters == ("data",)


def test_a_slot_shows_where_it_belongs() -> None:
    slot = Slot("input")
    assert repr(slot) == "<Slot input>"

    slot.routine_id = "worker"
    assert repr(slot) == "<Slot worker.input>"


def test_a_slot_for_another_handler_keeps_everything_else() -> None:
    slot = Slot("input", lambda data: data, "append", 5, 0.5)
    other = slot.with_handler(handler := lambda data: data)

    assert other.handler is handler
    assert slot.handler is not handler
    assert (other.name, other.shape, other.merge_strategy) == ("input", slot.shape, "append")
    assert (other.max_queue_length, other.watermark) == (5, 0.5)


def test_override_takes_each_payload_as_it_is() -> None:
    assert Slot("input").merge({"a": 1, "b": 2}, {"a": 3}) == {"a": 3}


def test_append_gathers_values_in_lists_per_key() -> None:
    slot = Slot("input", merge_strategy="append")
    first = slot.merge(None, {"a": 1})

    assert first == {"a": [1]}
    assert slot.merge(first, {"a": 2, "b": 3}) == {"a": [1, 2], "b": [3]}


def test_append_changes_neither_of_its_arguments() -> None:
    old: dict[str, Any] = {"a": [1]}
    new = {"a": 2}

    Slot("input", merge_strategy="append").merge(old, new)

    assert (old, new) == ({"a": [1]}, {"a": 2})


def test_a_function_merges_as_it_likes() -> None:
    slot = Slot("input", merge_strategy=lambda old, new: {"sum": (old or {}).get("sum", 0) + new["n"]})

    assert slot.merge(slot.merge(None, {"n": 1}), {"n": 2}) == {"sum": 3}


def test_a_merge_function_must_return_a_dict() -> None:
    slot = Slot("input", merge_strategy=lambda old, new: None)  # type: ignore[arg-type, return-value]  # on purpose

    with pytest.raises(MergeResultError, match=r"slot 'input' returned None\. Return a dict"):
        slot.merge(None, {"a": 1})


@pytest.mark.parametrize("strategy", ["overide", "", None, 3, ["append"]])
def test_an_unknown_merge_strategy_is_refused(strategy: Any) -> None:
    with pytest.raises(UnknownMergeStrategyError, match=r"does not exist\. Give 'override', 'append' or a func"):
        Slot("input", merge_strategy=strategy)


@pytest.mark.parametrize("length", [0, -1, 1.5, True, "many", None])
def test_a_queue_holds_a_positive_number_of_messages(length: Any) -> None:
    with pytest.raises(OptionError, match=r"slot 'input' cannot take max_queue_length=.*Give a whole number, 1"):
        Slot("input", max_queue_length=length)


@pytest.mark.parametrize("watermark", [0, -0.1, 1.1, True, "high", None, float("nan")])
def test_a_watermark_is_a_share_of_the_queue(watermark: Any) -> None:
    with pytest.raises(OptionError, match=r"slot 'input' cannot take watermark=.*Give a number above 0, at most"):
        Slot("input", watermark=watermark)


def test_a_watermark_may_be_the_whole_queue() -> None:
    assert Slot("input", watermark=1).watermark == 1


def test_a_slot_refuses_a_handler_that_cannot_be_called() -> None:
    with pytest.raises(HandlerNotCallableError, match="42 cannot be called"):
        Slot("input", handler=42)  # type: ignore[arg-type]  # wrong on purpose


@pytest.mark.parametrize("name", ["", None, 3])
def test_a_slot_name_is_a_text(name: Any) -> None:
    with pytest.raises(IllegalNameError, match=r"The slot name .* is not a non-empty string\. Give a text"):
        Slot(name)


def test_a_slot_name_holds_no_dot() -> None:
    with pytest.raises(IllegalNameError, match=r"The slot name 'a\.b' holds a dot.* Use '_' or '-' instead\."):
        Slot("a.b")
