"""What a process does until it is killed: it feeds jobs of every sort, and notes what it was told is safe.

A number that is posted to the job "main" goes through replicas that fail by chance, in order and not; then a step
starts the job `child-<number>` and posts the number to the job "ledger", and two routines write it down, one later.
"""

import os
import traceback
from collections.abc import Callable
from functools import partial
from itertools import count
from pathlib import Path
from threading import Event, Thread

from flowforge.error_handler import ErrorHandler
from flowforge.errors import FlowForgeError
from flowforge.flow import Flow
from flowforge.routine import Routine
from flowforge.runtime import Runtime

__all__ = ["PATIENCE", "feed_until_killed", "finish", "number_of"]

POSTERS = 2
PATIENCE = 60.0
RETRY = ErrorHandler("retry", max_retries=1_000, retry_delay=0.002, retry_backoff=1.0)


class Stage(Routine):
    """Counts what comes, writes it down if told to, and passes it on."""

    def __init__(self, *, writes: bool = False, queue: int = 1000) -> None:
        super().__init__()
        self.writes = writes
        self.define_slot("input", self.handle, max_queue_length=queue)
        self.define_event("out")
        self.define_event("late")
        if writes:
            self.state["seen"] = []

    def handle(self, n: int) -> None:
        self.increment_stat("count")
        if self.writes:
            self.state["seen"].append(n)
        self.emit("out", n=n)


class Reminding(Stage):
    """Sets a timer for each number."""

    def handle(self, n: int) -> None:
        super().handle(n)
        self.emit_after(0.03, "late", n=n)


class Glitchy(Stage):
    """Fails after its work, every fifth time or so."""

    def handle(self, n: int) -> None:
        super().handle(n)
        if os.urandom(1)[0] < 50:
            raise InterruptedError(n)


class Asking(Stage):
    """Starts one job for each number and posts the number to another, each second time under a key."""

    def __init__(self, runtime: Callable[[], Runtime], child: Flow) -> None:
        super().__init__(writes=True)
        self.runtime = runtime
        self.child = child

    def handle(self, n: int) -> None:
        self.runtime().exec(self.child, entry_params={"n": n}, job_id=f"child-{n}")
        self.runtime().post("ledger", "book", "input", {"n": n}, key=f"book-{n}" if n % 2 else None)
        super().handle(n)
        if os.urandom(1)[0] < 25:
            raise InterruptedError(n)


def row(name: str, **routines: Routine) -> Flow:
    """Routines one after the other."""
    flow = Flow(name, RETRY)
    previous = None
    for routine_id, routine in routines.items():
        flow.add_routine(routine, routine_id)
        if previous is not None:
            flow.connect(f"{previous}.out", f"{routine_id}.input")
        previous = routine_id
    return flow


class Load:
    """A runtime with its flows, and the file where each line is in before anything else happens."""

    def __init__(self, store: Path, notes: Path, life: int) -> None:
        self.life = life
        self.is_ending = Event()
        self.file = os.open(notes, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        self.small = row("small", first=Stage(), last=Stage())
        self.ledger = row("ledger", book=Stage(writes=True))
        self.runtime = Runtime(4, store=f"sqlite:///{store}", flows=[self.small, self.ledger])
        self.runtime.exec(self.ledger, job_id="ledger", keep_alive=True)
        # Its steps may begin at once, and need the others.
        self.main = self.main_flow()
        self.runtime.register(self.main)
        self.job = self.runtime.exec(self.main, job_id="main", keep_alive=True)

    def main_flow(self) -> Flow:
        work, tag = Glitchy(), Glitchy()
        work.set_concurrency(3, ordered=False)
        tag.set_concurrency(3)
        ask = Asking(lambda: self.runtime, self.small)
        ask.set_concurrency(2, ordered=False)
        flow = row("main", intake=Reminding(queue=30), work=work, tag=tag, ask=ask, book=Stage(writes=True))
        flow.add_routine(Stage(writes=True), "late")
        flow.connect("intake.late", "late.input")
        return flow

    def note(self, *words: str) -> None:
        os.write(self.file, f"{' '.join(words)}\n".encode())

    def feed(self, feeder: Callable[[], object]) -> None:
        """Feed until the runtime is shut down; anything else that ends it ends the process."""
        try:
            feeder()
        except BaseException as error:  # noqa: BLE001 - whatever it is, the parent must hear of it
            if not (self.is_ending.is_set() and isinstance(error, FlowForgeError)):
                traceback.print_exc()
                os._exit(1)

    def post(self, poster: int) -> None:
        for number in count():
            key = f"{self.life}-{poster}-{number}"
            self.note("try", "post", key)
            for _ in range(2):
                self.runtime.post("main", "intake", "input", {"n": number_of(key)}, key=key)
            self.note("ok", "post", key)

    def start_jobs(self) -> None:
        for number in count():
            name = f"small-{self.life}-{number}"
            self.note("try", "exec", name)
            job = self.runtime.exec(self.small, entry_params={"n": number}, job_id=name)
            assert self.runtime.exec(self.small, entry_params={"n": -1}, job_id=name) is job
            self.note("ok", "exec", name)
            if number % 2:
                job.wait()
                # A shutdown pauses it, and it rests too.
                if job.status == "completed":
                    self.note("ok", "done", name)
            if not number % 5:
                for many in self.runtime.exec_many(self.small, [{"n": n} for n in range(3)]):
                    self.note("ok", "exec", many.job_id)


def number_of(key: str) -> int:
    """A number of its own for each key."""
    life, poster, number = map(int, key.split("-"))
    return (life * POSTERS + poster) * 1_000_000 + number


def feed_until_killed(
    store: Path, notes: Path, life: int, ready: Callable[[], object], seconds: float | None = None
) -> None:
    """Feed the store's runtime for ever, or for some seconds, and shut it down; `ready` is called when that begins."""
    load = Load(store, notes, life)
    feeders = [*(partial(load.post, poster) for poster in range(POSTERS)), load.start_jobs]
    for feeder in feeders:
        Thread(target=load.feed, args=(feeder,), daemon=True).start()
    ready()
    load.is_ending.wait(seconds)
    load.is_ending.set()
    load.runtime.shutdown(timeout=PATIENCE)


def finish(store: Path, notes: Path, life: int) -> None:
    """Bring all jobs to their end, and try again what was set aside because the process had died of it too often."""
    load = Load(store, notes, life)
    with load.runtime as runtime:
        for letter in runtime.dead_letters():
            runtime.requeue_dead_letter(letter.id)
        load.job.close()
        assert load.job.wait(PATIENCE), load.job
        runtime.exec(load.ledger, job_id="ledger").close()
        assert runtime.wait_until_all_jobs_finished(PATIENCE)
