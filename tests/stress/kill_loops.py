"""Loops of `kill -9`: a process that feeds a durable runtime is killed at a random moment, and what it left is counted.

    python -m tests.stress.kill_loops [--kills 1000] [--seed SEED]

What was acknowledged must be there, nothing twice, nothing that nobody asked for, and no half of a step. After some
kills the jobs are brought to their ends, all is counted exactly, and the next kills are on a new store.
"""

import argparse
import json
import logging
import os
import random
import select
import signal
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from flowforge.job_state import JobState
from flowforge.runtime import Runtime
from tests.stress.kill_load import PATIENCE, feed_until_killed, finish, number_of

__all__ = ["Tally", "kill_often"]

logger = logging.getLogger(__name__)

KILLS_A_STORE = 25
LONGEST_LIFE = 0.4
"""Seconds that a process has from its boot to its kill, at the most."""
LONGEST_BOOT = 0.06
"""Seconds to the kill of one that is not waited for until it has booted."""
SHARE_BOOTED, SHARE_SHUT_DOWN = 0.8, 0.2
"""Of the processes."""
PIPELINE = ("intake", "work", "tag", "ask", "book")


@dataclass
class Tally:
    """What was found after the kills."""

    kills: int = 0
    checked: int = 0
    """Acknowledgements that were looked up in the store."""
    set_aside: int = 0
    """Messages that were found among the dead letters, for the process had died too often with nothing done."""
    lost: list[str] = field(default_factory=list)
    doubled: list[str] = field(default_factory=list)
    phantoms: list[str] = field(default_factory=list)
    """What is there though nobody asked for it, or a half of a step without the other."""
    seconds: float = 0.0

    @property
    def is_clean(self) -> bool:
        """Whether all is there, once."""
        return not (self.lost or self.doubled or self.phantoms)

    def __str__(self) -> str:
        return (
            f"{self.kills} kills, {self.checked} acknowledgements checked, {len(self.lost)} lost, {len(self.doubled)} "
            f"doubled, {len(self.phantoms)} phantoms, {self.set_aside} set aside, {self.seconds:.1f} s"
        )


class Notes:
    """What the processes have asked for, and what they were told is safe."""

    def __init__(self, path: Path) -> None:
        lines = [line.split() for line in path.read_text("ascii").splitlines()] if path.exists() else []
        self.tried = {(kind, name) for mark, kind, name in lines if mark == "try"}
        self.safe = {(kind, name) for mark, kind, name in lines if mark == "ok"}

    def of(self, kind: str, marked: set[tuple[str, str]]) -> set[str]:
        return {name for found, name in marked if found == kind}


class Audit:
    """Compares a store with the notes."""

    def __init__(self, runtime: Runtime, notes: Notes) -> None:
        self.runtime = runtime
        self.notes = notes
        self.tally = Tally(checked=len(notes.safe))

    def compare(self, what: str, found: Counter[Any], wanted: Counter[Any]) -> None:
        self.tally.lost += [f"{what} {name}" for name in wanted - found]
        self.tally.doubled += [f"{what} {name}" for name in found - wanted if wanted[name]]
        self.tally.phantoms += [f"{what} {name}" for name in found - wanted if not wanted[name]]

    def look(self) -> Tally:
        """What must be true after any kill."""
        notes, tally = self.notes, self.tally
        known = {job.id: job.status for job in self.runtime.log.jobs()}  # type: ignore[attr-defined] # a Store
        tally.lost += [f"job {name}" for name in notes.of("exec", notes.safe) - known.keys()]
        tally.lost += [f"end of {name}" for name in notes.of("done", notes.safe) if known.get(name) != "completed"]
        named = {name for name in known if name.startswith("small-")}
        tally.phantoms += [f"job {name}" for name in named - notes.of("exec", notes.tried)]
        main, ledger = self.runtime.get_job("main"), self.runtime.get_job("ledger")
        if main is None or ledger is None:
            tally.lost += [f"post {key}" for key in notes.of("post", notes.safe)]
            return tally
        tally.lost += [f"post {key}" for key in notes.of("post", notes.safe) - main.data.keys]
        tally.phantoms += [f"post {key}" for key in main.data.keys - notes.of("post", notes.tried)]
        self.compare_main(main)
        asked = Counter(seen(main, "ask"))
        self.compare("child", Counter(int(name[6:]) for name in known if name.startswith("child-")), asked)
        self.compare("entry of the ledger", places(ledger, "book") + Counter(seen(ledger, "book")), asked)
        tally.set_aside = len(main.dead_letters) + len(ledger.dead_letters)
        return tally

    def compare_main(self, main: JobState) -> None:
        """Each message is in one place of the pipeline, and in one place on the way by the timer."""
        posted = Counter(map(number_of, main.data.keys))
        self.compare("message", places(main, *PIPELINE) + Counter(seen(main, "book")), posted)
        timers = [timer.delivery.message.payload["n"] for timer in main.data.timers.values() if timer.delivery]
        late = places(main, "late") + Counter(seen(main, "late")) + Counter(timers)
        self.compare("reminder", late, posted - places(main, "intake"))

    def look_at_the_end(self) -> Tally:
        """What must be true, too, when all jobs have come to their ends."""
        self.look()
        main = self.runtime.get_job("main")
        assert main is not None
        posted = Counter(map(number_of, main.data.keys))
        for routine in "ask", "book", "late":
            self.compare(f"in {routine}", Counter(seen(main, routine)), posted)
        counts = {routine: main.routine_states[routine]["count"] for routine in PIPELINE}
        self.compare("count", Counter(counts), Counter(dict.fromkeys(PIPELINE, posted.total())))
        for known in self.runtime.log.jobs():  # type: ignore[attr-defined] # a Store
            job = self.runtime.get_job(known.id)
            assert job is not None
            if known.flow == "small" and job.routine_states != {"first": {"count": 1}, "last": {"count": 1}}:
                self.tally.lost.append(f"steps of {known.id}: {job.routine_states}")
            if known.status != "completed":
                self.tally.lost.append(f"end of {known.id}, which is {known.status}")
        return self.tally


def seen(job: JobState, routine: str) -> list[int]:
    """The numbers that a routine, or its replicas, each in a list of its own, have written down."""
    found = job.routine_states.get(routine, {}).get("seen", [])
    return [number for one in found for number in (one if isinstance(one, list) else [one])]


def places(job: JobState, *routines: str) -> Counter[int]:
    """The numbers that wait for some routines, or were set aside there."""
    waiting = [message for (routine, _), found in job.data.pending.items() if routine in routines for message in found]
    for letter in job.dead_letters:
        waiting += letter.messages if letter.routine in routines else ()
    return Counter(message.payload["n"] for message in waiting)


def audited(store: Path, notes: Path, *, is_over: bool) -> Tally:
    """What there is in a store; no job in it goes on."""
    with Runtime(1, store=f"sqlite:///{store}") as runtime:
        audit = Audit(runtime, Notes(notes))
        return audit.look_at_the_end() if is_over else audit.look()


class Child:
    """A process that was forked from this one, which has no threads; what it `say`s can be heard by `heard`."""

    def __init__(self, program: Callable[[Callable[[bytes], object]], object]) -> None:
        self.ear, mouth = os.pipe()
        self.pid = os.fork()
        if self.pid:
            os.close(mouth)
            return
        code = 1
        try:
            program(lambda said: os.write(mouth, said))
            code = 0
        except BaseException:  # noqa: BLE001 - it must not go on in what was forked
            traceback.print_exc()
        finally:
            sys.stderr.flush()
            os._exit(code)

    def heard(self, seconds: float) -> bytes | None:
        """What it says within so many seconds; nothing once it has ended, and None if it is silent."""
        return os.read(self.ear, 1 << 20) if select.select([self.ear], [], [], seconds)[0] else None

    def end(self) -> int:
        """Kill it, unless it has ended; its exit code, which is negative if it was killed."""
        with suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)
        os.close(self.ear)
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])


def call(program: Callable[[], object]) -> Any:
    """What a function returns in a process of its own."""
    child = Child(lambda say: say(json.dumps(program()).encode()))
    said = b""
    while part := child.heard(4 * PATIENCE):
        said += part
    assert (code := os.waitstatus_to_exitcode(os.waitpid(child.pid, 0)[1])) == 0, f"A process ended with {code}."
    os.close(child.ear)
    return json.loads(said)


class Loops:
    """Kills processes on one store, one after the other."""

    def __init__(self, folder: Path, chance: random.Random, tally: Tally) -> None:
        self.store, self.notes = folder / "jobs.db", folder / "notes"
        self.chance = chance
        self.tally = tally

    def live(self, life: int) -> None:
        """Start a process, and kill it; some are shutting down then, or have."""
        seconds = self.chance.uniform(0, LONGEST_LIFE) if self.chance.random() < SHARE_SHUT_DOWN else None
        feed = partial(feed_until_killed, self.store, self.notes, life, seconds=seconds)
        child = Child(lambda say: feed(lambda: say(b"ready")))
        if self.chance.random() < SHARE_BOOTED:
            assert child.heard(PATIENCE) == b"ready", f"A process did not boot: {child.end()}."
            said = child.heard(self.chance.uniform(0, LONGEST_LIFE))
        else:
            said = child.heard(self.chance.uniform(0, LONGEST_BOOT))
        code = child.end()
        assert said != b"" or (seconds is not None and code == 0), f"A process ended by itself: {code}."
        self.tally.kills += 1
        self.audit(is_over=False)

    def end(self, life: int) -> None:
        """Bring all to its end."""
        call(lambda: finish(self.store, self.notes, life))
        self.audit(is_over=True)

    def audit(self, *, is_over: bool) -> None:
        found = call(lambda: asdict(audited(self.store, self.notes, is_over=is_over)))
        self.tally.lost += found["lost"]
        self.tally.doubled += found["doubled"]
        self.tally.phantoms += found["phantoms"]
        self.tally.checked += found["checked"] if is_over else 0
        self.tally.set_aside += 0 if is_over else found["set_aside"]


def kill_often(kills: int, seed: int, kills_a_store: int = KILLS_A_STORE) -> Tally:
    """Kill so many processes and tell what was found; stops early at what must not be."""
    chance, tally, began = random.Random(seed), Tally(), time.monotonic()
    logger.info("Seed %s", seed)
    while tally.kills < kills and tally.is_clean:
        with tempfile.TemporaryDirectory() as folder:
            loops = Loops(Path(folder), chance, tally)
            wanted = min(kills_a_store, kills - tally.kills)
            for life in range(wanted):
                loops.live(life)
                if not tally.is_clean:
                    break
            else:
                loops.end(wanted)
            tally.seconds = time.monotonic() - began
            logger.info("%s", tally)
    return tally


def main() -> None:
    """Kill as often as was asked for; the exit code is 0 if nothing was lost or doubled."""
    parser = argparse.ArgumentParser(description="Loops of kill -9 under load.")
    parser.add_argument("--kills", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=random.randrange(1_000_000))
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    logging.getLogger("flowforge").setLevel(logging.CRITICAL)
    tally = kill_often(options.kills, options.seed)
    for problem in (*tally.lost, *tally.doubled, *tally.phantoms):
        logger.error("%s", problem)
    sys.exit(not tally.is_clean)


if __name__ == "__main__":
    main()
