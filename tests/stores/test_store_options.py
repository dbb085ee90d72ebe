"""What a store is made with: wrong values are refused at once, by name and with the remedy, and no file is made."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from flowforge.option_errors import OptionError
from flowforge.runtime import Runtime
from flowforge.stores.byte_layers import Compression
from flowforge.stores.codec import Codec
from flowforge.stores.pickle_codec import PickleCodec
from flowforge.stores.sqlite import SqliteStore
from flowforge.stores.store_errors import StoreUrlError

COUNTS = {"window": 1, "window_bytes": 1, "large_bytes": 0, "fold_records": 0, "fold_bytes": 0, "log_bytes": 0}


@pytest.mark.parametrize("value", [-1, "x", 1.5, True, None])
@pytest.mark.parametrize("option", COUNTS)
def test_a_size_that_is_no_count_is_refused(tmp_path: Path, option: str, value: Any) -> None:
    expected = f"SqliteStore cannot take {option}={value!r}. Give a whole number, {COUNTS[option]} or more."

    with pytest.raises(OptionError, match=f"^{re.escape(expected)}$"):
        SqliteStore(tmp_path / "jobs.db", Codec(), **{option: value})

    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("option", ["window", "window_bytes"])
def test_a_window_that_lets_nothing_through_is_refused(tmp_path: Path, option: str) -> None:
    with pytest.raises(OptionError, match=rf"cannot take {option}=0\. Give a whole number, 1 or more\."):
        SqliteStore(tmp_path / "jobs.db", Codec(), **{option: 0})  # type: ignore[arg-type]  # mypy cannot see which


WRONG: dict[str, tuple[Callable[[Path], object], str]] = {
    "interval": (
        lambda path: SqliteStore(path, Codec(), retry_interval=-1),
        "SqliteStore cannot take retry_interval=-1. Give a finite number, 0 or more.",
    ),
    "codec": (
        lambda path: SqliteStore(path, None),  # type: ignore[arg-type]  # wrong on purpose, as below
        "SqliteStore cannot take codec=None. Give a codec, such as Codec().",
    ),
    "class of codecs": (
        lambda path: Runtime(store=f"sqlite:///{path}", codec=Codec),  # type: ignore[arg-type]
        "Runtime cannot take codec=<class 'flowforge.stores.codec.Codec'>. Give a codec, such as Codec().",
    ),
    "name of a codec": (
        lambda path: Runtime(codec="json"),  # type: ignore[arg-type]
        "Runtime cannot take codec='json'. Give a codec, such as Codec().",
    ),
    "one layer": (
        lambda path: SqliteStore(path, Codec(), layers=5),  # type: ignore[arg-type]
        "SqliteStore cannot take layers=5. Give a list of them, as in layers=[Compression()].",
    ),
    "class of layers": (
        lambda path: SqliteStore(path, Codec(), layers=[Compression]),  # type: ignore[list-item]
        "SqliteStore cannot take layers=<class 'flowforge.stores.byte_layers.Compression'>. Give layers, such as",
    ),
    "name of a layer": (
        lambda path: SqliteStore(path, Codec(), layers=["compression"]),  # type: ignore[list-item]
        "SqliteStore cannot take layers='compression'. Give layers, such as Compression().",
    ),
    "no path": (
        lambda path: SqliteStore(None, Codec()),  # type: ignore[arg-type]
        "SqliteStore cannot take path=None. Give the path of a file, as a text or a Path.",
    ),
    "path with a zero": (
        lambda path: Runtime(store=f"sqlite:///{path}\0"),
        "Give the path of a file, as a text or a Path.",
    ),
    "path that is no text": (
        lambda path: SqliteStore("\ud800", Codec()),
        "SqliteStore cannot take path='\\ud800'. Give the path of a file, as a text or a Path.",
    ),
    "level": (
        lambda path: Compression(99),
        "Compression cannot take level=99. Give a whole number from 0 to 9.",
    ),
    "smallest": (
        lambda path: Compression(smallest=-1),
        "Compression cannot take smallest=-1. Give a whole number, 0 or more.",
    ),
    "extras": (
        lambda path: Codec(extras=5),  # type: ignore[arg-type]
        "Codec cannot take extras=5. Give a list of names among ['numpy', 'pandas', 'pyarrow'].",
    ),
}


@pytest.mark.parametrize("slip", WRONG)
def test_a_wrong_value_is_named_with_the_remedy(tmp_path: Path, slip: str) -> None:
    make, message = WRONG[slip]

    with pytest.raises(OptionError, match=re.escape(message)):
        make(tmp_path / "jobs.db")

    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("url", ["jobs.db", "sqlite:///", "sqlite:///:memory:", "postgresql://host/jobs", 5])
def test_what_names_no_store_is_refused_with_an_example(url: Any) -> None:
    expected = f"{url!r} does not name a store. Give sqlite:///relative/path.db or sqlite:////absolute/path.db."

    with pytest.raises(StoreUrlError, match=f"^{re.escape(expected)}$"):
        Runtime(store=url)


def test_a_key_that_is_a_text_is_refused_and_not_shown() -> None:
    with pytest.raises(OptionError, match=r"cannot take key=<class 'str'>\. Give bytes, such as os\.urandom") as caught:
        PickleCodec(key="a secret of mine")  # type: ignore[arg-type]  # wrong on purpose

    assert "secret" not in str(caught.value)
