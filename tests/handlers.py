"""Handlers that many tests give to their routines."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Any

from flowforge.routine import Routine

__all__ = ["async_source", "count", "nap", "pass_on", "refuse", "send", "source"]


def pass_on(self: Routine, n: Any = 0) -> None:
    self.emit("out", n=n)


def count(self: Routine, n: Any = 0) -> None:
    self.increment_stat("seen")
    self.emit("out", n=n)


def refuse(self: Routine, n: Any = 0) -> None:
    raise ValueError(n)


async def nap(self: Routine, n: Any = 0) -> None:
    await asyncio.sleep(1)
    self.emit("out", n=n)


def send(self: Routine, n: int = 3) -> None:
    """The numbers below n, all in one step."""
    for number in range(n):
        self.emit("out", n=number)


def source(self: Routine, n: int) -> Iterator[None]:
    """The numbers below n, one a segment."""
    for number in range(self.state.get("at", 0), n):
        self.state["at"] = number + 1
        self.emit("out", n=number)
        yield


async def async_source(self: Routine, n: int) -> AsyncIterator[None]:
    """The numbers below n, one a segment, and a second for each."""
    for number in range(self.state.get("at", 0), n):
        self.state["at"] = number + 1
        await asyncio.sleep(1)
        self.emit("out", n=number)
        yield
