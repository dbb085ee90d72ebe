"""Layers between a store and its disk: what comes to the disk is smaller, secret, and still checked."""

import random
import sys
import threading
import zlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flowforge.records import Record
from flowforge.stores.byte_layers import ByteLayer, Compression, LayerError, Layers
from flowforge.stores.codec import Codec
from flowforge.stores.encryption import Encryption, EncryptionKeyError
from flowforge.stores.sqlite import SqliteStore
from flowforge.stores.store import History
from flowforge.stores.store_errors import StoreDamagedError, StoreKeyError, StoreLayersError
from flowforge.testing.store_contract import started, written

ONE, TWO, THREE = (Encryption.new_key() for _ in range(3))
HISTORY: list[Record] = [started(), *[written(position, f"secret {position % 3} " * 20) for position in range(2, 60)]]


class Backwards:
    """A layer of a user's."""

    name = "backwards"

    def wrap(self, data: bytes) -> bytes:
        return data[::-1]

    unwrap = wrap


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "jobs.db"


def opened(path: Path, *layers: ByteLayer) -> SqliteStore:
    return SqliteStore(path, Codec(), layers=layers)


def fill(store: SqliteStore, records: list[Record] = HISTORY) -> None:
    numbers = [store.append("job", record) for record in records]
    store.wait_until_safe(numbers[-1])


def filled(path: Path, *layers: ByteLayer) -> int:
    """The size of a store with a history, which is closed."""
    store = opened(path, *layers)
    fill(store)
    store.close()
    return path.stat().st_size


@given(st.lists(st.sampled_from([Compression(smallest=0), Encryption(ONE), Backwards()])), st.binary(max_size=2000))
def test_layers_give_back_what_they_got(layers: list[ByteLayer], data: bytes) -> None:
    through = Layers(layers)

    assert through.unwrap(through.wrap(data)) == data


def test_compression_makes_blocks_smaller_and_none_larger_by_more_than_a_byte() -> None:
    layer = Compression()

    assert len(layer.wrap(b"a" * 10_000)) < 100
    assert layer.wrap(b"a" * 100) == b"\0" + b"a" * 100
    noise = random.Random(0).randbytes(1_000)
    assert layer.wrap(noise) == b"\0" + noise


def test_a_block_is_compressed_at_the_level_that_was_asked_for() -> None:
    data = b"".join(b"%d" % number for number in range(1_000))

    assert [Compression(level).wrap(data)[1:] for level in (1, 9)] == [zlib.compress(data, level) for level in (1, 9)]


@pytest.mark.parametrize("data", [b"", b"\1", b"\1abc", b"\2abc"])
def test_what_is_no_compressed_block_is_refused(data: bytes) -> None:
    with pytest.raises(
        LayerError, match=r"The layer 'compression' cannot read what was written: .*\. Restore the file"
    ):
        Compression().unwrap(data)


def test_what_was_encrypted_with_another_key_or_changed_is_refused() -> None:
    data = Encryption(ONE).wrap(b"words")

    assert b"words" not in data
    for layer, block in [(Encryption(TWO), data), (Encryption(ONE), data[:-1] + b"!"), (Encryption(ONE), b"")]:
        with pytest.raises(
            LayerError, match=r"it was changed, or encrypted with another key\. Give Encryption the key"
        ):
            layer.unwrap(block)


def test_older_keys_still_read() -> None:
    data = Encryption(ONE).wrap(b"words")

    both = Encryption(TWO, ONE)

    assert both.unwrap(data) == b"words"
    assert Encryption(TWO).unwrap(both.wrap(b"new")) == b"new"


@pytest.mark.parametrize("key", [b"", "secret", b"x" * 32])
def test_what_is_no_key_is_refused_and_not_shown(key: bytes) -> None:
    with pytest.raises(EncryptionKeyError, match=r"The key 2 is not 32 bytes in URL-safe base64\. Make one with"):
        Encryption(ONE, key)


def test_encryption_without_its_library_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "flowforge.stores.encryption")
    monkeypatch.setitem(sys.modules, "cryptography.fernet", None)

    with pytest.raises(ImportError, match=r"needs the library cryptography .*pip install 'flowforge\[encryption\]'"):
        __import__("flowforge.stores.encryption")


# In a store


def test_nothing_of_a_job_but_its_listing_can_be_read_from_the_disk(path: Path) -> None:
    store = opened(path, Encryption(ONE))
    fill(store)

    seen = [path.read_bytes() + Path(f"{path}-wal").read_bytes()]
    store.close()
    seen.append(path.read_bytes())

    assert all(b"secret" not in data for data in seen)
    assert b"job" in seen[1]
    assert b"secret" in (filled(path.with_name("plain.db")), path.with_name("plain.db").read_bytes())[1]


def test_a_compressed_store_is_smaller(path: Path) -> None:
    assert filled(path, Compression()) < filled(path.with_name("plain.db")) * 0.8


def test_a_base_goes_through_the_layers_too(path: Path) -> None:
    layers = (Compression(), Encryption(ONE))
    store = SqliteStore(path, Codec(), layers=layers, fold_records=10)
    called = threading.Event()

    def fold(job: str, history: History) -> bytes:
        called.set()
        return b"a secret base " * 100

    store.fold_with(fold)
    fill(store)
    store.jobs()
    assert called.wait(30)
    store.close()

    again = opened(path, *layers)
    assert again.history("job").base == b"a secret base " * 100
    again.close()
    assert b"secret" not in path.read_bytes()


@pytest.mark.parametrize(
    ("stored", "given_layers"),
    [
        ([], [Compression()]),
        ([Compression()], []),
        ([Compression(), Encryption(ONE)], [Encryption(ONE), Compression()]),
        ([Backwards()], [Compression()]),
    ],
)
def test_other_layers_are_refused_before_anything_is_written(
    path: Path, stored: list[ByteLayer], given_layers: list[ByteLayer]
) -> None:
    filled(path, *stored)
    before = path.read_bytes()

    with pytest.raises(
        StoreLayersError,
        match=r"was written through the layers \[.*\] and is opened with \[.*\]\. Give SqliteStore those",
    ) as caught:
        opened(path, *given_layers)

    assert (caught.value.stored, caught.value.given) == ([x.name for x in stored], [x.name for x in given_layers])
    assert path.read_bytes() == before


def test_another_key_is_refused_before_anything_is_written(path: Path) -> None:
    filled(path, Encryption(ONE))
    before = path.read_bytes()

    with pytest.raises(
        StoreKeyError,
        match=r"through its layer 'encryption': it was changed, or encrypted with another key\. Give Encry",
    ):
        opened(path, Encryption(TWO))

    assert path.read_bytes() == before


def test_a_new_key_needs_the_older_one_beside_it(path: Path) -> None:
    filled(path, Encryption(ONE))
    store = opened(path, Encryption(TWO, ONE))
    fill(store, [written(60, "more")])
    store.close()

    for keys in ([ONE], [TWO], [THREE, ONE], [THREE, TWO]):
        with pytest.raises(StoreKeyError, match="Give Encryption the key that it was written with"):
            opened(path, Encryption(*keys))
    store = opened(path, Encryption(THREE, TWO, ONE))
    assert store.records("job") == [*HISTORY, written(60, "more")]
    store.close()


def outcome(path: Path, *layers: ByteLayer) -> bool:
    """Whether all is there; False if damage is reported."""
    try:
        store = opened(path, *layers)
    except StoreDamagedError:
        return False
    try:
        assert store.records("job") == HISTORY
    except StoreDamagedError:
        return False
    finally:
        store.close()
    return True


def test_a_flipped_byte_is_still_reported_or_does_no_harm(tmp_path: Path, path: Path) -> None:
    layers = (Compression(), Encryption(ONE))
    size = filled(path, *layers)
    data = path.read_bytes()
    lock = Path(f"{path}.lock").read_bytes()
    outcomes = []

    for at in range(97, size, 331):
        copy = tmp_path / f"{at}.db"
        copy.write_bytes(data[:at] + bytes([data[at] ^ 0x41]) + data[at + 1 :])
        Path(f"{copy}.lock").write_bytes(lock)
        outcomes.append(outcome(copy, *layers))

    assert False in outcomes
    assert True in outcomes


class Torn(Backwards):
    """Cannot read what is longer than the note of a store's form."""

    def unwrap(self, data: bytes) -> bytes:
        if len(data) > 50:
            raise LayerError(self.name, "it is torn", "Mend it.")
        return data[::-1]


def test_records_that_their_layer_cannot_read_are_damage(path: Path) -> None:
    filled(path, Backwards())
    store = opened(path, Torn())

    with pytest.raises(StoreDamagedError, match=r"of the job 'job' cannot be read \(.*torn"):
        store.records("job")
    store.close()


def test_a_frame_that_its_layer_cannot_read_is_damage(path: Path) -> None:
    store = opened(path, Backwards())
    fill(store)
    copy = path.with_name("copy.db")
    for suffix in ("", "-wal", ".lock"):
        Path(f"{copy}{suffix}").write_bytes(Path(f"{path}{suffix}").read_bytes())
    store.close()

    with pytest.raises(StoreDamagedError, match=r"the frame of the records 1 to .* cannot be read \(.*torn"):
        opened(copy, Torn())
