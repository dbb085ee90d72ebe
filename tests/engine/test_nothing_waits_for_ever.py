"""Nobody waits with a lock of a job held, and nothing half begun is waited for."""

import itertools
import shutil
import signal
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from flowforge.activation_policies import Activation, Waiting, custom_policy, immediate_policy
from flowforge.error_handler import ErrorHandler, ErrorStrategy
from flowforge.flow import Flow
from flowforge.routine import Routine
from flowforge.runtime import Runtime
from flowforge.stores.codec import Codec
from flowforge.stores.sqlite import SqliteStore
from tests.engine.interrupts import is_interrupted
from tests.engine.jobs import found, picky
from tests.engine.machine import Machine

Chain = Callable[..., Flow]
SKIP = ErrorHandler(ErrorStrategy.SKIP)
WRITES = {
    "log": lambda job: job.shared_log.append(1),
    "data": lambda job: job.shared_data.add("n"),
    "pause": lambda job: job.request_pause("enough"),
}


@pytest.mark.parametrize("write", WRITES)
@pytest.mark.parametrize("caller", ["policy", "error handler", "update_with"])
def test_nobody_waits_for_the_disk_with_the_lock_of_a_job_held(chain: Chain, write: str, caller: str) -> None:
    machine, waited_with_lock = Machine(), []

    def act() -> None:
        WRITES[write](job)

    def decide(waiting: Waiting) -> Activation | None:
        act()
        return immediate_policy().decide(waiting)

    class Acting(ErrorHandler):
        def decide(self, error: BaseException, failures: int, draw: float = 0.0) -> Any:
            act()
            return super().decide(error, failures, draw)

    class Node(Routine):
        def __init__(self) -> None:
            super().__init__()
            self.define_slot("input")
            self.set_logic(self.work)
            if caller == "policy":
                self.set_activation_policy(custom_policy(decide))

        def work(self, slot_data: Any, policy_message: Any, job_state: Any) -> None:
            if caller == "error handler":
                raise ValueError

    flow = Flow("flow")
    flow.add_routine(Node(), "a")
    flow.set_error_handler(Acting(ErrorStrategy.SKIP))
    runtime = machine.boot(flow)
    job = runtime.exec(flow, job_id="job", keep_alive=True)
    store: Any = machine.store
    real = store.wait_until_safe

    def watched(number: int, timeout: float | None = None) -> bool:
        assert job.live is not None
        waited_with_lock.append(job.live.lock._is_owned())  # type: ignore[attr-defined]  # noqa: SLF001
        return bool(real(number, timeout))

    runtime.post(job, "a", "input", {})
    store.wait_until_safe = watched
    if caller == "update_with":
        job.shared_data.update_with("k", lambda value: act())
    else:
        machine.run(lets_time_pass=False)

    assert True not in waited_with_lock


# A letter that is requeued while the hooks of a completed job run


def test_a_job_that_is_being_reopened_goes_on_after_a_shutdown_as_after_a_crash(machine: Machine) -> None:
    accepted: set[int] = set()
    flow = picky(accepted)
    job = machine.boot(flow).exec(flow, entry_params={"n": 1}, job_id="job")
    machine.run(lets_time_pass=False, until=lambda: job.live is not None and job.live.is_over)
    accepted.add(1)
    job.requeue_dead_letter(job.dead_letters[0].id)
    machine.runtime.shutdown(wait=False)
    machine.store.flush()

    again = found(machine.boot(flow))
    machine.run()

    assert (again.status, again.outputs) == ("completed", {"a.out": [{"n": 1}]})


# Ctrl-C


def test_ctrl_c_ends_a_hook_that_a_requeue_waits_for(chain: Chain, tmp_path: Path) -> None:
    def refuse(self: Routine, n: int) -> None:
        raise ValueError(n)

    place = f"sqlite:///{tmp_path / 'jobs.db'}"
    flow = chain(refuse, error_handler=SKIP)
    with Runtime(2, store=place, flows=[flow]) as runtime:
        job = runtime.exec(flow, entry_params={"n": 1})
        assert job.wait(30)
        letter = job.dead_letters[0].id
    is_whole = []
    newer = chain(refuse, version=2, error_handler=SKIP)

    def hook(job: object) -> None:
        signal.raise_signal(signal.SIGINT)
        is_whole.append(1)

    newer.migrate(1, hook)
    with Runtime(2, store=place, flows=[newer]) as runtime, pytest.raises(KeyboardInterrupt):
        runtime.requeue_dead_letter(letter)

    assert not is_whole


def is_taken(frame: FrameType | None) -> bool:
    """Whether a runtime takes its store, but for the making of a thread, which is another story."""
    names = []
    while frame is not None:
        names.append(frame.f_code.co_name)
        frame = frame.f_back
    return "take_store" in names and "fold_with" not in names


def opened_and_shut_down(store: SqliteStore, flow: Flow) -> None:
    Runtime(2, store=store, flows=[flow]).shutdown()


def test_an_interrupted_start_leaves_a_store_that_can_be_closed(chain: Chain, tmp_path: Path) -> None:
    flow = chain(lambda self, n: None)
    path = tmp_path / "jobs.db"
    store = SqliteStore(path, Codec())
    with Runtime(2, store=store, flows=[flow]) as runtime:
        job = runtime.exec(flow, job_id="job", keep_alive=True)
        for n in range(50):
            runtime.post(job, "a", "input", {"n": n})
    store.close()
    hung = []
    for at in itertools.count(1):
        copy = tmp_path / f"copy{at}.db"
        shutil.copy(path, copy)
        store = SqliteStore(copy, Codec(), fold_records=5)
        has_come = is_interrupted(at, partial(opened_and_shut_down, store, flow), where=is_taken)
        closing = threading.Thread(target=store.close, daemon=True)
        closing.start()
        closing.join(30)
        if closing.is_alive():
            hung.append(at)
        if not has_come:
            break

    assert hung == []
