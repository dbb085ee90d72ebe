"""Flows kept as data and found again."""

import contextlib
import copy
import json
from collections.abc import Callable, Iterator, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flowforge.error_handler import ErrorHandler, ErrorStrategy
from flowforge.flow_graph import FlowGraph
from flowforge.graph_errors import FlowFileError, ForbiddenClassError, UnkeepableFlowError
from flowforge.option_errors import OptionError
from flowforge.routine import Routine
from flowforge.stores.codec_errors import UnencodableValueError

HERE = (__name__,)


class OutOfPaperError(Exception): ...


class Printer(Routine):
    def __init__(self, name: str = "laser", *, pause: timedelta | None = None) -> None:
        super().__init__()
        self.printer_name, self.pause = name, pause
        self.define_slot("input", handler=lambda page: None)
        self.define_event("printed", ["page"])


class NotARoutine: ...


def office() -> FlowGraph:
    flow = FlowGraph("office", ErrorHandler(ErrorStrategy.SKIP), timeout=60.0, isolate=True)
    first, second = Printer("ink", pause=timedelta(seconds=2)), Printer()
    first.set_config(tray=3, margins=(1, 2))
    first.set_concurrency(4, ordered=False)
    first.set_timeout(5)
    first.set_error_handler(ErrorHandler("retry", max_retries=7, retryable_exceptions=(OutOfPaperError, OSError)))
    flow.add_routine(first, "first")
    flow.add_routine(second, "second")
    flow.connect("first.printed", "second.input", param_mapping={"page": "sheet"})
    return flow


def read(data: Mapping[str, Any], allowed_modules: tuple[str, ...] = HERE) -> FlowGraph:
    return FlowGraph.deserialize(data, allowed_modules=allowed_modules)


def written() -> dict[str, Any]:
    data: dict[str, Any] = json.loads(json.dumps(office().serialize()))
    return data


def written_with(**changes: object) -> dict[str, Any]:
    return {**written(), **changes}


def written_with_routine(**changes: object) -> dict[str, Any]:
    return written_with(routines=[{**written()["routines"][0], **changes}], connections=[])


def test_a_flow_comes_back_with_its_options_and_connections() -> None:
    flow = read(written())

    assert (flow.flow_id, flow.timeout, flow.isolate) == ("office", 60.0, True)
    assert flow.error_handler == ErrorHandler(ErrorStrategy.SKIP)
    assert list(flow.routines) == ["first", "second"]
    assert flow.connections == office().connections


def test_a_routine_comes_back_with_arguments_and_settings() -> None:
    first = read(written()).routines["first"]

    assert isinstance(first, Printer)
    assert (first.printer_name, first.pause) == ("ink", timedelta(seconds=2))
    assert first.config == {"tray": 3, "margins": (1, 2)}
    assert (first.concurrency, first.is_ordered, first.step_timeout) == (4, False, 5)
    assert first.error_handler == office().routines["first"].error_handler


def test_what_was_read_is_written_the_same() -> None:
    assert read(written()).serialize() == office().serialize()


def test_a_flow_comes_back_with_its_version() -> None:
    flow = office()
    flow.version = 3

    assert read(flow.serialize()).version == 3


def test_a_file_that_names_no_version_holds_version_one() -> None:
    data = written()
    del data["flow_version"]

    assert read(data).version == 1


def test_a_version_that_is_none_is_refused() -> None:
    with pytest.raises(FlowFileError, match=r"cannot take version='2'\. Give a whole number, 1 or more"):
        read(written_with(flow_version="2"))


def test_a_subclass_reads_flows_of_its_own_class() -> None:
    class MyFlow(FlowGraph): ...

    assert type(MyFlow.deserialize(written(), allowed_modules=HERE)) is MyFlow


def test_a_flow_is_saved_to_a_file_and_loaded(tmp_path: Path) -> None:
    office().save(tmp_path / "office.json")
    flow = FlowGraph.load(tmp_path / "office.json", allowed_modules=HERE)

    assert flow.serialize() == office().serialize()
    assert list(tmp_path.iterdir()) == [tmp_path / "office.json"]


@pytest.mark.parametrize("content", ["", "{", '{"format": "flowf', "\ud800", "[" * 100_000])
def test_a_file_that_is_cut_short_is_named(tmp_path: Path, content: str) -> None:
    path = tmp_path / "office.json"
    path.write_text(content, errors="surrogatepass")

    with pytest.raises(FlowFileError, match=r"in the file '.*office\.json' cannot be read: it is cut short or not JS"):
        FlowGraph.load(path, allowed_modules=HERE)


@pytest.mark.parametrize("data", [[], None, {}, {"format": "something else"}])
def test_data_that_holds_no_flow_is_refused(data: Any) -> None:
    with pytest.raises(FlowFileError, match=r"the data given cannot be read: it does not hold a flow\. Write it agai"):
        read(data)


@pytest.mark.parametrize("version", [2, "1", None])
def test_an_unknown_version_is_refused(version: object) -> None:
    with pytest.raises(FlowFileError, match=rf"version {version!r} is unknown\. This release reads version 1"):
        read(written_with(version=version))


def test_a_class_outside_of_the_allowed_modules_is_refused() -> None:
    message = rf"class '{__name__}:Printer' is in none of the allowed modules .*add '{__name__}' to allowed_modules"
    with pytest.raises(ForbiddenClassError, match=message):
        read(written_with(error_handler=None), ("json", __name__ + "x"))


def test_nothing_is_imported_before_it_is_allowed() -> None:
    with pytest.raises(ForbiddenClassError, match=r"add 'no\.such\.module' to allowed_modules"):
        read(written_with_routine(**{"class": "no.such.module:Printer"}))


def test_an_exception_class_must_be_allowed_as_well() -> None:
    handler = {"strategy": "retry", "retryable_exceptions": ["os:error"]}

    with pytest.raises(ForbiddenClassError, match="'os:error' is in none of the allowed modules"):
        read(written_with(error_handler=handler))


def test_a_package_allows_the_modules_below_it() -> None:
    package, _, _ = __name__.rpartition(".")

    assert read(written(), (package,)).flow_id == "office"


def test_the_main_module_is_read_when_it_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    routine = type("Main", (Printer,), {"__module__": "__main__"})
    monkeypatch.setattr("__main__.Main", routine, raising=False)
    flow = FlowGraph()
    flow.add_routine(routine(), "main")

    assert type(read(flow.serialize(), ("__main__",)).routines["main"]) is routine
    with pytest.raises(ForbiddenClassError, match="add '__main__' to allowed_modules"):
        read(flow.serialize())


def test_allowed_modules_are_given_as_a_tuple() -> None:
    with pytest.raises(OptionError, match=r"cannot take allowed_modules='app'\. Give a tuple .*: \('app',\)"):
        FlowGraph.deserialize(written(), allowed_modules="app")


@pytest.mark.parametrize(
    "name", ["NotARoutine", "Missing", "Printer.Inner", "OutOfPaperError", "office", "", "Routine"]
)
def test_only_a_routine_class_of_that_module_is_used(name: str) -> None:
    with pytest.raises(FlowFileError, match=rf"'{__name__}:{name}' is no class derived from Routine\. Check the file"):
        read(written_with_routine(**{"class": f"{__name__}:{name}"}))


def test_a_module_that_cannot_be_imported_is_named() -> None:
    with pytest.raises(FlowFileError, match=r"the module of 'no_such_module:A' cannot be imported \(No module named"):
        read(written_with_routine(**{"class": "no_such_module:A"}), ("no_such_module",))


def test_arguments_that_no_longer_fit_are_named() -> None:
    with pytest.raises(FlowFileError, match=r"arguments of 'first' do not fit '.*:Printer' \(too many positional"):
        read(written_with_routine(args=[1, 2, 3]))


def test_a_connection_that_no_longer_fits_is_named() -> None:
    lost = {"source": "first.printed", "target": "second.tray", "param_mapping": {}}

    with pytest.raises(FlowFileError, match=r"it does not fit together \(The routine 'second' has no slot 'tray'"):
        read(written_with(connections=[lost]))


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (lambda: written_with(routines={}), "the 'routines' of the flow .* is missing or wrong"),
        (lambda: written_with(connections=[3]), "the 'source' of the connection 3 is missing or wrong"),
        (lambda: written_with_routine(id=None), "the 'id' of the routine .* is missing or wrong"),
        (lambda: written_with_routine(kwargs={"$": "tuple", "v": []}), "the 'kwargs' of the routine"),
        (
            lambda: written_with(error_handler={}),
            "the 'retryable_exceptions' of the error handler {} is missing",
        ),
        (lambda: written_with_routine(config={"$": "?"}), "it does not fit together .*cannot be decoded"),
    ],
)
def test_a_field_that_is_missing_or_wrong_is_named(data: Callable[[], dict[str, Any]], message: str) -> None:
    with pytest.raises(FlowFileError, match=message):
        read(data())


def test_a_local_class_cannot_be_kept() -> None:
    class Local(Routine): ...

    flow = FlowGraph()
    flow.add_routine(Local(), "local")

    with pytest.raises(
        UnkeepableFlowError, match=r"'local' cannot be kept: no import leads to '.*<locals>\.Local'\. De"
    ):
        flow.serialize()


def test_a_local_exception_class_cannot_be_kept() -> None:
    class LocalError(Exception): ...

    flow = FlowGraph("demo", ErrorHandler("retry", retryable_exceptions=LocalError))

    with pytest.raises(UnkeepableFlowError, match=r"The flow 'demo' cannot be kept: no import leads to .*LocalError'"):
        flow.serialize()


@pytest.mark.parametrize(
    ("change", "what"),
    [
        (lambda routine: routine.define_slot("later"), "slot 'later'"),
        (lambda routine: routine.define_event("later"), "event 'later'"),
        (lambda routine: routine.set_logic(lambda data, message, job_state: None), "logic"),
    ],
)
def test_what_came_after_the_construction_cannot_be_kept(change: Callable[[Routine], object], what: str) -> None:
    flow = office()
    change(flow.routines["first"])

    with pytest.raises(UnkeepableFlowError, match=rf"its {what} was set after its construction\. Move that into the"):
        flow.serialize()


def test_a_value_that_cannot_be_kept_is_named_by_its_path(tmp_path: Path) -> None:
    flow = office()
    flow.save(tmp_path / "office.json")
    before = (tmp_path / "office.json").read_bytes()
    flow.routines["first"].set_config(client={"socket": object()})

    with pytest.raises(UnencodableValueError, match=r"first\.config\['client'\]\['socket'\]"):
        flow.save(tmp_path / "office.json")
    assert (tmp_path / "office.json").read_bytes() == before


def places(tree: object, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    yield path
    children = tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list) else ()
    for key, child in children:
        yield from places(child, (*path, key))


PLACES = [path for path in places(office().serialize()) if path]
JUNK = st.one_of(
    st.none(), st.booleans(), st.integers(-2, 2), st.text(max_size=3), st.just([]), st.just({}), st.just([{}])
)


@given(st.sampled_from(PLACES), JUNK)
def test_damaged_data_never_raises_anything_but_our_errors(path: tuple[Any, ...], junk: object) -> None:
    data = copy.deepcopy(written())
    parent: Any = data
    for key in path[:-1]:
        parent = parent[key]
    parent[path[-1]] = junk

    with contextlib.suppress(FlowFileError):
        read(data)
