"""RoutineTester: a routine by itself shows what it emitted, kept and raised, and when."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from types import MethodType
from typing import Any

import pytest

from flowforge.activation_policies import all_slots_ready_policy, batch_size_policy, time_interval_policy
from flowforge.error_handler import ErrorHandler, ErrorStrategy
from flowforge.flow import Flow
from flowforge.graph_errors import FlowValidationError, NotARoutineError, PayloadMismatchError
from flowforge.job_errors import SlotQueueFullError, UnknownTargetError
from flowforge.job_status import JobStatus
from flowforge.option_errors import OptionError
from flowforge.records import RetryScheduled
from flowforge.routine import Routine
from flowforge.stores.codec_errors import UnencodableValueError
from flowforge.testing.routine_tester import RoutineTester
from flowforge.testing.routine_tester_errors import EndlessRoutineError, RoutineStoppedError, RoutineTesterEndedError

Handler = Callable[..., Any]
Slots = Mapping[str, list[dict[str, Any]]]


class Pay(Routine):
    """Pays what it is asked to, and refuses what is negative."""

    def __init__(self, limit: float = 100) -> None:
        super().__init__()
        self.limit = limit
        self.state.update(paid=0, seen=[])
        self.define_slot("input", handler=self.pay)
        self.define_slot("ask", handler=self.ask)
        self.define_event("paid")

    def pay(self, amount: float, currency: str = "EUR") -> None:
        self.state["paid"] += amount
        self.state["seen"].append(amount)
        self.emit("paid", amount=amount)
        self.send_output("receipt", amount=amount)
        self.job_state.shared_data.add("total", amount)
        if not 0 <= amount <= self.limit:
            raise ValueError(f"cannot pay {amount}")

    def ask(self) -> None:
        self.emit("paid", at=self.now(), key=self.idempotency_key(), drawn=self.random.random())


def routine_of(handler: Handler, **options: Any) -> Routine:
    """A routine whose slot `input` calls `handler(self, ...)`, with the event `out`."""
    routine = Routine()
    routine.define_slot("input", handler=MethodType(handler, routine), **options)
    routine.define_event("out")
    return routine


def joining(*slots: str) -> Routine:
    """A routine whose logic emits what its slots held."""
    routine = Routine()
    for slot in slots:
        routine.define_slot(slot)
    routine.define_event("out")

    def logic(slot_data: Slots, policy_message: object, job_state: object) -> None:
        routine.emit("out", **{slot: [p["n"] for p in payloads] for slot, payloads in slot_data.items()})

    routine.set_logic(logic)
    return routine


def failing(times: int) -> Handler:
    """A handler that emits, and raises at its first calls."""
    left = [times]

    def fail(self: Routine, n: int = 0) -> None:
        self.emit("out", n=n)
        if left[0]:
            left[0] -= 1
            raise ConnectionError(f"{left[0]} left")

    return fail


def retry(**options: Any) -> ErrorHandler:
    return ErrorHandler(ErrorStrategy.RETRY, **options)


# One call


def test_a_call_shows_what_a_handler_did() -> None:
    tester = RoutineTester(Pay())

    step = tester.call("input", amount=3)

    assert step.emitted == [("paid", {"amount": 3})]
    assert step.outputs == [("receipt", {"amount": 3})]
    assert (step.is_committed, step.attempts, step.error, step.dead_letters) == (True, 1, None, [])


def test_each_call_shows_only_its_own_effects() -> None:
    tester = RoutineTester(Pay())
    tester.call("input", amount=1)

    step = tester.call("input", amount=2)

    assert step.emitted == [("paid", {"amount": 2})]
    assert tester.emitted == [("paid", {"amount": 1}), ("paid", {"amount": 2})]
    assert [data["amount"] for _, data in tester.outputs] == [1, 2]


def test_state_and_shared_data_are_those_committed() -> None:
    tester = RoutineTester(Pay())

    tester.call("input", amount=3)

    assert tester.state == {"paid": 3, "seen": [3]}
    assert tester.shared_data == {"total": 3}


def test_given_state_is_laid_over_the_initial_one() -> None:
    tester = RoutineTester(Pay(), state={"paid": 10})

    assert tester.state == {"paid": 10, "seen": []}

    tester.call("input", amount=3)

    assert tester.state == {"paid": 13, "seen": [3]}


def test_given_shared_data_is_there_before_the_start() -> None:
    class Reader(Pay):
        def on_start(self) -> None:
            self.first = 1

    tester = RoutineTester(Reader(), shared_data={"total": 5})

    tester.call("input", amount=3)

    assert tester.shared_data["total"] == 8


def test_what_was_given_is_not_changed() -> None:
    state, shared_data, routine = {"seen": [1]}, {"list": [1]}, Pay()
    tester = RoutineTester(routine, state=state, shared_data=shared_data)

    tester.call("input", amount=3)

    assert (state, shared_data) == ({"seen": [1]}, {"list": [1]})
    assert RoutineTester(Pay()).state == {"paid": 0, "seen": []}


def test_a_routine_without_slots_is_called_by_its_call() -> None:
    class Doubler(Routine):
        def __call__(self, n: int) -> None:
            self.state["doubled"] = 2 * n

    tester = RoutineTester(Doubler())

    tester.call(n=4)

    assert tester.state == {"doubled": 8}


def test_payloads_may_have_any_keys() -> None:
    tester = RoutineTester(routine_of(lambda self, **kwargs: self.emit("out", **kwargs)))

    step = tester.call("input", slot=1, **{"two words": 2})

    assert step.emitted == [("out", {"slot": 1, "two words": 2})]


def test_what_cannot_be_delivered_raises_at_the_call() -> None:
    tester = RoutineTester(Pay())

    with pytest.raises(PayloadMismatchError, match=r"'amount'"):
        tester.call("input", currency="USD")
    with pytest.raises(UnknownTargetError, match=r"no slot of the routine 'pay' named 'inptu'"):
        tester.call("inptu", amount=3)

    assert tester.call("input", amount=3).is_committed


def test_a_slot_that_is_full_raises_at_the_call() -> None:
    routine = joining()
    routine.define_slot("many", max_queue_length=2)
    routine.set_activation_policy(batch_size_policy(3))
    tester = RoutineTester(routine)
    tester.call("many", n=1)
    tester.call("many", n=2)

    with pytest.raises(SlotQueueFullError, match=r"The slot 'routine.many' is full"):
        tester.call("many", n=3)


def test_an_outcome_prints_what_it_shows() -> None:
    step = RoutineTester(Pay()).call("input", amount=-1)

    assert repr(step) == (
        "RoutineOutcome(emitted=[], outputs=[], errors=['ValueError: cannot pay -1'], "
        "attempts=1, is_committed=False, dead_letters=0)"
    )


# Kinds of handlers


def test_yields_of_a_generator_are_shown_in_order() -> None:
    def count(self: Routine, n: int) -> Iterator[None]:
        for number in range(n):
            self.state["at"] = number
            self.emit("out", n=number)
            yield

    step = RoutineTester(routine_of(count)).call("input", n=3)

    assert [payload["n"] for _, payload in step.emitted] == [0, 1, 2]
    assert (step.attempts, step.is_committed) == (1, True)


def test_a_generator_that_raises_keeps_what_it_yielded() -> None:
    def count(self: Routine) -> Iterator[None]:
        self.emit("out", n=1)
        yield
        self.emit("out", n=2)
        raise ValueError("enough")

    step = RoutineTester(routine_of(count)).call("input")

    assert (step.emitted, step.is_committed) == ([("out", {"n": 1})], False)


def test_an_async_handler_ends_when_time_has_passed() -> None:
    async def sleep(self: Routine) -> None:
        await asyncio.sleep(5)
        self.emit("out", at=self.now())

    tester = RoutineTester(routine_of(sleep))
    began = tester.now()

    assert not tester.call("input").is_committed
    assert tester.advance(4.5).emitted == []
    assert tester.advance(1.0).emitted == [("out", {"at": began + 5})]
    assert tester.now() == began + 5.5


def test_an_async_generator_yields_as_time_passes() -> None:
    async def tick(self: Routine) -> AsyncIterator[None]:
        for number in range(2):
            self.state["at"] = number
            self.emit("out", n=number)
            yield
            await asyncio.sleep(1)

    tester = RoutineTester(routine_of(tick))

    assert tester.call("input").emitted == [("out", {"n": 0})]
    assert tester.advance(1.0).emitted == [("out", {"n": 1})]
    assert tester.advance(1.0).is_committed


def test_two_testers_see_the_same_time_and_randomness() -> None:
    one, two = RoutineTester(Pay()), RoutineTester(Pay())

    assert one.call("ask").emitted == two.call("ask").emitted


def test_replicas_work_side_by_side_in_virtual_time() -> None:
    async def sleep(self: Routine, n: int) -> None:
        await asyncio.sleep(10 - n)
        self.state["done"] = self.state.get("done", 0) + 1
        self.emit("out", n=n)

    routine = routine_of(sleep)
    routine.set_concurrency(3)
    tester = RoutineTester(routine, state={"done": 1})
    for number in range(3):
        tester.call("input", n=number)

    assert [payload["n"] for _, payload in tester.advance(10.0).emitted] == [0, 1, 2]
    assert tester.state == {"done": 6}


def test_merged_payloads_gather_over_calls() -> None:
    routine = routine_of(lambda self, n: self.emit("out", n=list(n)), merge_strategy="append")
    tester = RoutineTester(routine)

    tester.call("input", n=1)

    assert tester.call("input", n=2).emitted == [("out", {"n": [1, 2]})]


# Policies


def test_calls_fill_a_join() -> None:
    routine = joining("left", "right")
    routine.set_activation_policy(all_slots_ready_policy())
    tester = RoutineTester(routine)

    waiting = tester.call("left", n=1)

    assert (waiting.is_committed, waiting.attempts, waiting.error) == (False, 0, None)
    assert tester.call("right", n=2).emitted == [("out", {"left": [1], "right": [2]})]


def test_draining_releases_what_a_batch_holds_back() -> None:
    routine = joining("many")
    routine.set_activation_policy(batch_size_policy(3))
    tester = RoutineTester(routine)
    tester.call("many", n=1)

    assert tester.drain().emitted == [("out", {"many": [1]})]
    assert tester.job_state.status is JobStatus.COMPLETED


def test_draining_gives_up_what_a_join_cannot_match() -> None:
    routine = joining("left", "right")
    routine.set_activation_policy(all_slots_ready_policy())
    tester = RoutineTester(routine)
    tester.call("left", n=1)

    step = tester.drain()

    assert [(letter.slots, letter.payload) for letter in step.dead_letters] == [(("left",), {"n": 1})]
    assert tester.dead_letters == step.dead_letters


def test_a_policy_of_time_releases_as_time_passes() -> None:
    routine = joining("many")
    routine.set_activation_policy(time_interval_policy(2.0))
    tester = RoutineTester(routine)

    emitted = [tester.call("many", n=1).emitted, tester.call("many", n=2).emitted, tester.advance(2.0).emitted]

    released = [n for step in emitted for _, payload in step for n in payload["many"]]
    assert released == [1, 2]
    assert emitted[1] == []


# Errors


def test_a_failed_attempt_leaves_only_its_error() -> None:
    tester = RoutineTester(Pay())

    step = tester.call("input", amount=-1)

    assert (step.emitted, step.outputs, step.is_committed, step.attempts) == ([], [], False, 1)
    assert step.error is not None
    assert (step.error.type, step.error.text) == ("ValueError", "cannot pay -1")
    assert (tester.state["paid"], dict(tester.shared_data)) == (0, {})


def test_a_stopped_routine_says_so_when_it_is_called() -> None:
    tester = RoutineTester(Pay())
    tester.call("input", amount=-1)

    stopped = r"The routine 'pay' was stopped by 'ValueError: cannot pay -1', so it takes no more calls\. Give it"
    with pytest.raises(RoutineStoppedError, match=stopped) as caught:
        tester.call("input", amount=1)
    with pytest.raises(RoutineStoppedError, match=stopped):
        tester.drain()

    assert tester.errors == [caught.value.error]
    assert tester.advance(1.0).records == ()


@pytest.mark.parametrize("strategy", ["skip", "continue"])
def test_a_message_that_is_given_up_is_a_dead_letter(strategy: str) -> None:
    routine = Pay()
    routine.set_as_optional(strategy)
    tester = RoutineTester(routine)

    step = tester.call("input", amount=-1)

    assert [(letter.payload, letter.strategy) for letter in step.dead_letters] == [({"amount": -1}, strategy)]
    assert step.error is not None
    assert tester.call("input", amount=1).is_committed


def test_a_dead_letter_can_be_tried_again() -> None:
    routine = routine_of(failing(1))
    routine.set_as_optional()
    tester = RoutineTester(routine)
    tester.call("input", n=7)

    tester.job_state.requeue_dead_letter(tester.dead_letters[0].id)

    assert tester.advance(0.0).emitted == [("out", {"n": 7})]
    assert tester.dead_letters == []


def test_a_retry_waits_for_its_delay() -> None:
    routine = routine_of(failing(1))
    routine.set_error_handler(retry(max_retries=2, retry_delay=5.0))
    tester = RoutineTester(routine)

    first, early, late = tester.call("input", n=7), tester.advance(4.0), tester.advance(1.0)

    assert (first.attempts, first.is_committed, len(first.errors)) == (1, False, 1)
    assert [record.delay for record in first.records if isinstance(record, RetryScheduled)] == [5.0]
    assert early.attempts == 0
    assert (late.emitted, late.error) == ([("out", {"n": 7})], None)


def test_retries_without_delay_are_counted_in_the_call() -> None:
    routine = routine_of(failing(2))
    routine.set_error_handler(retry(max_retries=2, retry_delay=0))

    step = RoutineTester(routine).call("input", n=7)

    assert (step.attempts, step.is_committed, step.emitted) == (3, True, [("out", {"n": 7})])
    assert [error.text for error in step.errors] == ["1 left", "0 left"]
    assert step.error == step.errors[-1]


def test_the_same_error_twice_is_two_errors() -> None:
    routine = Pay()
    routine.set_error_handler(retry(max_retries=1, retry_delay=0))

    step = RoutineTester(routine).call("input", amount=-1)

    assert [error.text for error in step.errors] == ["cannot pay -1"] * 2


def test_draining_lets_retries_come_due() -> None:
    routine = routine_of(failing(2))
    routine.set_error_handler(retry(max_retries=2, retry_delay=60.0))
    tester = RoutineTester(routine)
    tester.call("input", n=7)

    assert tester.drain().emitted == [("out", {"n": 7})]


def test_an_async_handler_fails_at_its_timeout() -> None:
    async def sleep(self: Routine) -> None:
        await asyncio.sleep(60)

    routine = routine_of(sleep)
    routine.set_timeout(2.0)
    tester = RoutineTester(routine)

    assert tester.call("input").error is None
    error = tester.advance(2.0).error
    assert error is not None
    assert error.type == "StepTimeoutError"


def test_a_start_that_fails_shows_in_the_next_outcome() -> None:
    class Refused(Pay):
        def on_start(self) -> None:
            raise ConnectionError("refused")

    tester = RoutineTester(Refused())

    assert [error.text for error in tester.errors] == ["refused"]

    step = tester.call("input", amount=1)

    assert step.error is not None
    assert (step.error.text, step.attempts) == ("refused", 0)


def test_a_start_that_never_succeeds_stops_the_routine() -> None:
    class Refused(Pay):
        def on_start(self) -> None:
            raise ConnectionError("refused")

    tester = RoutineTester(Refused())
    tester.advance(3600.0)

    with pytest.raises(RoutineStoppedError, match="'ConnectionError: refused'"):
        tester.call("input", amount=1)


# Begin and end


class Hooked(Pay):
    """Writes into a diary when it starts and stops."""

    def __init__(self, diary: list[str]) -> None:
        super().__init__()
        self.diary = diary

    def on_start(self) -> None:
        self.diary.append("start")

    def on_stop(self) -> None:
        self.diary.append("stop")


def test_hooks_run_when_the_tester_opens_and_closes() -> None:
    diary: list[str] = []

    with RoutineTester(Hooked(diary)):
        assert diary == ["start"]

    assert diary == ["start", "stop"]


def test_draining_stops_the_routine_once() -> None:
    diary: list[str] = []

    with RoutineTester(Hooked(diary)) as tester:
        tester.drain()
        assert diary == ["start", "stop"]

    assert diary == ["start", "stop"]


@pytest.mark.parametrize(("end", "status"), [(RoutineTester.drain, "completed"), (RoutineTester.close, "paused")])
def test_a_tester_that_has_ended_takes_no_calls(end: Callable[[RoutineTester], object], status: str) -> None:
    tester = RoutineTester(Pay())
    end(tester)

    ended = rf"The tester of the routine 'pay' has ended with its job '{status}', so it takes no more calls\. Make"
    with pytest.raises(RoutineTesterEndedError, match=ended):
        tester.call("input", amount=1)
    with pytest.raises(RoutineTesterEndedError, match=ended):
        tester.drain()


def test_closing_stops_in_the_middle_of_things() -> None:
    async def sleep(self: Routine) -> None:
        await asyncio.sleep(60)
        self.emit("out")

    tester = RoutineTester(routine_of(sleep))
    tester.call("input")

    tester.close()
    tester.close()

    assert (tester.emitted, tester.job_state.status) == ([], JobStatus.PAUSED)


def test_a_closed_tester_can_be_looked_at() -> None:
    with RoutineTester(Pay()) as tester:
        tester.call("input", amount=3)

    assert tester.state["paid"] == 3
    assert repr(tester) == "<RoutineTester of 'pay': paused>"


def test_a_template_is_free_again_once_closed() -> None:
    routine = Pay()

    with RoutineTester(routine) as tester:
        tester.call("input", amount=3)

    assert Flow("flow").add_routine(routine, "another") == "another"
    assert routine.stats()["paid"] == 3


def test_a_template_of_a_flow_keeps_its_id() -> None:
    flow, routine = Flow("flow"), Pay()
    flow.add_routine(routine, "till")

    with RoutineTester(routine) as tester:
        assert tester.routine_id == "till"

    assert routine.routine_id == "till"
    assert flow.execute("till", {"amount": 3}, "input").status is JobStatus.COMPLETED


def test_an_endless_handler_is_reported_not_awaited() -> None:
    def count(self: Routine) -> Iterator[None]:
        while True:
            self.emit("out")
            yield

    with RoutineTester(routine_of(count), max_turns=20) as tester:
        endless = r"The routine 'routine' still ran after 20 turns\. Let its handler end, or give"
        with pytest.raises(EndlessRoutineError, match=endless):
            tester.call("input")

    assert len(tester.emitted) > 5


# Wrong use


@pytest.mark.parametrize("option", ["state", "shared_data"])
def test_given_values_must_be_a_dict_of_data(option: str) -> None:
    not_a_dict: dict[str, Any] = {option: [1]}
    not_data: dict[str, Any] = {option: {"client": object()}}

    with pytest.raises(OptionError, match=rf"A RoutineTester cannot take {option}=\[1\]\. Give a dict"):
        RoutineTester(Pay(), **not_a_dict)
    with pytest.raises(UnencodableValueError, match="client"):
        RoutineTester(Pay(), **not_data)


@pytest.mark.parametrize("seconds", [-1.0, float("inf"), float("nan")])
def test_only_a_finite_time_can_pass(seconds: float) -> None:
    tester = RoutineTester(Pay())

    with pytest.raises(OptionError, match=r"RoutineTester\.advance cannot take seconds="):
        tester.advance(seconds)


def test_other_options_are_checked_when_it_is_made() -> None:
    with pytest.raises(OptionError, match="A RoutineTester cannot take max_turns=0"):
        RoutineTester(Pay(), max_turns=0)
    with pytest.raises(NotARoutineError, match="Pay"):
        RoutineTester(Pay)  # type: ignore[arg-type]  # the mistake under test


@pytest.mark.parametrize("use", [lambda t: t.call("input", amount=1), lambda t: t.advance(1.0), lambda t: t.drain()])
def test_a_handler_cannot_use_a_tester(use: Callable[[RoutineTester], object]) -> None:
    other = RoutineTester(Pay())

    step = RoutineTester(routine_of(lambda self: use(other))).call("input")

    assert step.error is not None
    assert step.error.text.startswith("A handler cannot wait for a RoutineTester.")
    assert other.emitted == []


def test_a_routine_that_cannot_be_run_is_freed() -> None:
    routine = Pay()
    routine.set_activation_policy(batch_size_policy(2, "unknown"))

    with pytest.raises(FlowValidationError, match="'unknown'"):
        RoutineTester(routine)
    assert routine.routine_id is None


def test_a_constructor_that_raises_is_told_of_the_call() -> None:
    made: list[str] = []

    class Once(Pay):
        def __init__(self) -> None:
            super().__init__()
            made.append("once")
            if len(made) > 1:
                raise RuntimeError("only once")

    outcome = RoutineTester(Once()).call("input", amount=1)

    assert (outcome.is_committed, outcome.error is not None and outcome.error.text) == (False, "only once")
