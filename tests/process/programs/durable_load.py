"""Feeds a durable runtime until it is killed, or, told to finish, ends what was begun: `store notes load|finish`.

What was acknowledged is written to `notes` at once, and each effect of a handler to `notes.effects`.
"""

import os
import sys
from collections.abc import Callable, Iterable
from itertools import count
from pathlib import Path
from threading import Thread

from flowforge import ErrorHandler, ErrorStrategy, Flow, Routine, Runtime
from flowforge.errors import FlowForgeError

FEEDERS = 3


def note_in(path: str) -> Callable[[str], None]:
    """Appends a line to a file in one write, so that a kill leaves no half of one behind another."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    def note(line: str) -> None:
        os.write(descriptor, f"{line}\n".encode())

    return note


class Stage(Routine):
    """Has a slot `input` and an event `out`."""

    def __init__(self) -> None:
        super().__init__()
        self.define_slot("input", handler=self.handle)
        self.define_event("out")

    def handle(self, n: int, tag: str = "") -> None:
        self.increment_stat("seen")
        self.emit("out", n=n, tag=tag)


class Tag(Stage):
    """Gives each message another text on each attempt, of which every third fails."""

    def handle(self, n: int, tag: str = "") -> None:
        chance = os.urandom(8)
        if not chance[0] % 3:
            raise ValueError(n)
        self.increment_stat("seen")
        self.emit("out", n=n, tag=chance.hex())


class Effect(Stage):
    """Writes down what it was called with, before its step commits."""

    transient = {"note"}

    def __init__(self, path: str) -> None:
        super().__init__()
        self.path = path
        self.state["done"] = []

    def on_start(self) -> None:
        self.note = note_in(self.path)

    def handle(self, n: int, tag: str = "") -> None:
        key = self.idempotency_key()
        self.note(f"{key} {n} {tag}")
        self.state["done"].append((key, n, tag))
        self.emit("out", n=n, tag=tag)


def large_flow(effects: str) -> Flow:
    flow = Flow("large")
    flow.set_error_handler(ErrorHandler(ErrorStrategy.RETRY, max_retries=50, retry_delay=0.001, retry_backoff=1.0))
    for routine_id, routine in {"intake": Stage(), "tag": Tag(), "effect": Effect(effects), "end": Stage()}.items():
        flow.add_routine(routine, routine_id)
    for one, following in ("intake", "tag"), ("tag", "effect"), ("effect", "end"):
        flow.connect(f"{one}.out", f"{following}.input")
    return flow


def small_flow() -> Flow:
    flow = Flow("small")
    flow.add_routine(Stage(), "first")
    flow.add_routine(Stage(), "last")
    flow.connect("first.out", "last.input")
    return flow


class Load:
    """What is fed to a runtime, and where it is noted."""

    def __init__(self, runtime: Runtime, flows: dict[str, Flow], notes: str) -> None:
        self.runtime = runtime
        self.flows = flows
        self.known = Path(notes).read_text("utf-8").splitlines() if Path(notes).exists() else []
        self.note = note_in(notes)

    def begins_at(self, kind: str) -> int:
        """The first number that was not acknowledged; it may have been taken all the same."""
        return sum(line.startswith(f"{kind} ") for line in self.known)

    def post(self, feeder: int, most: int | None = None) -> None:
        kind = f"post{feeder}"
        for number in self.numbers(kind, most):
            n = FEEDERS * number + feeder
            self.runtime.post("large", "intake", "input", {"n": n}, key=f"{kind}-{number}")
            self.note(f"{kind} {number}")

    def start_jobs(self, most: int | None = None) -> None:
        for number in self.numbers("exec", most):
            job = self.runtime.exec(self.flows["small"], entry_params={"n": number}, job_id=f"small{number}")
            self.note(f"exec {number}")
            if number % 2:
                job.wait()
                self.note(f"done {number}")

    def numbers(self, kind: str, most: int | None) -> Iterable[int]:
        start = self.begins_at(kind)
        return count(start) if most is None else range(start, start + most)


def main() -> None:
    store, notes, what = sys.argv[1:]
    flows = {"large": large_flow(f"{notes}.effects"), "small": small_flow()}
    with Runtime(4, store=f"sqlite:///{store}", flows=flows.values()) as runtime:
        job = runtime.exec(flows["large"], job_id="large", keep_alive=True)
        load = Load(runtime, flows, notes)
        most = 1 if what == "finish" else None
        threads = [Thread(target=load.post, args=(feeder, most), daemon=True) for feeder in range(FEEDERS)]
        threads.append(Thread(target=load.start_jobs, args=(most,), daemon=True))
        for thread in threads:
            thread.start()
        print("ready", flush=True)
        for thread in threads:
            thread.join()
        job.close()
        if not runtime.wait_until_all_jobs_finished(8.0):
            raise FlowForgeError
        print("over", flush=True)


if __name__ == "__main__":
    main()
