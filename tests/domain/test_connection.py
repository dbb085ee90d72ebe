"""Connections: their ends, and what they rename."""

import dataclasses
from typing import Any

import pytest

from flowforge.connection import Connection, read_ends
from flowforge.graph_errors import IllegalEndError, IllegalNameError, ParamMappingError


def mapped(**param_mapping: str) -> Connection:
    return Connection("a", "output", "b", "input", param_mapping)


def test_a_connection_reads_as_an_arrow() -> None:
    connection = mapped()

    assert str(connection) == "a.output -> b.input"
    assert (connection.source, connection.target) == ("a.output", "b.input")
    assert connection.key == ("a", "output", "b", "input")


def test_connections_with_the_same_ends_and_mapping_are_equal() -> None:
    assert mapped(x="y") == mapped(x="y")
    assert hash(mapped(x="y")) == hash(mapped(x="y"))
    assert mapped(x="y") != mapped()


def test_a_connection_cannot_be_changed() -> None:
    names = {"x": "y"}
    connection = Connection("a", "output", "b", "input", names)
    names["x"] = "z"

    assert connection.param_mapping == {"x": "y"}
    with pytest.raises(dataclasses.FrozenInstanceError):
        connection.source_event = "other"  # type: ignore[misc]  # wrong on purpose


def test_a_payload_passes_unmapped_as_a_fresh_dict() -> None:
    payload = {"x": 1}
    received = mapped().apply(payload)

    assert received == payload
    assert received is not payload


def test_mapped_keys_are_renamed_and_others_pass() -> None:
    assert mapped(x="y").apply({"x": 1, "z": 2}) == {"y": 1, "z": 2}


def test_an_unmapped_key_gives_way_to_a_mapped_one() -> None:
    assert mapped(x="y").apply({"x": 1, "y": 2}) == {"y": 1}
    assert mapped(x="y").apply({"y": 2, "x": 1}) == {"y": 1}


def test_a_name_is_not_taken_while_its_source_is_absent() -> None:
    assert mapped(x="y").apply({"y": 2}) == {"y": 2}


def test_two_keys_can_change_places() -> None:
    assert mapped(x="y", y="x").apply({"x": 1, "y": 2}) == {"y": 1, "x": 2}


def test_renaming_leaves_the_payload_alone() -> None:
    payload = {"x": 1}
    mapped(x="y").apply(payload)

    assert payload == {"x": 1}


@pytest.mark.parametrize(
    ("mapping", "reason"),
    [
        ({"x": "z", "y": "z"}, "gives two keys the same name; give each key a name of its own"),
        ({"x": 1}, "holds something else than names; map one string to another"),
        ({1: "x"}, "holds something else than names"),
        ({"x": ""}, "holds something else than names"),
        ("x", "is no mapping; give a dict"),
    ],
)
def test_an_unclear_mapping_is_refused(mapping: Any, reason: str) -> None:
    with pytest.raises(ParamMappingError, match=f"The param_mapping .* {reason}"):
        Connection("a", "output", "b", "input", mapping)


def test_a_connection_refuses_names_with_dots() -> None:
    with pytest.raises(IllegalNameError, match=r"routine id 'a\.x' holds a dot"):
        Connection("a.x", "output", "b", "input")


def test_ends_are_read_from_four_names_or_two_texts() -> None:
    ends = ("a", "output", "b", "input")

    assert read_ends(*ends) == ends
    assert read_ends("a.output", "b.input") == ends


@pytest.mark.parametrize(
    "ends",
    [("a", "output"), ("a.output", "b"), ("a.b.c", "d.e"), ("a", "output", "b"), (3, "b.input")],
)
def test_ends_that_say_too_little_or_too_much_are_refused(ends: Any) -> None:
    with pytest.raises(IllegalEndError, match=r"do not name an event and a slot\. Write connect\('a', 'output'"):
        read_ends(*ends)
