"""The version of a flow and what is compared of it."""

from collections.abc import Callable
from typing import Any

import pytest

from flowforge.flow import Flow
from flowforge.flow_fingerprint import changes_between, fingerprint_of
from flowforge.option_errors import OptionError
from tests.handlers import pass_on

Graph = Callable[..., Flow]


@pytest.fixture
def flow(graph: Graph) -> Flow:
    return graph({"a": pass_on, "b": pass_on}, "a.out -> b.input", version=2)


def ignore(job: object) -> None:
    pass


def test_a_flow_has_version_one_unless_told_otherwise(graph: Graph) -> None:
    assert graph({"a": pass_on}).version == 1
    assert graph({"a": pass_on}, version=7).version == 7


@pytest.mark.parametrize("version", [0, -1, 1.5, "2", True, None])
def test_a_version_is_a_whole_number_from_one_up(version: Any) -> None:
    text = rf"The flow 'orders' cannot take version={version!r}\. Give a whole number, 1 or more\."
    with pytest.raises(OptionError, match=text):
        Flow("orders", version=version)


def test_a_fingerprint_says_what_jobs_at_rest_depend_on(flow: Flow) -> None:
    flow.routines["b"].set_concurrency(3)

    found = fingerprint_of(flow)

    assert found.version == 2
    assert [(made.id, made.slots, made.events, made.concurrency) for made in found.routines] == [
        ("a", ("input",), ("out",), 1),
        ("b", ("input",), ("out",), 3),
    ]
    assert found.connections == (("a.out", "b.input", ()),)


def test_changes_are_told_as_what_is_gone_and_what_is_new(flow: Flow, graph: Graph) -> None:
    other = graph({"a": pass_on, "c": pass_on})
    other.connect("a", "out", "c", "input", {"n": "m"})
    other.routines["a"].set_concurrency(2)

    assert changes_between(fingerprint_of(flow), fingerprint_of(other)) == (
        "version 2 is gone",
        "the routine 'b' is gone",
        "the slot 'b.input' is gone",
        "the event 'b.out' is gone",
        "the connection 'a.out -> b.input' is gone",
        "version 1 is new",
        "the concurrency 2 of 'a' is new",
        "the routine 'c' is new",
        "the slot 'c.input' is new",
        "the event 'c.out' is new",
        "the connection 'a.out -> c.input' is new",
        "the mapping {'n': 'm'} of 'a.out -> c.input' is new",
    )


@pytest.mark.parametrize(
    ("version", "hook", "problem"),
    [
        (0, ignore, r"from_version=0\. Give a whole number, 1 or more\."),
        (2, ignore, r"from_version=2\. Give one below its own, 2\."),
        (1, None, r"hook=None\. Give a function of a JobMigration\."),
    ],
)
def test_a_hook_that_could_never_be_called_is_refused(flow: Flow, version: int, hook: Any, problem: str) -> None:
    with pytest.raises(OptionError, match=f"The flow 'flow' cannot take {problem}"):
        flow.migrate(version, hook)


def test_each_version_has_one_hook(flow: Flow) -> None:
    flow.migrate(1, ignore)

    with pytest.raises(OptionError, match=r"from_version=1\. It has a hook for that one: do both in it\."):
        flow.migrate(1, ignore)
    assert flow.migrations == {1: ignore}
