"""A dispatcher that is stepped, for actors that stand in pykka's registry."""

from collections.abc import Iterator

import pytest

from actors.pykka_door import ActorRegistry
from actors.testing.stepped_dispatcher import SteppedDispatcher


@pytest.fixture
def stepped() -> Iterator[SteppedDispatcher]:
    """What is left of its actors at the end of a test is stopped."""
    dispatcher = SteppedDispatcher()
    yield dispatcher
    ActorRegistry.stop_all(block=False)
    dispatcher.run_until_idle()
    dispatcher.shutdown()
