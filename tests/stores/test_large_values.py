"""Large values lie apart from records: each once a job, however often it is sent on, and as long as it is named."""

import sqlite3
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from flowforge.flow import Flow
from flowforge.routine import Routine
from flowforge.runtime import Runtime
from flowforge.stores.byte_layers import ByteLayer, Compression
from flowforge.stores.codec import Codec
from flowforge.stores.codec_errors import DecodeError, MissingPartError
from flowforge.stores.encryption import Encryption
from flowforge.stores.record_form import decode_record, digests_in, encode_record
from flowforge.stores.sqlite import SqliteStore
from flowforge.stores.store import History
from flowforge.stores.store_errors import StoreDamagedError
from flowforge.testing.store_contract import started, written
from tests.stores.disks import held

Chain = Callable[..., Flow]
LARGE = "large " * 20_000


def forward(self: Routine, text: str) -> None:
    self.increment_stat("seen")
    self.emit("out", text=text)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "jobs.db"


@pytest.fixture
def store(path: Path) -> Iterator[SqliteStore]:
    store = SqliteStore(path, Codec())
    yield store
    store.close()


def kept(path: Path) -> list[tuple[str, int]]:
    """The job and the length of each value that lies apart."""
    connection = sqlite3.connect(path)
    rows = connection.execute("SELECT job, length(data) FROM large ORDER BY job").fetchall()
    connection.close()
    return rows


def change(path: Path, statement: str) -> None:
    with sqlite3.connect(path) as connection:
        connection.execute(statement)
    connection.close()


def keep(store: SqliteStore, job: str, *values: object) -> None:
    store.append(job, started())
    numbers = [store.append(job, written(position, value)) for position, value in enumerate(values, start=2)]
    store.wait_until_safe(numbers[-1])


def test_a_payload_that_is_forwarded_is_on_disk_once(chain: Chain, path: Path) -> None:
    flow = chain(forward, forward, forward)
    store = SqliteStore(path, Codec())
    with Runtime(2, store=store, flows=[flow]) as runtime:
        job = runtime.exec(flow, entry_params={"text": LARGE}, job_id="job")
        assert job.wait(30)
    store.close()

    assert [job for job, _ in kept(path)] == ["job"]
    assert path.stat().st_size < 2 * len(LARGE)
    with Runtime(2, store=f"sqlite:///{path}", flows=[flow]) as runtime:
        again = runtime.get_job("job")
        assert again is not None
        assert again.outputs == {"c.out": [{"text": LARGE}]}


def test_a_job_in_the_middle_goes_on_with_its_large_values(chain: Chain, path: Path) -> None:
    flow = chain(forward)
    with Runtime(2, store=f"sqlite:///{path}", flows=[flow]) as runtime:
        job = runtime.exec(flow, job_id="job", keep_alive=True)
        runtime.post(job, "a", "input", {"text": LARGE})

    with Runtime(2, store=f"sqlite:///{path}", flows=[flow]) as runtime:
        again = runtime.exec(flow, job_id="job", keep_alive=True)
        again.close()
        assert again.wait(30)

    assert again.outputs == {"a.out": [{"text": LARGE}]}


def test_values_up_to_the_limit_stay_in_their_records(path: Path) -> None:
    store = SqliteStore(path, Codec(), large_bytes=100)
    keep(store, "job", "x" * 98, "y" * 99)

    assert kept(path) == [("job", 101)]
    assert store.records("job")[1:] == [written(2, "x" * 98), written(3, "y" * 99)]
    store.close()


def test_deleting_a_job_deletes_its_large_values(store: SqliteStore, path: Path) -> None:
    keep(store, "one", LARGE)
    keep(store, "two", LARGE)

    store.delete(["one"])

    assert [job for job, _ in kept(path)] == ["two"]
    assert store.records("two")[1] == written(2, LARGE)


def test_what_comes_for_a_deleted_job_leaves_nothing_behind(store: SqliteStore, path: Path) -> None:
    keep(store, "job", 1)

    with held(store):
        number = store.append("job", written(3, LARGE))
        store.delete(["job"])

    store.wait_until_safe(number)

    assert store.jobs() == []
    assert kept(path) == []


def test_a_base_lets_go_of_what_no_record_names(path: Path) -> None:
    store = SqliteStore(path, Codec(), fold_records=3)
    called = threading.Event()

    def fold(job: str, history: History) -> bytes:
        called.set()
        return b"base"

    store.fold_with(fold)
    keep(store, "job", LARGE, LARGE + "2", 1, 2)
    store.jobs()
    assert called.wait(30)
    store.close()
    store = SqliteStore(path, Codec())

    assert (store.history("job"), kept(path)) == (History(b"base", []), [])
    store.close()


def test_large_values_alone_make_a_job_long(path: Path) -> None:
    store = SqliteStore(path, Codec(), fold_bytes=2 * len(LARGE))
    called = threading.Event()

    def fold(job: str, history: History) -> bytes:
        called.set()
        return b"base"

    store.fold_with(fold)
    keep(store, "job", LARGE, LARGE + "2", LARGE + "3")
    store.jobs()

    assert called.wait(30)
    store.close()


def test_large_values_go_through_the_layers(path: Path) -> None:
    layers: list[ByteLayer] = [Compression(), Encryption(Encryption.new_key())]
    store = SqliteStore(path, Codec(), layers=layers)
    keep(store, "job", LARGE)

    assert store.records("job")[1] == written(2, LARGE)
    store.close()
    assert path.stat().st_size < len(LARGE)
    assert b"large large" not in path.read_bytes()


@pytest.mark.parametrize(
    ("statement", "problem"),
    [
        (
            "DELETE FROM large",
            r"a large value of the job 'job', the field 'shared' in a record 'SharedWritten' .*, is miss",
        ),
        ("UPDATE large SET data = substr(data, 2)", "a large value of the job 'job' is not what was written"),
        ("UPDATE large SET data = 'text'", "a large value of the job 'job' is not what was written"),
        ("UPDATE large SET digest = x'00'", "a large value of the job 'job', .* is missing"),
    ],
)
def test_a_missing_or_changed_value_is_damage(path: Path, statement: str, problem: str) -> None:
    store = SqliteStore(path, Codec())
    keep(store, "job", LARGE)
    keep(store, "other", 1)
    store.close()
    change(path, statement)

    store = SqliteStore(path, Codec())
    with pytest.raises(StoreDamagedError, match=problem):
        store.records("job")
    assert len(store.records("other")) == 2
    store.close()


def test_a_value_that_its_layer_cannot_read_is_damage(path: Path) -> None:
    store = SqliteStore(path, Codec(), layers=[Compression()])
    keep(store, "job", LARGE)
    store.close()
    change(path, "UPDATE large SET data = x'02'")

    store = SqliteStore(path, Codec(), layers=[Compression()])
    with pytest.raises(StoreDamagedError, match=r"a large value of the job 'job' cannot be read \(The layer 'compr"):
        store.records("job")
    store.close()


def test_a_record_names_what_was_put_apart() -> None:
    apart: dict[bytes, bytes] = {}

    data = encode_record(written(2, LARGE), Codec(), apart, 1000)

    assert digests_in(data) == set(apart)
    assert len(data) < 100
    assert decode_record(data, "job", Codec(), apart) == written(2, LARGE)
    with pytest.raises(
        MissingPartError, match=r"it was kept apart, and is missing\. Read it with the store that it is in"
    ):
        decode_record(data, "job", Codec())
    with pytest.raises(DecodeError, match="it is no record of a job"):
        digests_in(b"\xc1")
    assert digests_in(encode_record(written(2, LARGE), Codec())) == set()


def test_small_records_are_encoded_without_a_second_look(path: Path) -> None:
    encoded: list[Any] = []

    class Counting(Codec):
        def encode(self, value: Any, *, path: str = "payload") -> bytes:
            encoded.append(value)
            return super().encode(value, path=path)

    store = SqliteStore(path, Counting())
    encoded.clear()
    store.append("job", started())
    store.append("job", written(2, "small"))

    assert encoded == ["small"]
    store.close()
