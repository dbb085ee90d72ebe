"""A store whose values are pickled and signed: it serves whoever has the key, and unpickles for nobody else."""

import hashlib
import json
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from flowforge._engine.bases import Bases
from flowforge.flow import Flow
from flowforge.graph_errors import FlowFileError
from flowforge.job_errors import JobStateFileError
from flowforge.job_state import JobState
from flowforge.job_state_file import restore, tree_of
from flowforge.routine import Routine
from flowforge.runtime import Runtime
from flowforge.stores.codec import Codec
from flowforge.stores.codec_errors import DecodeError, UnencodableValueError
from flowforge.stores.json_form import from_json, to_json
from flowforge.stores.pickle_codec import PickleCodec
from flowforge.stores.record_form import decode_record, encode_record
from flowforge.stores.sqlite import SqliteStore
from flowforge.stores.store import History
from flowforge.stores.store_errors import StoreCodecError, StoreDamagedError
from flowforge.testing.store_contract import written

Chain = Callable[..., Flow]
KEY = b"0123456789abcdef"
LOADED: list[str] = []


class Parcel:
    """Nothing that a Codec knows; says when somebody unpickles it."""

    def __init__(self, weight: int) -> None:
        self.weight = weight

    def __setstate__(self, state: dict[str, Any]) -> None:
        LOADED.append("a parcel")
        self.__dict__.update(state)


def weigh(self: Routine, parcel: Any) -> None:
    self.state["last"] = parcel
    self.state["total"] = self.state.get("total", 0) + parcel.weight
    self.emit("out", parcel=Parcel(parcel.weight + 1))


def fed(flow: Flow, store: SqliteStore | str, *weights: int, is_last: bool = True, **options: Any) -> JobState:
    """Parcels for the job of a store, which is paused in the middle unless they are its last."""
    with Runtime(2, store=store, flows=[flow], **options) as runtime:
        job = runtime.exec(flow, job_id="job", keep_alive=True)
        for weight in weights:
            runtime.post(job, "a", "input", {"parcel": Parcel(weight)})
        if is_last:
            job.close()
            assert job.wait(30)
    return job


class Weighing(Routine):
    pass


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "jobs.db"


@pytest.fixture
def url(chain: Chain, path: Path) -> str:
    """A store with a paused job that has parcels in its messages and its state."""
    url = f"sqlite:///{path}"
    fed(chain(weigh, weigh), url, 3, is_last=False, codec=PickleCodec(KEY))
    LOADED.clear()
    return url


def test_objects_of_any_class_survive_a_restart(chain: Chain, url: str) -> None:
    job = fed(chain(weigh, weigh), url, 5, codec=PickleCodec(KEY))

    state = job.get_routine_state("b")
    assert (state["total"], state["last"].weight, type(state["last"])) == (10, 6, Parcel)
    assert [payload["parcel"].weight for payload in job.outputs["b.out"]] == [5, 7]


def test_objects_of_any_class_survive_a_fold(chain: Chain, url: str, path: Path) -> None:
    fed(chain(weigh, weigh), url, 5, codec=PickleCodec(KEY))
    store = SqliteStore(path, PickleCodec(KEY))
    bases = Bases(store.codec, 100, 100, tree_of, restore)

    base = bases.fold("job", store.history("job"))
    store.close()

    state = bases.recover("job", History(base, []))[1].trees["b", 0]
    assert (state["state"]["total"], state["state"]["last"].weight) == (10, 6)


def test_a_store_opened_with_another_key_is_refused(url: str, path: Path) -> None:
    with pytest.raises(
        StoreCodecError, match=r"jobs\.db' cannot be read with this codec: its signature .*\. Use the key"
    ):
        Runtime(store=url, codec=PickleCodec(b"another key, as long"))
    with pytest.raises(StoreCodecError, match="its signature does not match"):
        SqliteStore(path, PickleCodec(b"another key, as long"))
    assert LOADED == []


def test_a_plain_codec_is_refused_and_unpickles_nothing(url: str, path: Path) -> None:
    for attempt in (lambda: Runtime(store=url), lambda: SqliteStore(path, Codec())):
        with pytest.raises(StoreCodecError, match=r"it was written by a PickleCodec\. Open it with a PickleCodec that"):
            attempt()
    assert LOADED == []


def test_a_store_of_a_plain_codec_is_refused_to_others(path: Path) -> None:
    SqliteStore(path, Codec()).close()

    with pytest.raises(StoreCodecError, match=r"it was not written by a PickleCodec\. Open it with a Codec\."):
        SqliteStore(path, PickleCodec(KEY))


def test_listing_unpickles_nothing(url: str, path: Path) -> None:
    store = SqliteStore(path, PickleCodec(KEY))

    assert [job.id for job in store.jobs()] == ["job"]
    assert store.prune(older_than=0) == 0
    assert LOADED == []
    store.close()


def test_a_tampered_value_is_named_by_its_place() -> None:
    codec = PickleCodec(KEY)
    data = encode_record(written(2, Parcel(1)), codec)
    at = data.index(b"weight")
    damaged = data[:at] + b"w" + data[at + 1 :].replace(b"eight", b"right", 1)

    with pytest.raises(
        DecodeError,
        match=r"The data of the field 'shared' in a record 'SharedWritten' of the job 'j' cannot be decoded: its sig"
        r"nature does not match\. Use the key that it was written with\.",
    ) as caught:
        decode_record(damaged, "j", codec)
    assert caught.value.place.startswith("the field 'shared'")
    assert LOADED == []


def test_a_runtime_takes_the_codec_of_its_store(chain: Chain, path: Path) -> None:
    store = SqliteStore(path, PickleCodec(KEY))
    with pytest.raises(StoreCodecError, match=r"it was opened with another one\. Give the runtime the store alone\."):
        Runtime(store=store, codec=Codec())

    assert fed(chain(weigh), store, 3).get_routine_state("a")["total"] == 3
    store.close()


def test_a_saved_job_with_pickles_needs_their_codec(chain: Chain, tmp_path: Path) -> None:
    flow, codec = chain(weigh), PickleCodec(KEY)
    with Runtime(2, codec=codec) as runtime:
        job = runtime.exec(flow, keep_alive=True)
        runtime.post(job, "a", "input", {"parcel": Parcel(3)})
        job.close()
        job.wait()
        job.save(tmp_path / "job.json")
    LOADED.clear()

    for other in (None, PickleCodec(b"another key, as long")):
        with pytest.raises(JobStateFileError, match=r"it was written by a PickleCodec|its signature does not match"):
            JobState.load(tmp_path / "job.json", codec=other)
    assert LOADED == []
    assert JobState.load(tmp_path / "job.json", codec=codec).get_routine_state("a")["last"].weight == 3


def test_only_what_the_registry_refuses_is_pickled_in_json() -> None:
    codec = PickleCodec(KEY)

    assert to_json({"a": (1,)}, codec) == to_json({"a": (1,)}, Codec())
    tree = json.loads(json.dumps(to_json({"a": Parcel(2)}, codec)))
    assert from_json(tree, codec)["a"].weight == 2
    with pytest.raises(DecodeError, match="it was written by a PickleCodec"):
        from_json(tree, Codec())
    with pytest.raises(UnencodableValueError, match="unregistered type"):
        to_json({"a": Parcel(2)}, Codec())


def test_a_flow_file_takes_no_pickles(chain: Chain) -> None:
    tree = chain(Weighing()).serialize()
    tree["routines"][0]["config"] = to_json({"a": Parcel(2)}, PickleCodec(KEY))
    LOADED.clear()

    with pytest.raises(FlowFileError, match="it was written by a PickleCodec"):
        Flow.deserialize(tree, allowed_modules=[__name__])
    assert LOADED == []


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        ("x'93'", "is not what was written"),
        ("NULL", "is missing"),
        ("x'" + (hashlib.blake2b(b"\x93", digest_size=8).digest() + b"\x93").hex() + "'", "cannot be read"),
    ],
)
def test_a_note_that_is_none_is_damage(path: Path, value: str, problem: str) -> None:
    SqliteStore(path, Codec()).close()
    with sqlite3.connect(path) as connection:
        connection.execute(f"UPDATE meta SET value = {value} WHERE key = 'form'")
    connection.close()

    with pytest.raises(StoreDamagedError, match=f"the note of its form {problem}"):
        SqliteStore(path, Codec())
