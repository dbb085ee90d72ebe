"""The contract of stores, held against ours."""

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Any, cast

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


class Breaking(sqlite3.Connection):
    """A connection whose disk may break."""

    is_broken = False

    def execute(self, sql: str, parameters: Any = (), /) -> sqlite3.Cursor:
        if self.is_broken:
            raise sqlite3.OperationalError("disk I/O error")
        return super().execute(sql, parameters)


class InFile:
    """A file."""

    def __init__(self, folder: Path, *layers: ByteLayer) -> None:
        self.layers = layers
        self.path = folder / "jobs.db"
        self.connections: list[Breaking] = []

    def open(self) -> Store:
        made = self.connections

        class Known(Breaking):
            def __init__(self, *args: Any, **kwargs: Any) -> None:
                super().__init__(*args, **kwargs)
                made.append(self)

        return SqliteStore(self.path, Codec(), layers=self.layers, connection_type=Known)

    def settle(self, store: Store, number: int) -> None:
        done = threading.Event()
        store.call_when_safe(number, done.set)
        assert done.wait(30)

    @contextmanager
    def held(self, store: Store) -> Iterator[None]:
        """The writer makes the calls, so one that does not return holds it."""
        held, done = threading.Event(), threading.Event()

        def hold() -> None:
            held.set()
            done.wait(30)

        store.call_when_safe(store.safe, hold)
        assert held.wait(30)
        try:
            yield
        finally:
            done.set()

    def break_down(self, store: Store) -> None:
        self.connections[-1].is_broken = True


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
