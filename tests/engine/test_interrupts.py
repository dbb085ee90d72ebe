"""Ctrl-C on the main thread, whatever the library does at that moment, leaves nothing half done."""

from collections.abc import Callable
from pathlib import Path

from flowforge.flow import Flow
from flowforge.routine import Routine
from flowforge.runtime import Runtime
from flowforge.stores.codec import Codec
from flowforge.stores.sqlite import SqliteStore
from tests.engine.interrupts import each_interrupted

Chain = Callable[..., Flow]


def say(self: Routine, n: int = 0) -> None:
    self.send_output("said", n=n)
    self.emit("out", n=n)


def shut_down(runtime: Runtime) -> bool:
    return runtime.shutdown(timeout=30)


def test_a_shutdown_that_was_interrupted_is_completed_by_the_next(chain: Chain, tmp_path: Path) -> None:
    flow, url = chain(say), f"sqlite:///{tmp_path / 'jobs.db'}"

    def opened() -> Runtime:
        runtime = Runtime(2, store=url, flows=[flow])
        job = runtime.exec(flow, keep_alive=True)
        job.set_output_handler(lambda *_: None)
        runtime.post(job, "a", "input", {"n": 1})
        job.pause()
        return runtime

    ended = [shut_down(runtime) for runtime in each_interrupted(8, opened, shut_down)]

    assert len(ended) > 5
    assert all(ended)
    Runtime(2, store=url).shutdown()


def test_a_close_that_was_interrupted_is_completed_by_the_next(tmp_path: Path) -> None:
    def opened() -> SqliteStore:
        return SqliteStore(tmp_path / "jobs.db", Codec())

    for store in each_interrupted(1, opened, SqliteStore.close):
        store.close()

    opened().close()


def test_a_store_that_was_being_given_back_is_free_after_the_next_shutdown(chain: Chain, tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "jobs.db", Codec())

    def opened() -> Runtime:
        return Runtime(2, store=store, flows=[chain(say)])

    for runtime in each_interrupted(1, opened, shut_down):
        assert shut_down(runtime)

    opened().shutdown()
    store.close()
