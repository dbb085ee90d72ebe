"""Messages that were given up on: listed, inspected, requeued, purged."""

from collections.abc import Callable
from typing import Any

import pytest

from flowforge.activation_policies import all_slots_ready_policy, batch_size_policy
from flowforge.error_handler import ErrorHandler, ErrorStrategy
from flowforge.flow import Flow
from flowforge.job_errors import DeadLetterNotFoundError, JobFinishedError
from flowforge.job_state import JobState
from flowforge.records import DeadLetterPurged, DeadLetterRequeued, JobMoved
from flowforge.routine import Routine
from flowforge.runtime import Runtime
from tests.engine.jobs import numbers
from tests.handlers import send

Chain = Callable[..., Flow]
Run = Callable[..., JobState]

SKIP = ErrorHandler(ErrorStrategy.SKIP)


class Gate:
    """A handler that refuses until it is opened, then passes on."""

    def __init__(self) -> None:
        self.is_open = False

    @property
    def handler(self) -> Callable[..., None]:
        def handle(self_: Routine, n: int = 0) -> None:
            if not self.is_open:
                raise ValueError(f"refused {n}")
            self_.emit("out", n=n)

        return handle


@pytest.fixture
def gate() -> Gate:
    return Gate()


def test_a_dead_letter_tells_where_why_and_how_often(run: Run, chain: Chain, gate: Gate) -> None:
    (letter,) = run(chain(gate.handler, error_handler=SKIP), n=5).dead_letters

    assert (letter.routine, letter.slots, letter.payload) == ("a", ("input",), {"n": 5})
    assert (letter.strategy, letter.reason, letter.attempts) == ("skip", "ValueError: refused 5", 1)
    assert letter.error is not None
    assert "handle" in letter.error.traceback


def test_dead_letters_are_listed_oldest_first(run: Run, chain: Chain, gate: Gate) -> None:
    job = run(chain(send, gate.handler, error_handler=SKIP))

    assert [letter.payload["n"] for letter in job.dead_letters] == [0, 1, 2]
    assert len({letter.id for letter in job.dead_letters}) == 3


def test_a_requeued_letter_reopens_a_completed_job(run: Run, chain: Chain, gate: Gate) -> None:
    job = run(chain(gate.handler, error_handler=SKIP), n=5)
    gate.is_open = True

    job.requeue_dead_letter(job.dead_letters[0].id)
    reopened = job.is_resting
    job.wait()

    assert not reopened
    assert (job.status, numbers(job, "a.out"), job.dead_letters) == ("completed", [5], [])


def test_a_reopened_job_has_a_new_epoch_and_completes_again(run: Run, chain: Chain, gate: Gate) -> None:
    job = run(chain(gate.handler, error_handler=SKIP), n=5)
    job.requeue_dead_letter(job.dead_letters[0].id)
    job.wait()

    moves = [(record.status, record.epoch) for record in job.view.history if isinstance(record, JobMoved)]
    assert [status for status, _ in moves] == ["completed", "running", "completed"]
    assert moves[1][1] == moves[2][1] > moves[0][1]


def test_requeuing_is_a_record(run: Run, chain: Chain, gate: Gate) -> None:
    job = run(chain(gate.handler, error_handler=SKIP), n=5)
    letter = job.dead_letters[0]
    job.requeue_dead_letter(letter.id)
    job.wait()

    (record,) = [record for record in job.view.history if isinstance(record, DeadLetterRequeued)]
    assert (record.letter, record.deliveries[0].message.payload) == (letter.id, {"n": 5})


def test_purging_is_a_record(run: Run, chain: Chain, gate: Gate) -> None:
    job = run(chain(gate.handler, error_handler=SKIP), n=5)
    letter = job.dead_letters[0]
    job.purge_dead_letter(letter.id)

    (record,) = [record for record in job.view.history if isinstance(record, DeadLetterPurged)]
    assert record.letter == letter.id


def test_a_requeued_letter_fails_again_with_attempts_reset(run: Run, chain: Chain, gate: Gate) -> None:
    handler = ErrorHandler("retry", max_retries=1, retry_delay=0.0, on_exhausted="skip")
    job = run(chain(gate.handler, error_handler=handler))
    job.requeue_dead_letter(job.dead_letters[0].id)
    job.wait()

    assert [e.attempt for e in job.execution_history if e.outcome == "failed"] == [1, 2, 1, 2]
    assert len(job.dead_letters) == 1


def test_a_letter_requeued_while_the_job_runs_is_worked_on(
    stepped: Runtime, chain: Chain, gate: Gate, turn: Callable[..., None]
) -> None:
    job = stepped.exec(chain(gate.handler, error_handler=SKIP), entry_params={"n": 5}, keep_alive=True)
    turn("a", "a", "supervisor", "a")
    gate.is_open = True

    job.requeue_dead_letter(job.dead_letters[0].id)
    job.close()
    job.wait()

    assert (numbers(job, "a.out"), job.dead_letters) == ([5], [])


def test_a_requeued_letter_of_a_failed_job_reopens_it(run: Run, chain: Chain, gate: Gate) -> None:
    def fail_once(self: Routine, n: int) -> None:
        if not gate.is_open:
            gate.is_open = True
            raise ValueError
        self.emit("out", n=n)

    flow = chain(gate.handler, fail_once)
    flow.routines["a"].set_error_handler(SKIP)
    job = run(flow, n=5)
    gate.is_open = True

    job.requeue_dead_letter(job.dead_letters[0].id)
    job.wait()

    assert (job.status, numbers(job, "b.out")) == ("completed", [5])


def test_a_letter_of_a_cancelled_job_cannot_be_requeued(
    stepped: Runtime, chain: Chain, gate: Gate, turn: Callable[..., None]
) -> None:
    job = stepped.exec(chain(gate.handler, error_handler=SKIP), entry_params={}, keep_alive=True)
    turn("a", "a", "supervisor", "a")
    job.cancel()
    job.wait()

    with pytest.raises(JobFinishedError, match=r"is cancelled, so it cannot requeue a dead letter. Start a new job"):
        job.requeue_dead_letter(job.dead_letters[0].id)


def test_a_letter_requeued_to_a_paused_job_waits_for_its_resume(
    stepped: Runtime, chain: Chain, gate: Gate, turn: Callable[..., None]
) -> None:
    job = stepped.exec(chain(gate.handler, error_handler=SKIP), entry_params={"n": 5}, keep_alive=True)
    turn("a", "a", "supervisor", "a")
    stepped.pause_job(job)
    gate.is_open = True

    job.requeue_dead_letter(job.dead_letters[0].id)
    status = job.status
    job.close()
    stepped.resume_job(job).wait()

    assert (status, job.status, numbers(job, "a.out")) == ("paused", "completed", [5])


def test_a_purged_letter_is_gone(run: Run, chain: Chain, gate: Gate) -> None:
    job = run(chain(send, gate.handler, error_handler=SKIP))

    job.purge_dead_letter(job.dead_letters[1].id)

    assert [letter.payload["n"] for letter in job.dead_letters] == [0, 2]
    assert job.status == "completed"


@pytest.mark.parametrize("action", ["requeue_dead_letter", "purge_dead_letter"])
def test_an_unknown_letter_is_an_error_with_a_remedy(run: Run, chain: Chain, gate: Gate, action: str) -> None:
    job = run(chain(gate.handler, error_handler=SKIP))

    with pytest.raises(DeadLetterNotFoundError, match=r"has no dead letter 'x'. Take an id from its dead_letters"):
        getattr(job, action)("x")


def test_a_letter_cannot_be_requeued_twice(run: Run, chain: Chain, gate: Gate) -> None:
    job = run(chain(gate.handler, error_handler=SKIP))
    letter = job.dead_letters[0].id
    gate.is_open = True
    job.requeue_dead_letter(letter)
    job.wait()

    with pytest.raises(DeadLetterNotFoundError, match=r"a requeued or purged one is gone"):
        job.requeue_dead_letter(letter)


def test_a_failed_activation_is_one_letter_requeued_whole(run: Run, chain: Chain) -> None:
    calls: list[Any] = []
    flow = chain(send, lambda self, n: None)

    def logic(slot_data: dict[str, list[Any]], _message: Any, _job: Any) -> None:
        calls.append([payload["n"] for payload in slot_data["input"]])
        if len(calls) == 1:
            raise ValueError

    flow.routines["b"].set_logic(logic)
    flow.routines["b"].set_activation_policy(batch_size_policy(3))
    flow.routines["b"].set_error_handler(SKIP)
    job = run(flow)
    (letter,) = job.dead_letters
    job.requeue_dead_letter(letter.id)
    job.wait()

    assert [message.payload["n"] for message in letter.messages] == [0, 1, 2]
    assert calls == [[0, 1, 2], [0, 1, 2]]


def test_a_letter_of_a_join_goes_back_to_the_slots_it_came_from(run: Run) -> None:
    class Join(Routine):
        def __init__(self) -> None:
            super().__init__()
            self.define_slot("left")
            self.define_slot("right")
            self.define_event("out")
            self.set_logic(self.join)
            self.set_activation_policy(all_slots_ready_policy())

        def join(self, slot_data: dict[str, list[Any]], _message: Any, _job: Any) -> None:
            calls.append(slot_data)
            if len(calls) == 1:
                raise ValueError

    calls: list[dict[str, list[Any]]] = []
    flow = _both_sides(Join())
    job = run(flow)
    job.requeue_dead_letter(job.dead_letters[0].id)
    job.wait()

    assert calls == [{"left": [{"side": "left"}], "right": [{"side": "right"}]}] * 2
    assert (job.status, job.dead_letters) == ("completed", [])


def _both_sides(join: Routine) -> Flow:
    class Start(Routine):
        def __init__(self) -> None:
            super().__init__()
            self.define_event("left")
            self.define_event("right")

        def __call__(self) -> None:
            self.emit("left", side="left")
            self.emit("right", side="right")

    flow = Flow("flow", error_handler=SKIP)
    flow.add_routine(Start(), "a")
    flow.add_routine(join, "b")
    flow.connect("a.left", "b.left")
    flow.connect("a.right", "b.right")
    return flow


def test_a_letter_requeued_after_its_runtime_left_waits_for_resume(chain: Chain, gate: Gate) -> None:
    flow = chain(gate.handler, error_handler=SKIP)
    job = flow.execute(entry_params={"n": 5})
    gate.is_open = True

    job.requeue_dead_letter(job.dead_letters[0].id)
    status = job.status
    flow.resume(job)

    assert (status, job.status, numbers(job, "a.out")) == ("paused", "completed", [5])
