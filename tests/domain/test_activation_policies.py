import math
from collections.abc import Mapping
from typing import Any

import pytest

from flowforge.activation_policies import (
    Activation,
    ActivationPolicy,
    Waiting,
    all_slots_ready_policy,
    batch_size_policy,
    check_activation,
    custom_policy,
    immediate_policy,
    policy_from,
    time_interval_policy,
)
from flowforge.option_errors import OptionError, PolicyAnswerError, UnknownPolicySlotError


class SomeWaiting:
    """So many messages in each slot; a payload is its number."""

    def __init__(
        self,
        counts: Mapping[str, int],
        now: float = 0.0,
        oldest: float | None = None,
        last_activation: float | None = None,
    ) -> None:
        self.counts = counts
        self.now = now
        self.oldest = oldest
        self.last_activation = last_activation

    def payloads(self, slot: str) -> list[dict[str, Any]]:
        return [{"n": n} for n in range(self.counts[slot])]


class EveryOther(ActivationPolicy):
    """A policy class as a user writes it."""

    name = "every other"
    needs = frozenset({"a"})

    def decide(self, waiting: Waiting) -> Activation | None:
        return Activation({"a": 2}) if waiting.counts["a"] else None


def taken(activation: Activation | None) -> Mapping[str, int] | None:
    return None if activation is None else activation.take


def test_immediate_takes_one_message_of_the_first_slot_that_has_any() -> None:
    activation = immediate_policy().decide(SomeWaiting({"a": 0, "b": 3, "c": 1}))

    assert activation == Activation({"b": 1}, {"policy": "immediate"})


def test_immediate_waits_for_nothing_else() -> None:
    policy, empty = immediate_policy(), SomeWaiting({"a": 0})

    assert policy.decide(empty) is None
    assert policy.drain(empty) is None
    assert policy.next_check(empty) is None


def test_a_batch_waits_until_it_is_full() -> None:
    policy = batch_size_policy(3)

    assert policy.decide(SomeWaiting({"a": 1, "b": 1})) is None
    assert taken(policy.decide(SomeWaiting({"a": 2, "b": 1}))) == {"a": 2, "b": 1}


def test_a_batch_says_what_it_is() -> None:
    activation = batch_size_policy(1).decide(SomeWaiting({"a": 1}))

    assert activation is not None
    assert activation.message == {"policy": "batch_size", "size": 1, "is_remainder": False}


def test_a_batch_is_shared_out_evenly_so_no_slot_starves() -> None:
    policy = batch_size_policy(4)

    assert taken(policy.decide(SomeWaiting({"busy": 100, "calm": 1, "idle": 0}))) == {"busy": 3, "calm": 1}
    assert taken(policy.decide(SomeWaiting({"a": 9, "b": 9}))) == {"a": 2, "b": 2}


def test_a_batch_counted_in_one_slot_takes_along_what_waits_in_others() -> None:
    policy = batch_size_policy(2, slot="a")

    assert policy.decide(SomeWaiting({"a": 1, "b": 5})) is None
    assert taken(policy.decide(SomeWaiting({"a": 3, "b": 5, "c": 0}))) == {"a": 2, "b": 5}


def test_a_drained_batch_releases_its_remainder() -> None:
    activation = batch_size_policy(3).drain(SomeWaiting({"a": 2, "b": 0}))

    message = {"policy": "batch_size", "size": 3, "is_remainder": True}
    assert activation == Activation({"a": 2}, message)


def test_an_empty_batch_has_no_remainder() -> None:
    assert batch_size_policy(3).drain(SomeWaiting({"a": 0})) is None


def test_a_batch_needs_the_slot_that_it_counts_in() -> None:
    policy = batch_size_policy(2, slot="items")

    policy.check_slots(["items", "other"])
    with pytest.raises(
        UnknownPolicySlotError,
        match=r"^The activation policy 'batch_size' needs a slot 'items', .* Its slots are: 'a', 'b'\.$",
    ) as caught:
        policy.check_slots(["a", "b"])

    assert (caught.value.policy, caught.value.slot, caught.value.slots) == ("batch_size", "items", ("a", "b"))


def test_a_routine_without_slots_is_told_that_it_has_none() -> None:
    with pytest.raises(UnknownPolicySlotError, match=r"Its slots are: none\.$"):
        batch_size_policy(2, slot="items").check_slots([])


def test_a_join_takes_one_message_of_each_slot() -> None:
    policy = all_slots_ready_policy()

    assert policy.decide(SomeWaiting({"a": 5, "b": 0})) is None
    assert policy.decide(SomeWaiting({"a": 5, "b": 1})) == Activation({"a": 1, "b": 1}, {"policy": "all_slots_ready"})


def test_a_join_without_slots_is_never_ready() -> None:
    assert all_slots_ready_policy().decide(SomeWaiting({})) is None


def test_what_a_join_cannot_match_is_not_released() -> None:
    assert all_slots_ready_policy().drain(SomeWaiting({"a": 5, "b": 0})) is None


def test_an_interval_gathers_what_comes_after_a_first_message() -> None:
    policy = time_interval_policy(10)

    assert policy.decide(SomeWaiting({"a": 2}, now=109.0, oldest=100.0)) is None
    assert policy.decide(SomeWaiting({"a": 2, "b": 1}, now=110.0, oldest=100.0)) == Activation(
        {"a": 2, "b": 1}, {"policy": "time_interval", "seconds": 10.0, "is_remainder": False}
    )


def test_an_interval_separates_two_activations() -> None:
    policy = time_interval_policy(10)

    early, due = (SomeWaiting({"a": 1}, now, oldest=100.0, last_activation=105.0) for now in (114.0, 115.0))

    assert policy.decide(early) is None
    assert taken(policy.decide(due)) == {"a": 1}


def test_an_interval_says_when_to_look_again() -> None:
    policy = time_interval_policy(10)

    assert policy.next_check(SomeWaiting({"a": 0}, now=104.0)) is None
    assert policy.next_check(SomeWaiting({"a": 1}, now=104.0, oldest=100.0)) == 6.0
    assert policy.next_check(SomeWaiting({"a": 1}, now=204.0, oldest=100.0)) == 0.0


def test_an_interval_without_messages_is_never_due() -> None:
    assert time_interval_policy(10).decide(SomeWaiting({"a": 0}, now=1e9)) is None


def test_a_drained_interval_releases_all() -> None:
    policy = time_interval_policy(10)

    activation = policy.drain(SomeWaiting({"a": 2}, now=101.0, oldest=100.0))

    assert activation is not None
    assert (activation.take, activation.message["is_remainder"]) == ({"a": 2}, True)
    assert policy.drain(SomeWaiting({"a": 0})) is None


def test_a_custom_policy_looks_at_payloads() -> None:
    def decide(waiting: Waiting) -> Activation | None:
        numbers = [payload["n"] for payload in waiting.payloads("a")]
        return Activation({"a": len(numbers)}, {"last": numbers[-1]}) if 2 in numbers else None

    policy = custom_policy(decide)

    assert policy.decide(SomeWaiting({"a": 2})) is None
    assert policy.decide(SomeWaiting({"a": 3})) == Activation({"a": 3}, {"last": 2})


def test_a_custom_policy_neither_drains_nor_waits_unless_told() -> None:
    policy = custom_policy(lambda waiting: None)

    assert policy.drain(SomeWaiting({"a": 1})) is None
    assert policy.next_check(SomeWaiting({"a": 1})) is None


def test_a_custom_policy_may_drain_and_ask_for_time() -> None:
    policy = custom_policy(
        lambda waiting: None,
        drain=lambda waiting: Activation(waiting.counts),
        next_check=lambda waiting: 2 if waiting.counts["a"] else None,
    )

    assert taken(policy.drain(SomeWaiting({"a": 1}))) == {"a": 1}
    assert policy.next_check(SomeWaiting({"a": 1})) == 2.0
    assert policy.next_check(SomeWaiting({"a": 0})) is None


def test_policies_know_their_names() -> None:
    policies = [
        immediate_policy(),
        batch_size_policy(1),
        all_slots_ready_policy(),
        time_interval_policy(1),
        custom_policy(lambda waiting: None, name="mine"),
    ]

    names = [policy.name for policy in policies]

    assert names == ["immediate", "batch_size", "all_slots_ready", "time_interval", "mine"]


def test_an_answer_that_can_be_carried_out_is_returned() -> None:
    activation = Activation({"a": 2, "b": 0})

    assert check_activation(activation, SomeWaiting({"a": 2, "b": 1})) is activation
    assert check_activation(None, SomeWaiting({"a": 2})) is None


@pytest.mark.parametrize(
    ("answer", "remedy"),
    [
        (True, r"Return Activation\({slot: number}\) or None\.$"),
        ({"a": 1}, r"Return Activation\({slot: number}\) or None\.$"),
        (Activation({"c": 1}), r"There is no slot 'c'; the slots are: 'a', 'b'\.$"),
        (Activation({"a": 3}), r"Take no more than the 2 waiting in 'a'\.$"),
        (Activation({"a": -1}), r"Take a whole number of messages of 'a', 0 or more\.$"),
        (Activation({"a": 1.5}), r"Take a whole number of messages of 'a', 0 or more\.$"),  # type: ignore[dict-item]  # What the test is about.
        (Activation({"a": 0}), r"Take at least one message, or return None to wait\.$"),
        (Activation({}), r"Take at least one message, or return None to wait\.$"),
    ],
)
def test_an_answer_that_cannot_be_carried_out_is_refused(answer: Any, remedy: str) -> None:
    policy = custom_policy(lambda waiting: answer, drain=lambda waiting: answer, name="odd")
    waiting = SomeWaiting({"a": 2, "b": 0})

    with pytest.raises(PolicyAnswerError, match=rf"^The activation policy 'odd' answered .*\. {remedy}") as caught:
        policy.decide(waiting)
    with pytest.raises(PolicyAnswerError, match=remedy):
        policy.drain(waiting)

    assert (caught.value.policy, caught.value.answer) == ("odd", answer)


def test_an_answer_for_a_routine_without_slots_is_refused() -> None:
    with pytest.raises(PolicyAnswerError, match=r"There is no slot 'a'; the slots are: none\.$"):
        check_activation(Activation({"a": 1}), SomeWaiting({}))


@pytest.mark.parametrize("delay", [-1.0, math.inf, math.nan, "soon"])
def test_a_delay_that_is_none_is_refused(delay: Any) -> None:
    policy = custom_policy(lambda waiting: None, next_check=lambda waiting: delay)

    with pytest.raises(PolicyAnswerError, match=r"'custom' answered .*\. Return seconds from 0 up, or None if"):
        policy.next_check(SomeWaiting({"a": 1}))


@pytest.mark.parametrize("size", [0, -2, 1.5, True, "10"])
def test_a_batch_size_is_a_positive_count(size: Any) -> None:
    with pytest.raises(OptionError, match=r"^batch_size_policy cannot take size=.*\. Give a whole number, 1 or"):
        batch_size_policy(size)


@pytest.mark.parametrize("slot", ["", 3])
def test_a_batch_slot_is_a_name(slot: Any) -> None:
    with pytest.raises(OptionError, match=r"^batch_size_policy cannot take slot=.*\. Give a text that is not em"):
        batch_size_policy(2, slot)


@pytest.mark.parametrize("seconds", [0, -1, math.inf, math.nan, True, "1"])
def test_an_interval_is_finite_and_positive(seconds: Any) -> None:
    with pytest.raises(OptionError, match=r"^time_interval_policy cannot take seconds=.* number above 0\.$"):
        time_interval_policy(seconds)


@pytest.mark.parametrize("option", ["decide", "drain", "next_check"])
def test_a_custom_policy_is_made_of_functions(option: str) -> None:
    functions: dict[str, Any] = {"decide": lambda waiting: None, option: 5}

    with pytest.raises(OptionError, match=rf"^custom_policy cannot take {option}=5\. Give a function of one Wai"):
        custom_policy(**functions)


def test_a_custom_policy_cannot_do_without_decide() -> None:
    with pytest.raises(OptionError, match=r"^custom_policy cannot take decide=None\. Give a function"):
        custom_policy(None)  # type: ignore[arg-type]  # What the test is about.


def test_a_custom_policy_has_a_name() -> None:
    with pytest.raises(OptionError, match=r"^custom_policy cannot take name=''\. Give a text that is not empty\."):
        custom_policy(lambda waiting: None, name="")


def test_a_ready_made_policy_is_taken_as_it_is() -> None:
    policy = batch_size_policy(2)

    assert policy_from(policy) is policy


def test_a_function_becomes_a_custom_policy() -> None:
    policy = policy_from(lambda waiting: Activation({"a": 1}))

    assert policy.name == "custom"
    assert taken(policy.decide(SomeWaiting({"a": 1}))) == {"a": 1}


def test_a_policy_class_of_the_users_has_its_answers_checked() -> None:
    policy = policy_from(EveryOther())

    assert policy.drain(SomeWaiting({"a": 1})) is None
    assert taken(policy.decide(SomeWaiting({"a": 2}))) == {"a": 2}
    with pytest.raises(PolicyAnswerError, match=r"'every other' answered .* no more than the 1 waiting in 'a'"):
        policy.decide(SomeWaiting({"a": 1}))


def test_a_policy_class_of_the_users_may_need_slots() -> None:
    policy = policy_from(EveryOther())

    policy.check_slots(["a"])
    with pytest.raises(UnknownPolicySlotError, match=r"'every other' needs a slot 'a', .* slots are: 'b'\.$"):
        policy.check_slots(["b"])


@pytest.mark.parametrize("value", ["immediate", None, 3, EveryOther])
def test_what_is_no_policy_is_refused(value: object) -> None:
    with pytest.raises(OptionError, match=r"^set_activation_policy cannot take policy=.* immediate_policy\(\), or"):
        policy_from(value)
