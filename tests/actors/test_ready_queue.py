from actors.dispatcher import Group, TurnLimits
from actors.ready_queue import ReadyQueue


class Member:
    def __init__(self, group: Group, name: str) -> None:
        self.group = group
        self.name = name

    def run_turn(self, limits: TurnLimits) -> None:
        pass


def names_of(queue: ReadyQueue) -> list[str]:
    names = []
    while isinstance(member := queue.pop(), Member):
        names.append(member.name)
    return names


def test_actors_of_one_group_come_out_in_the_order_pushed() -> None:
    queue, group = ReadyQueue(), Group()

    for name in "abc":
        queue.push(Member(group, name))

    assert names_of(queue) == ["a", "b", "c"]


def test_between_two_turns_of_a_group_every_other_gets_one() -> None:
    queue, busy, quiet = ReadyQueue(), Group("busy"), Group("quiet")

    for number in range(3):
        queue.push(Member(busy, f"busy-{number}"))
    queue.push(Member(quiet, "quiet"))

    assert names_of(queue) == ["busy-0", "quiet", "busy-1", "busy-2"]


def test_a_group_that_ran_empty_can_be_queued_again() -> None:
    queue, group = ReadyQueue(), Group()
    queue.push(Member(group, "a"))
    names_of(queue)

    queue.push(Member(group, "b"))

    assert names_of(queue) == ["b"]


def test_nobody_is_popped_from_an_empty_queue() -> None:
    assert ReadyQueue().pop() is None


def test_length_counts_actors_rather_than_groups() -> None:
    queue, group = ReadyQueue(), Group()
    queue.push(Member(group, "a"))
    queue.push(Member(group, "b"))

    assert (bool(queue), len(queue)) == (True, 2)


def test_a_cleared_queue_forgets_the_groups_too() -> None:
    queue, group = ReadyQueue(), Group()
    queue.push(Member(group, "a"))

    queue.clear()
    queue.push(Member(group, "b"))

    assert names_of(queue) == ["b"]
