"""A process that is killed at any instant loses nothing that was acknowledged."""

import random
import subprocess
import sys
from pathlib import Path

import pytest

from flowforge.stores.codec import Codec
from flowforge.stores.sqlite import SqliteStore
from flowforge.stores.store import History

WRITER = """
import random, sys
from flowforge.stores.codec import Codec
from flowforge.stores.sqlite import SqliteStore
from flowforge.testing.store_contract import started, written
store = SqliteStore(sys.argv[1], Codec(), fold_records=50)
history = store.history("a")
position = int(history.base or b"0") + len(history.records)
store.fold_with(lambda job, history: str(int(history.base or b"0") + len(history.records)).encode())
while True:
    for _ in range(random.randrange(1, 40)):
        position += 1
        number = store.append("a", written(position) if position > 1 else started())
    store.wait_until_safe(number)
    print(position, flush=True)
    if random.random() < 0.3:
        store.jobs()
"""


def total(history: History) -> int:
    return int(history.base or b"0") + len(history.records)


@pytest.mark.parametrize("seed", range(3))
def test_a_kill_at_any_instant_loses_nothing_acknowledged(tmp_path: Path, repository: Path, seed: int) -> None:
    path = tmp_path / "jobs.db"
    chance = random.Random(seed)
    for _ in range(5):
        acknowledged = killed_writer(path, repository, chance.randrange(1, 60))

        store = SqliteStore(path, Codec())
        history = store.history("a")
        store.close()
        assert total(history) >= acknowledged
        first = int(history.base or b"0") + 1
        assert [record.position for record in history.records] == list(range(first, total(history) + 1))


def killed_writer(path: Path, repository: Path, lines: int) -> int:
    """The last position that a writer, killed after so many acknowledgements, had told of."""
    environment = {"PYTHONPATH": str(repository), "PATH": "/usr/bin:/bin"}
    command = [sys.executable, "-c", WRITER, str(path)]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for _ in range(lines):
            process.stdout.readline()
        process.kill()
        return max((int(line) for line in process.stdout if line.endswith("\n")), default=0)
