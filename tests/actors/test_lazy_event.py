import threading

import pytest

from actors.lazy_event import LazyEvent

PATIENCE = 10.0


def test_whoever_waits_before_it_is_set_returns_when_it_is() -> None:
    event = LazyEvent()
    waiters = [threading.Thread(target=event.wait) for _ in range(3)]
    for waiter in waiters:
        waiter.start()
    event.set()
    for waiter in waiters:
        waiter.join(PATIENCE)

    assert not any(waiter.is_alive() for waiter in waiters)


def test_whoever_waits_while_it_is_set_returns_at_once() -> None:
    event = LazyEvent()
    event.set()

    assert event.wait()
    assert event.is_set()


@pytest.mark.parametrize("is_waited_for", [False, True])
def test_it_can_be_cleared_and_set_again_like_an_event(is_waited_for: bool) -> None:
    event = LazyEvent()
    if is_waited_for:
        assert not event.wait(0)
    event.set()
    event.clear()

    assert not event.is_set()
    assert not event.wait(0)
    event.set()
    assert event.wait(0)
