from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from flowforge.activation_policies import batch_size_policy, check_activation, immediate_policy

COUNTS = st.dictionaries(st.sampled_from("abcde"), st.integers(0, 30), min_size=1)


class JustCounts:
    """Waiting messages of which only the numbers matter."""

    now, oldest, last_activation = 0.0, 0.0, None

    def __init__(self, counts: dict[str, int]) -> None:
        self.counts = counts

    def payloads(self, slot: str) -> list[dict[str, Any]]:
        return [{}] * self.counts[slot]


@given(COUNTS, st.integers(1, 40))
def test_batches_are_exact_and_the_remainder_is_the_rest(counts: dict[str, int], size: int) -> None:
    policy, left, waiting = batch_size_policy(size), dict(counts), JustCounts(counts)
    waiting.counts = left

    while (activation := check_activation(policy.decide(waiting), waiting)) is not None:
        assert sum(activation.take.values()) == size
        left.update({slot: left[slot] - number for slot, number in activation.take.items()})

    assert sum(left.values()) == sum(counts.values()) % size
    rest = policy.drain(waiting)
    assert dict(rest.take if rest else {}) == {slot: number for slot, number in left.items() if number}


@given(COUNTS, st.integers(1, 40))
def test_a_batch_leaves_no_slot_far_behind_another(counts: dict[str, int], size: int) -> None:
    activation = batch_size_policy(size).decide(JustCounts(counts))

    if activation is not None:
        cut_short = [activation.take.get(slot, 0) for slot, n in counts.items() if activation.take.get(slot, 0) < n]
        assert max(activation.take.values()) <= min(cut_short, default=size) + 1


@given(COUNTS)
def test_immediate_hands_out_every_message_by_itself(counts: dict[str, int]) -> None:
    left, calls = dict(counts), 0
    waiting = JustCounts(left)

    while (activation := immediate_policy().decide(waiting)) is not None:
        [(slot, number)] = activation.take.items()
        left[slot] -= number
        calls += 1

    assert calls == sum(counts.values())
