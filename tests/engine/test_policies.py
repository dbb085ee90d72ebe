"""When a logic is called, and what becomes of what is left over."""

from collections.abc import Callable
from typing import Any

import pytest

from actors.testing.stepped_dispatcher import SteppedDispatcher
from flowforge.activation_policies import (
    Activation,
    ActivationPolicy,
    Waiting,
    all_slots_ready_policy,
    batch_size_policy,
    custom_policy,
    immediate_policy,
    time_interval_policy,
)
from flowforge.flow import Flow
from flowforge.job_state import JobState
from flowforge.routine import Routine
from flowforge.runtime import Runtime

Run = Callable[..., JobState]


class Sender(Routine):
    """Emits `n = 0, 1, 2 ...` on each of its events, as many as the entry says."""

    def __init__(self, *events: str) -> None:
        super().__init__()
        for event in events:
            self.define_event(event)

    def __call__(self, **counts: int) -> None:
        for event, count in counts.items():
            for number in range(count):
                self.emit(event, n=number)


class Gathering(Routine):
    """Emits what its logic was called with, numbers only."""

    def __init__(self, *slots: str) -> None:
        super().__init__()
        for slot in slots:
            self.define_slot(slot)
        self.define_event("out")
        self.set_logic(self.tell)

    def tell(self, slot_data: dict[str, list[Any]], message: Any, job_state: JobState) -> None:
        got = {slot: [payload["n"] for payload in payloads] for slot, payloads in slot_data.items()}
        self.emit("out", got=got, message=dict(message), job_id=job_state.job_id)


def gathering(policy: Any, *slots: str) -> Flow:
    slots = slots or ("left", "right")
    flow = Flow("flow")
    flow.add_routine(Sender(*slots), "a")
    flow.add_routine(Gathering(*slots), "b")
    for slot in slots:
        flow.connect(f"a.{slot}", f"b.{slot}")
    if policy is not None:
        flow.routines["b"].set_activation_policy(policy)
    return flow


def got(job: JobState) -> list[dict[str, list[int]]]:
    return [payload["got"] for payload in job.outputs.get("b.out", [])]


def unmatched(job: JobState) -> list[tuple[tuple[str, ...], int]]:
    return [(letter.slots, letter.payload["n"]) for letter in job.dead_letters if letter.strategy == "unmatched"]


@pytest.mark.parametrize("policy", [None, immediate_policy()], ids=["default", "immediate"])
def test_immediate_calls_the_logic_for_each_message(run: Run, policy: ActivationPolicy | None) -> None:
    job = run(gathering(policy), left=2, right=1)

    assert sorted(map(str, got(job))) == ["{'left': [0]}", "{'left': [1]}", "{'right': [0]}"]
    assert job.dead_letters == []


def test_a_logic_gets_slot_data_message_and_job_state(run: Run) -> None:
    job = run(gathering(immediate_policy()), left=1)

    (payload,) = job.outputs["b.out"]
    assert payload == {"got": {"left": [0]}, "message": {"policy": "immediate"}, "job_id": job.job_id}


def test_a_batch_holds_exactly_its_size_and_the_rest_is_drained(run: Run) -> None:
    job = run(gathering(batch_size_policy(3), "input"), input=8)

    assert got(job) == [{"input": [0, 1, 2]}, {"input": [3, 4, 5]}, {"input": [6, 7]}]
    assert [p["message"]["is_remainder"] for p in job.outputs["b.out"]] == [False, False, True]
    assert (job.status, job.dead_letters) == ("completed", [])


def test_a_batch_of_one_slot_takes_along_what_the_others_hold(run: Run) -> None:
    job = run(gathering(batch_size_policy(2, slot="left")), left=2, right=3)

    taken = [(len(batch.get("left", [])), len(batch.get("right", []))) for batch in got(job)]
    assert [sum(side) for side in zip(*taken, strict=True)] == [2, 3]


def test_all_slots_ready_pairs_in_order(run: Run) -> None:
    job = run(gathering(all_slots_ready_policy()), left=3, right=3)

    assert got(job) == [{"left": [n], "right": [n]} for n in range(3)]


def test_what_a_join_cannot_match_becomes_dead_letters(run: Run) -> None:
    job = run(gathering(all_slots_ready_policy()), left=3, right=1)

    assert got(job) == [{"left": [0], "right": [0]}]
    assert unmatched(job) == [(("left",), 1), (("left",), 2)]
    assert job.status == "completed"


def test_an_unmatched_letter_may_be_requeued_and_is_given_up_again(run: Run) -> None:
    job = run(gathering(all_slots_ready_policy()), left=1)
    (letter,) = job.dead_letters

    job.requeue_dead_letter(letter.id)
    assert job.wait(30)

    assert (job.status, unmatched(job)) == ("completed", [(("left",), 0)])


def test_a_drained_batch_may_set_others_to_work(run: Run) -> None:
    flow = gathering(batch_size_policy(3), "input")
    flow.add_routine(Gathering("input"), "c")
    flow.routines["c"].set_activation_policy(batch_size_policy(2))
    flow.connect("b.out", "c.input", param_mapping={"got": "n"})

    job = run(flow, input=7)

    assert [len(payload["got"]["input"]) for payload in job.outputs["c.out"]] == [2, 1]


def test_the_topologically_first_routine_is_drained_first(run: Run) -> None:
    flow = gathering(batch_size_policy(2), "input")
    flow.add_routine(Gathering("input"), "c")
    flow.routines["c"].set_activation_policy(batch_size_policy(2))
    flow.connect("b.out", "c.input", param_mapping={"got": "n"})

    job = run(flow, input=3)

    assert [payload["got"]["input"] for payload in job.outputs["c.out"]] == [[{"input": [0, 1]}, {"input": [2]}]]


def test_time_interval_calls_the_logic_once_per_interval(stepped: Runtime, dispatcher: SteppedDispatcher) -> None:
    job = stepped.exec(gathering(time_interval_policy(10.0), "input"), "a", {"input": 3}, keep_alive=True)
    job.wait(5.0)
    early = got(job)
    job.wait(5.0)
    due = got(job)
    stepped.post(job, "a", "trigger", {"input": 1})
    job.wait(10.0)

    assert (early, due) == ([], [{"input": [0, 1, 2]}])
    assert got(job) == [{"input": [0, 1, 2]}, {"input": [0]}]


def test_a_pending_interval_counts_as_something_that_can_run(stepped: Runtime, dispatcher: SteppedDispatcher) -> None:
    job = stepped.exec(gathering(time_interval_policy(10.0), "input"), "a", {"input": 3})
    job.wait()

    assert [payload["message"]["is_remainder"] for payload in job.outputs["b.out"]] == [False]
    assert dispatcher.clock.monotonic() == 10.0


def decide_three(waiting: Waiting) -> Activation | None:
    if waiting.counts["input"] < 3:
        return None
    return Activation({"input": 2}, {"first": waiting.payloads("input")[0]["n"], "left": 1})


def test_a_custom_policy_takes_what_it_says(run: Run) -> None:
    job = run(gathering(custom_policy(decide_three), "input"), input=4)

    assert got(job) == [{"input": [0, 1]}]
    assert job.outputs["b.out"][0]["message"] == {"first": 0, "left": 1}
    assert unmatched(job) == [(("input",), 2), (("input",), 3)]


def test_a_function_is_a_custom_policy(run: Run) -> None:
    assert got(run(gathering(decide_three, "input"), input=3)) == [{"input": [0, 1]}]


def test_a_custom_policy_may_drain_its_remainder(run: Run) -> None:
    policy = custom_policy(decide_three, drain=lambda waiting: Activation(dict(waiting.counts)))

    job = run(gathering(policy, "input"), input=4)

    assert got(job) == [{"input": [0, 1]}, {"input": [2, 3]}]
    assert job.dead_letters == []


def test_a_custom_policy_may_ask_to_be_asked_again(stepped: Runtime, dispatcher: SteppedDispatcher) -> None:
    def decide(waiting: Waiting) -> Activation | None:
        oldest = waiting.oldest
        is_old = oldest is not None and waiting.now - oldest >= 7.0
        return Activation(dict(waiting.counts)) if is_old else None

    policy = custom_policy(decide, next_check=lambda waiting: 3.5)
    job = stepped.exec(gathering(policy, "input"), "a", {"input": 2})
    job.wait()

    assert (got(job), dispatcher.clock.monotonic()) == ([{"input": [0, 1]}], 7.0)


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (Activation({"input": 9}), "Take no more than the"),
        (Activation({"nowhere": 1}), "There is no slot 'nowhere'"),
        (Activation({"input": 0}), "Take at least one message, or return None to wait"),
        ("now", "Return Activation"),
    ],
)
def test_an_answer_that_cannot_be_carried_out_fails_the_job(run: Run, answer: Any, message: str) -> None:
    job = run(gathering(custom_policy(lambda waiting: answer), "input"), input=2)

    assert job.status == "failed"
    assert job.error is not None
    assert job.error.type == "PolicyAnswerError"
    assert message in job.error.text


def test_a_policy_that_raises_fails_the_job_and_keeps_the_messages(run: Run) -> None:
    def decide(waiting: Waiting) -> Activation | None:
        raise LookupError("policy")

    job = run(gathering(custom_policy(decide), "input"), input=2)

    assert job.status == "failed"
    assert job.error is not None
    assert job.error.text == "policy"
    assert len(job.data.pending["b", "input"]) == 2


def test_a_job_always_ends_even_if_a_policy_always_waits(run: Run) -> None:
    job = run(gathering(custom_policy(lambda waiting: None), "input"), input=3)

    assert (job.status, len(unmatched(job))) == ("completed", 3)


def test_a_job_kept_alive_is_not_drained_until_it_is_closed(stepped: Runtime, dispatcher: SteppedDispatcher) -> None:
    job = stepped.exec(gathering(batch_size_policy(3), "input"), "a", {"input": 2}, keep_alive=True)
    dispatcher.run_until_idle()
    before = got(job)
    job.close()
    job.wait()

    assert (before, got(job)) == ([], [{"input": [0, 1]}])


def test_an_activation_that_fails_is_retried_with_the_same_messages(run: Run) -> None:
    flow = gathering(batch_size_policy(2), "input")
    calls: list[Any] = []

    def logic(slot_data: Any, message: Any, job_state: Any) -> None:
        calls.append([payload["n"] for payload in slot_data["input"]])
        if len(calls) == 1:
            raise LookupError

    flow.routines["b"].set_logic(logic)
    flow.routines["b"].set_as_critical(retry_delay=0.0)
    run(flow, input=4)

    assert calls == [[0, 1], [0, 1], [2, 3]]


def test_half_filled_joins_survive_a_pause(stepped: Runtime, dispatcher: SteppedDispatcher) -> None:
    job = stepped.exec(gathering(all_slots_ready_policy()), "a", {"left": 1}, keep_alive=True)
    dispatcher.run_until_idle()
    stepped.pause_job(job)
    stepped.resume_job(job)
    stepped.post(job, "b", "right", {"n": 5})
    dispatcher.run_until_idle()

    assert got(job) == [{"left": [0], "right": [5]}]
