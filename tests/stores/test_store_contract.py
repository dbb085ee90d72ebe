"""The contract of stores, held against ours."""

import threading
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import cast

import pytest

from flowforge.stores.byte_layers import ByteLayer, Compression
from flowforge.stores.codec import Codec
from flowforge.stores.encryption import Encryption
from flowforge.stores.memory import MemoryStore
from flowforge.stores.sqlite import SqliteStore
from flowforge.stores.store import Store
from flowforge.stores.store_errors import StoreFailedError
from flowforge.testing.store_contract import StoreContract, StoreMedium
from flowforge.testing.store_keeping_contract import FoldingStoreContract, PrunableStoreContract
from tests.stores.disks import BROKEN, failing_connections, held


class InMemory:
    """A list that outlives the stores that are opened on it."""

    def __init__(self) -> None:
        self.disk: list[tuple[str, bytes]] = []

    def open(self) -> Store:
        return MemoryStore(Codec(), lambda: None, disk=self.disk)

    def settle(self, store: Store, number: int) -> None:
        cast("MemoryStore", store).flush()

    def held(self, store: Store) -> AbstractContextManager[object]:
        return nullcontext()

    def break_down(self, store: Store) -> None:
        cast("MemoryStore", store).failure = StoreFailedError("memory", "somebody pulled the plug")


class InFile:
    """A file."""

    def __init__(self, folder: Path, *layers: ByteLayer) -> None:
        self.layers = layers
        self.path = folder / "jobs.db"
        self.connections = failing_connections(fails_at="")

    def open(self) -> Store:
        return SqliteStore(self.path, Codec(), layers=self.layers, connection_type=self.connections)

    def settle(self, store: Store, number: int) -> None:
        done = threading.Event()
        store.call_when_safe(number, done.set)
        assert done.wait(30)

    def held(self, store: Store) -> AbstractContextManager[object]:
        return held(store)

    def break_down(self, store: Store) -> None:
        self.connections.trouble = BROKEN


class TestMemoryStore(StoreContract):
    @pytest.fixture
    def medium(self) -> StoreMedium:
        return InMemory()


class TestSqliteStore(FoldingStoreContract, PrunableStoreContract):
    @pytest.fixture
    def medium(self, tmp_path: Path) -> StoreMedium:
        return InFile(tmp_path)


class TestSqliteStoreWithLayers(StoreContract):
    @pytest.fixture
    def medium(self, tmp_path: Path) -> StoreMedium:
        return InFile(tmp_path, Compression(smallest=16), Encryption(Encryption.new_key()))
