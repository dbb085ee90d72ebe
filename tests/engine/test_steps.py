"""A handler call is a transaction: its effects take place together, or not at all."""

from collections.abc import Callable
from typing import Any

import pytest

from actors.testing.stepped_dispatcher import SteppedDispatcher
from flowforge._engine.message_ids import child_id, entry_id
from flowforge.flow import Flow
from flowforge.job_state import JobState
from flowforge.records import StepCommitted
from flowforge.routine import Routine
from flowforge.runtime import Runtime

Chain = Callable[..., Flow]
Run = Callable[..., JobState]
Turn = Callable[..., None]


def do_everything(self: Routine, n: int = 0) -> None:
    self.state["n"] = n
    self.emit("out", n=n)
    self.job_state.shared_data["n"] = n
    self.job_state.shared_log.append(n)
    self.send_output("report", n=n)


def do_everything_and_raise(self: Routine, n: int = 0) -> None:
    do_everything(self, n)
    raise LookupError(n)


def effects_of(job: JobState) -> list[Any]:
    return [
        job.get_routine_state("a").get("n"),
        job.outputs.get("a.out"),
        dict(job.shared_data),
        list(job.shared_log),
        [entry["data"] for entry in job.output_log],
    ]


ALL: list[Any] = [1, [{"n": 1}], {"n": 1}, [1], [{"n": 1}]]
NONE: list[Any] = [None, None, {}, [], []]


def test_all_effects_of_a_step_take_place_when_it_returns(run: Run, chain: Chain) -> None:
    job = run(chain(do_everything), n=1)

    assert effects_of(job) == ALL


def test_a_step_that_raises_after_its_effects_leaves_no_trace(run: Run, chain: Chain) -> None:
    job = run(chain(do_everything_and_raise), n=1)

    assert effects_of(job) == NONE


def test_a_failed_attempt_leaves_only_its_failure_record(run: Run, chain: Chain) -> None:
    job = run(chain(do_everything_and_raise), n=1)

    (entry,) = job.execution_history
    assert (entry.routine_id, entry.slot, entry.outcome, entry.attempt) == ("a", "input", "failed", 1)
    assert entry.error == "LookupError: 1"


def test_nothing_is_visible_between_return_and_commit(
    stepped: Runtime, chain: Chain, turn: Turn, ready: Callable[[], list[str]]
) -> None:
    job = stepped.exec(chain(do_everything), entry_params={"n": 1})

    turn("a")
    between = effects_of(job)
    turn("a")

    assert between == NONE
    assert effects_of(job) == ALL


def test_no_message_arrives_before_the_commit(
    stepped: Runtime, chain: Chain, turn: Turn, ready: Callable[[], list[str]]
) -> None:
    stepped.exec(chain(do_everything, do_everything), entry_params={"n": 1})

    turn("a")
    before = ready()
    turn("a")

    assert "b" not in before
    assert "b" in ready()


def test_another_step_reads_shared_data_only_after_the_commit(
    stepped: Runtime, graph: Callable[..., Flow], turn: Turn
) -> None:
    def write(self: Routine) -> None:
        self.job_state.shared_data["x"] = 1

    def read(self: Routine) -> None:
        self.emit("out", x=self.job_state.shared_data.get("x"))

    job = stepped.exec(graph({"w": write, "r": read}))
    turn("w", "r", "w")
    job.wait()

    assert job.outputs["r.out"] == [{"x": None}]


def test_the_message_stays_in_its_slot_until_the_commit(stepped: Runtime, chain: Chain, turn: Turn) -> None:
    job = stepped.exec(chain(do_everything), entry_params={"n": 1})

    turn("a")
    job.cancel()
    job.wait()

    (message,) = job.data.pending["a", "input"]
    assert message.payload == {"n": 1}


def test_a_step_holds_one_position_in_the_order_of_its_job(run: Run, chain: Chain) -> None:
    job = run(chain(do_everything, do_everything), n=1)

    positions = [record.position for record in job.view.history]
    assert positions == list(range(1, len(positions) + 1))


def test_a_payload_reaches_each_receiver_as_its_own_copy(run: Run, graph: Callable[..., Flow]) -> None:
    def start(self: Routine) -> None:
        self.emit("out", n=1)

    def change(self: Routine, **payload: Any) -> None:
        payload["n"] += 1
        self.emit("out", **payload)

    job = run(
        graph({"a": start, "b": change, "c": change}, "a.out -> b.input", "a.out -> c.input"),
    )

    assert job.outputs == {"b.out": [{"n": 2}], "c.out": [{"n": 2}]}


def test_a_message_knows_its_source_job_cause_and_entry(run: Run, chain: Chain) -> None:
    job = run(chain(do_everything, do_everything), n=1)

    entry, caused = (record.messages[0] for record in job.view.history if isinstance(record, StepCommitted))
    assert (entry.source, caused.source, caused.job) == ("", "a.out", job.job_id)
    assert caused.headers == {"correlation": entry.id, "causation": entry.id, "trace": None}


@pytest.mark.parametrize("late", [0, -1], ids=["first ready", "last ready"])
def test_ids_are_the_same_whatever_the_interleaving(graph: Callable[..., Flow], late: int) -> None:
    def double(self: Routine, n: int = 1) -> None:
        self.emit("out", n=n)
        self.emit("out", n=n + 1)

    edges = ["a.out -> b.input", "a.out -> c.input", "b.out -> d.input", "c.out -> d.input"]
    ids = [_ids_of(graph(dict.fromkeys("abcd", double), *edges), choice) for choice in (0, late)]

    assert ids[0] == ids[1]
    assert len(ids[0]) == 1 + 4 + 8


def _ids_of(flow: Flow, choice: int) -> set[int]:
    dispatcher = SteppedDispatcher()
    with Runtime(dispatcher=dispatcher) as runtime:
        job = runtime.exec(flow, entry_params={"n": 0}, job_id="same")
        while dispatcher.choices():
            dispatcher.step(choice)
        return {record.messages[0].id for record in job.view.history if isinstance(record, StepCommitted)}


@pytest.mark.parametrize("failures", [0, 2])
def test_a_retried_step_emits_the_same_ids(run: Run, chain: Chain, failures: int) -> None:
    attempts: list[int] = []

    def flaky(self: Routine) -> None:
        self.emit("out", n=1)
        attempts.append(1)
        if len(attempts) <= failures:
            raise LookupError

    flow = chain(flaky, do_everything)
    flow.routines["a"].set_as_critical(retry_delay=0.0)
    job = run(flow)

    entry, caused = (record.messages[0] for record in job.view.history if isinstance(record, StepCommitted))
    assert (entry.id, caused.id) == (entry_id(job.job_id, 1), child_id(entry_id(job.job_id, 1), 1))


def test_the_idempotency_key_is_the_same_on_every_attempt(run: Run, chain: Chain) -> None:
    keys: list[list[str]] = []

    def flaky(self: Routine) -> None:
        keys.append([self.idempotency_key(), self.idempotency_key()])
        if len(keys) < 3:
            raise LookupError

    flow = chain(flaky)
    flow.routines["a"].set_as_critical(retry_delay=0.0)
    run(flow)

    assert keys[0] == keys[1] == keys[2]
    assert keys[0][0] != keys[0][1]


def test_random_draws_the_same_on_every_attempt(run: Run, chain: Chain) -> None:
    draws: list[float] = []

    def flaky(self: Routine) -> None:
        draws.append(self.random.random())
        if len(draws) < 2:
            raise LookupError

    flow = chain(flaky)
    flow.routines["a"].set_as_critical(retry_delay=0.0)
    run(flow)

    assert draws[0] == draws[1]


def test_now_is_the_time_of_the_runtimes_clock(stepped: Runtime, dispatcher: SteppedDispatcher, chain: Chain) -> None:
    def tell(self: Routine) -> None:
        self.emit("out", at=self.now())

    dispatcher.clock.advance(500)
    job = stepped.exec(chain(tell))
    job.wait()

    assert job.outputs["a.out"] == [{"at": 1_700_000_500.0}]


def test_messages_of_one_connection_arrive_in_the_order_sent(run: Run, chain: Chain) -> None:
    def send(self: Routine) -> None:
        for n in range(200):
            self.emit("out", n=n)

    def pass_on(self: Routine, n: int) -> None:
        self.emit("out", n=n)

    job = run(chain(send, pass_on, pass_on))

    assert [payload["n"] for payload in job.outputs["c.out"]] == list(range(200))


def test_a_routine_works_at_one_message_at_a_time(run: Run, chain: Chain) -> None:
    inside: list[int] = []

    def send(self: Routine) -> None:
        for n in range(100):
            self.emit("out", n=n)

    async def work(self: Routine, n: int) -> None:
        inside.append(n)
        self.emit("out", at_once=len(inside))
        inside.remove(n)

    job = run(chain(send, work))

    assert job.outputs["b.out"] == [{"at_once": 1}] * 100


def test_a_step_of_a_job_that_was_cancelled_commits_nothing(stepped: Runtime, chain: Chain, turn: Turn) -> None:
    job = stepped.exec(chain(do_everything), entry_params={"n": 1})

    turn("a")
    job.cancel("enough")
    turn("a")

    assert job.status == "cancelled"
    assert effects_of(job) == NONE
