"""The same works on asyncio: a task for each stage, and between each two of them a queue, bounded as a slot is."""

import asyncio
from collections.abc import Coroutine
from itertools import pairwise
from typing import Any

from benchmarks.harness import seconds_of

__all__ = ["fan_seconds", "join_seconds", "pipeline_seconds"]

BOUND = 1000

Inbox = asyncio.Queue[dict[str, Any]]


def new_inbox() -> Inbox:
    """A queue as long as a slot's."""
    return asyncio.Queue(BOUND)


async def feed(count: int, *inboxes: Inbox) -> None:
    """Put the numbers below `count` into each of them."""
    for x in range(count):
        for inbox in inboxes:
            await inbox.put({"x": x})


async def stage(inbox: Inbox, following: Inbox) -> None:
    """Pass each number on, plus one."""
    while True:
        message = await inbox.get()
        await following.put({"x": message["x"] + 1})


async def collect(inbox: Inbox, count: int) -> None:
    """Count what arrives, until all has."""
    for _ in range(count):
        await inbox.get()


async def match(left: Inbox, right: Inbox, following: Inbox) -> None:
    """Pass on the sums of pairs."""
    while True:
        one, other = await left.get(), await right.get()
        await following.put({"x": one["x"] + other["x"]})


async def run(work: Coroutine[Any, Any, None], *workers: Coroutine[Any, Any, None]) -> None:
    """Run `work` to its end, beside workers that have none."""
    tasks = [asyncio.create_task(worker) for worker in workers]
    await work
    for task in tasks:
        task.cancel()


def pipeline_seconds(count: int, stages: int) -> float:
    """Seconds for so many messages through so many stages, the last of which counts."""

    async def main() -> None:
        inboxes = [new_inbox() for _ in range(stages)]
        passing = [stage(inbox, following) for inbox, following in pairwise(inboxes)]
        await run(collect(inboxes[-1], count), feed(count, inboxes[0]), *passing)

    return seconds_of(lambda: asyncio.run(main()))


def fan_seconds(count: int, branches: int) -> float:
    """Seconds for so many messages to each of the branches, all of which feed one that counts."""

    async def main() -> None:
        inboxes, end = [new_inbox() for _ in range(branches)], new_inbox()
        passing = [stage(inbox, end) for inbox in inboxes]
        await run(collect(end, count * branches), feed(count, *inboxes), *passing)

    return seconds_of(lambda: asyncio.run(main()))


def join_seconds(count: int) -> float:
    """Seconds for so many pairs to be matched, and counted."""

    async def main() -> None:
        left, right, end = new_inbox(), new_inbox(), new_inbox()
        await run(collect(end, count), feed(count, left, right), match(left, right, end))

    return seconds_of(lambda: asyncio.run(main()))
