"""Runtimes on both dispatchers, and short ways to run a flow and take single turns of its actors."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from actors.dispatcher import Dispatcher
from actors.pooled_dispatcher import PooledDispatcher
from actors.testing.stepped_dispatcher import SteppedDispatcher
from flowforge.flow import Flow
from flowforge.job_state import JobState
from flowforge.runtime import Runtime
from tests.engine.machine import Machine


@pytest.fixture
def dispatcher() -> SteppedDispatcher:
    """The dispatcher of `stepped`."""
    return SteppedDispatcher()


@pytest.fixture
def stepped(dispatcher: SteppedDispatcher) -> Iterator[Runtime]:
    """A runtime that does nothing until `dispatcher` is stepped or something is waited for."""
    with Runtime(dispatcher=dispatcher) as runtime:
        yield runtime


@pytest.fixture(params=["stepped", "pooled"])
def runtime(request: pytest.FixtureRequest) -> Iterator[Runtime]:
    """A runtime on each of the two dispatchers."""
    chosen: Dispatcher = SteppedDispatcher() if request.param == "stepped" else PooledDispatcher(4)
    with Runtime(dispatcher=chosen) as runtime:
        yield runtime


@pytest.fixture
def run(runtime: Runtime) -> Callable[..., JobState]:
    """`run(flow, n=1)`: a job of the flow, entered with those parameters, once it rests."""

    def run_to_rest(flow: Flow, **params: Any) -> JobState:
        job = runtime.exec(flow, entry_params=params)
        assert job.wait(30), f"{job} does not come to rest"
        return job

    return run_to_rest


@pytest.fixture
def ready(dispatcher: SteppedDispatcher) -> Callable[[], list[str]]:
    """What `stepped` can run now: ids of routines, `supervisor`, `timer`, `loop`."""

    def names() -> list[str]:
        return [_name_of(choice) for choice in dispatcher.choices()]

    return names


@pytest.fixture
def turn(dispatcher: SteppedDispatcher, ready: Callable[[], list[str]]) -> Callable[..., None]:
    """`turn("a", "b")`: one turn of each of these, in this order."""

    def take(*names: str) -> None:
        for name in names:
            dispatcher.step(ready().index(name))

    return take


def _name_of(choice: object) -> str:
    label = getattr(choice, "label", None)
    if label is None:
        return "timer" if hasattr(choice, "cancel") else "loop"
    return str(label).partition(":")[0]


@pytest.fixture
def machine() -> Machine:
    """A process on a virtual clock that can be killed."""
    return Machine()


@pytest.fixture
def boot(tmp_path: Path) -> Iterator[Callable[..., Runtime]]:
    """`boot(flow, ...)`: a runtime with threads on the test's store; the one before it is shut down."""
    running: list[Runtime] = []

    def start(*flows: Flow) -> Runtime:
        stop()
        running.append(Runtime(2, store=f"sqlite:///{tmp_path / 'jobs.db'}", flows=flows))
        return running[0]

    def stop() -> None:
        while running:
            assert running.pop().shutdown(timeout=30)

    yield start
    stop()
