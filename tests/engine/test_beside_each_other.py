"""What is done beside reopening, pausing, closing and shortening."""

import signal
import sys
import threading
from pathlib import Path
from typing import Any, cast

import pytest

from actors.pooled_dispatcher import PooledDispatcher
from flowforge.activation_policies import custom_policy, immediate_policy
from flowforge.error_handler import ErrorHandler, ErrorStrategy
from flowforge.flow import Flow
from flowforge.routine import Routine
from flowforge.runtime import Runtime
from flowforge.stores.codec import Codec
from flowforge.stores.sqlite import SqliteStore
from flowforge.stores.store_errors import StoreClosedError
from flowforge.testing.store_contract import started, written
from tests.engine.jobs import found, picky

SKIP = ErrorHandler(ErrorStrategy.SKIP)


@pytest.mark.parametrize("is_damaged", [False, True])
def test_a_malformed_page_of_one_job_does_not_keep_others_long(tmp_path: Path, is_damaged: bool) -> None:
    path = tmp_path / "jobs.db"
    store = SqliteStore(path, Codec(), fold_records=100)
    for job, text in ("damaged", "Q"), ("sound", "z"):
        number = store.append(job, started())
        for position in range(2, 300):
            number = store.append(job, written(position, text * 300))
        store.wait_until_safe(number)
    store.close()
    data = bytearray(path.read_bytes())
    page = int.from_bytes(data[16:18], "big")
    for at in range(page, len(data), page):
        if data[at : at + page].count(b"Q") > page * 0.6 and 0 < int.from_bytes(data[at : at + 4], "big") < 2000:
            data[at : at + 4] = (0x7FFFFFF0).to_bytes(4, "big")
    if is_damaged:
        path.write_bytes(data)
    called = threading.Semaphore(0)
    jobs = []

    def fold(job: str, history: Any) -> bytes:
        jobs.append(job)
        called.release()
        return b"base"

    store = SqliteStore(path, Codec(), fold_records=100)
    store.fold_with(fold)
    assert called.acquire(timeout=30)
    if not is_damaged:
        assert called.acquire(timeout=30)
    store.close()

    assert "sound" in jobs


def test_ctrl_c_when_a_job_cannot_be_reopened_leaves_letter_or_record() -> None:
    flow = picky(set())
    runtime = Runtime(2)
    job = runtime.exec(flow, entry_params={"n": 1}, job_id="job")
    assert job.wait(30)
    letter = job.dead_letters[0].id
    runtime.shutdown()
    position = job.data.position
    at = [0]

    def look(frame: Any, event: str, _: object) -> None:
        is_in = event == "call" and frame.f_back is not None and frame.f_back.f_code.co_name == "_reopen"
        if is_in and frame.f_code.co_name == "__init__" and frame.f_code.co_filename.endswith("held_interrupts.py"):
            at[0] += 1
            if at[0] == 2:
                sys.setprofile(None)
                signal.raise_signal(signal.SIGINT)

    sys.setprofile(look)
    try:
        with pytest.raises(KeyboardInterrupt):
            job.requeue_dead_letter(letter)
    finally:
        sys.setprofile(None)
    has_letter = any(other.id == letter for other in job.dead_letters)
    assert has_letter or job.data.position > position


def test_hooks_of_migrations_do_not_wait_with_the_lock(machine: Any, chain: Any) -> None:
    def refuse(self: Routine, n: int) -> None:
        raise ValueError(n)

    flow = chain(refuse, error_handler=SKIP)
    job = machine.boot(flow).exec(flow, entry_params={"n": 1}, job_id="job")
    machine.run()
    letter = job.dead_letters[0].id
    machine.store.flush()
    newer = chain(refuse, version=2, error_handler=SKIP)
    seen = []
    runtime: Any = None

    def hook(migration: object) -> None:
        side.shared_log.append(1)

    newer.migrate(1, hook)
    runtime = machine.boot(newer)
    side = runtime.exec(newer, job_id="side", keep_alive=True)
    machine.run()
    again = found(runtime)
    real = machine.store.wait_until_safe

    def watched(number: int, timeout: float | None = None) -> bool:
        seen.append(cast("Any", again.lock)._is_owned())  # noqa: SLF001 - what happens in between is made to
        return bool(real(number, timeout))

    machine.store.wait_until_safe = watched
    again.requeue_dead_letter(letter)
    assert seen[:1] == [False]


def test_pause_does_not_undo_the_resume_of_somebody_else(chain: Any) -> None:
    flow = chain(lambda self, n: None)
    with Runtime(2) as runtime:
        job = runtime.exec(flow, keep_alive=True)
        dispatcher: Any = runtime.dispatcher
        real = dispatcher.wait_for
        resumed: list[int] = []

        def wait_for(event: Any, timeout: float | None = None) -> bool:
            done = bool(real(event, timeout))
            if not resumed and job.status == "paused":
                resumed.append(1)
                runtime.resume_job(job)  # as another thread may, between the rest and the waking
            return done

        dispatcher.wait_for = wait_for
        job.pause()
        dispatcher.wait_for = real
        status = job.status
        assert status == "running"


def test_flush_in_a_policy_does_not_claim_what_is_not_safe(machine: Any) -> None:
    claims: list[tuple[bool, bool]] = []

    def decide(waiting: Any) -> Any:
        job.shared_log.append(1)
        number = max(job.last_number, job.live.last_number)
        claims.append((job.flush(), machine.store.safe >= number))
        return immediate_policy().decide(waiting)

    class Node(Routine):
        def __init__(self) -> None:
            super().__init__()
            self.define_slot("input")
            self.set_logic(self.work)
            self.set_activation_policy(custom_policy(decide))

        def work(self, slot_data: Any, policy_message: Any, job_state: Any) -> None: ...

    flow = Flow("flow")
    flow.add_routine(Node(), "a")
    runtime = machine.boot(flow)
    job = runtime.exec(flow, job_id="job", keep_alive=True)
    runtime.post(job, "a", "input", {})
    runtime.post(job, "a", "input", {})
    for _ in range(6):
        machine.dispatcher.step()
    machine.run(lets_time_pass=False)
    assert (True, False) not in claims, claims


def test_a_resume_beside_the_reopening_leaves_nobody_waiting(tmp_path: Path) -> None:
    stopping, may_stop = threading.Event(), threading.Event()
    accepted: set[int] = set()

    def at_stop() -> None:
        stopping.set()
        may_stop.wait(20)

    flow = picky(accepted, at_stop)
    with Runtime(2) as runtime:
        job = runtime.exec(flow, entry_params={"n": 1}, job_id="job")
        assert stopping.wait(30)
        accepted.add(1)
        job.requeue_dead_letter(job.dead_letters[0].id)
        ended = threading.Event()

        def wait() -> None:
            job.wait()
            ended.set()

        threading.Thread(target=wait, daemon=True).start()
        patched: Any = runtime
        real_rest, real_reserve = patched.note_rest, patched._table.reserve  # noqa: SLF001 - what happens in between is made to
        reserved = threading.Event()
        resumer: list[threading.Thread] = []

        def reserve(*args: Any, **kwargs: Any) -> None:
            real_reserve(*args, **kwargs)
            reserved.set()

        def note_rest(*args: Any) -> None:
            real_rest(*args)
            if not resumer:
                resumer.append(threading.Thread(target=runtime.resume_job, args=(job,), daemon=True))
                resumer[0].start()
                assert reserved.wait(30)

        patched._table.reserve = reserve  # noqa: SLF001 - what happens in between is made to
        patched.note_rest = note_rest
        may_stop.set()
        was_woken = ended.wait(30)
        resumer[0].join(30)
        runtime.shutdown(timeout=30)
    assert was_woken


def test_a_pause_takes_no_longer_than_its_timeout(chain: Any) -> None:
    flow = chain(lambda self, n: None)
    waited = []
    with Runtime(2) as runtime:
        job = runtime.exec(flow, keep_alive=True)
        dispatcher: Any = runtime.dispatcher
        real = dispatcher.wait_for

        def wait_for(event: Any, timeout: float | None = None) -> bool:
            waited.append(timeout)
            done = bool(real(event, timeout))
            if len(waited) < 50 and job.status == "paused":
                runtime.resume_job(job)
            return done

        dispatcher.wait_for = wait_for
        job.pause(timeout=0.2)
        dispatcher.wait_for = real
    assert len(waited) == 1


def test_a_timer_of_the_program_is_told_of_a_start_when_it_is_on_disk(tmp_path: Path, chain: Any) -> None:
    flow = chain(lambda self, n: None)
    store: Any = SqliteStore(tmp_path / "jobs.db", Codec())
    seen = []
    done = threading.Event()
    own = PooledDispatcher(1)
    with Runtime(2, store=store, flows=[flow]) as runtime:
        calls: list[int] = []
        real = store.wait_until_safe

        def wait(number: int, timeout: float | None = None) -> bool:
            calls.append(number)
            return bool(real(number, timeout))

        store.wait_until_safe = wait

        def act() -> None:
            runtime.exec(flow, entry_params={"n": 1}, job_id="job")
            seen.append(len(calls))
            done.set()

        own.call_later(0.01, act)
        assert done.wait(30)
        own.shutdown()
    assert seen != [0]


def test_close_makes_safe_what_a_waiter_has_taken(tmp_path: Path) -> None:
    path = tmp_path / "jobs.db"
    store: Any = SqliteStore(path, Codec())
    writer = store._writer  # noqa: SLF001 - what happens in between is made to
    taken, may_go_on = threading.Event(), threading.Event()
    real = writer._commit  # noqa: SLF001 - what happens in between is made to

    def commit(batch: Any, **options: Any) -> bool:
        if threading.current_thread() is waiter:
            taken.set()
            assert may_go_on.wait(30)
        return bool(real(batch, **options))

    writer._commit = commit  # noqa: SLF001 - what happens in between is made to
    outcome: list[object] = []

    def wait() -> None:
        number = store.append("a", started())
        # The writer's own is kept from taking it first.
        try:
            store.wait_until_safe(number)
        except StoreClosedError as error:
            outcome.append(error)

    waiter = threading.Thread(target=wait, daemon=True)
    real_wait = store._queue.wait_for_work  # noqa: SLF001 - what happens in between is made to

    def slow(timeout: float | None = None) -> bool:
        result = bool(real_wait(timeout))
        # The writer's thread gets the processor late.
        taken.wait(30)
        return result

    store._queue.wait_for_work = slow  # noqa: SLF001 - what happens in between is made to
    store.wait_until_safe(store.append("b", started()))
    waiter.start()
    assert taken.wait(30)
    closing = threading.Thread(target=store.close, daemon=True)
    closing.start()
    closing.join(1)
    may_go_on.set()
    closing.join(30)
    waiter.join(30)
    again = SqliteStore(path, Codec())
    jobs = [job.id for job in again.jobs()]
    again.close()
    assert jobs == ["b", "a"]
