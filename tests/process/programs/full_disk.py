"""A durable job on a disk of 8 MB that fills up and gets space again; run it where it may mount: `unshare -rm`."""

import logging
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

from flowforge import Flow, JobState, Routine, Runtime, SqliteStore
from flowforge.stores.codec import Codec

COUNT = 60
MODE, FOLDER = sys.argv[1], Path(sys.argv[2])


class Source(Routine):
    """Emits numbers, with a cursor, and enough beside them to fill a disk."""

    def __init__(self) -> None:
        super().__init__()
        self.define_slot("trigger", handler=self.produce)
        self.define_event("out")
        self.state["next"] = 0

    def produce(self) -> Iterator[None]:
        while self.state["next"] < COUNT:
            self.emit("out", n=self.state["next"], ballast="x" * 3000)
            self.state["next"] += 1
            yield


class Sink(Routine):
    """Counts and adds up."""

    def __init__(self) -> None:
        super().__init__()
        self.define_slot("input", handler=self.take)
        self.state.update(count=0, sum=0)

    def take(self, n: int, ballast: str) -> None:
        self.state["count"] += bool(ballast)
        self.state["sum"] += n


class Stall(logging.Handler):
    """Tells when the store says that it cannot be written."""

    def __init__(self) -> None:
        super().__init__()
        self.has_come = threading.Event()

    def emit(self, record: logging.LogRecord) -> None:
        if "cannot be written" in record.getMessage():
            self.has_come.set()


def fill(left: int) -> None:
    """Leave so many bytes of the disk."""
    disk = os.statvfs(FOLDER)
    (FOLDER / "ballast").write_bytes(bytes(disk.f_bavail * disk.f_frsize - left))


def opened() -> SqliteStore:
    return SqliteStore(FOLDER / "jobs.db", Codec(), window=8, retry_interval=0.01)


def show(job: JobState | None) -> None:
    assert job is not None
    positions = [record.position for record in job.view.history]
    is_gapless = positions == list(range(1, len(positions) + 1))
    print(job.status, job.get_routine_state("source"), job.get_routine_state("sink"), is_gapless, flush=True)


subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m", "none", str(FOLDER)], check=True)
stall = Stall()
logging.getLogger("flowforge").addHandler(stall)

flow = Flow("filling")
flow.add_routine(Source(), "source")
flow.add_routine(Sink(), "sink")
flow.connect("source.out", "sink.input")

if MODE == "reuse":
    # What a store has taken of the disk once, it can use again.
    with Runtime(2, store=opened(), flows=[flow]) as runtime:
        runtime.exec(flow, entry_params={}, job_id="first").wait(8)
        runtime.store.prune()
        runtime.store.close()

store = opened()
fill(400_000)
with Runtime(2, store=store, flows=[flow]) as runtime:
    job = runtime.exec(flow, entry_params={}, job_id="job")
    print("stalled" if stall.has_come.wait(8) else "never full", flush=True)
    if MODE == "wait":
        print(job.status, job.is_on_disk, flush=True)
        (FOLDER / "ballast").unlink()
    print(job.wait(8), job.status, flush=True)
store.close()
(FOLDER / "ballast").unlink(missing_ok=True)
with Runtime(2, store=f"sqlite:///{FOLDER / 'jobs.db'}") as runtime:
    show(runtime.get_job("job"))
