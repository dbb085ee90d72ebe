"""How many workers a pool should have at work, judged by how fast its turns begin."""

import time
from collections.abc import Callable

__all__ = ["LIGHT_TURNS", "LOOK_INTERVAL", "PoolGauge"]

LOOK_INTERVAL = 0.002
"""Seconds between two looks."""
LIGHT_TURNS = 8
"""Who begins that many turns between two looks has light ones, which one thread runs best."""
_IDLE_SHARE = 0.5
"""A process that uses less of one processor than this while somebody waits is blocked, not busy."""


class PoolGauge:
    """Advises one pool of up to `size` workers; used by one thread, holds no lock and no time of its own."""

    def __init__(
        self,
        size: int,
        elapsed: Callable[[], float] = time.perf_counter,
        used: Callable[[], float] = time.process_time,
    ) -> None:
        self._size = size
        self._elapsed = elapsed
        self._used = used
        self._step = 1
        self._turns = -1
        self._elapsed_then = 0.0
        self._used_then = 0.0

    def restart(self) -> None:
        """Forget the last look, since time has passed in which nobody looked."""
        self._turns = -1
        self._step = 1

    def look(self, turns: int, active: int, stuck: int, *, is_waiting: bool) -> int:
        """How many workers to wake or, if negative, to let rest.

        It goes by the `turns` begun so far, the workers `active`, those of them `stuck` in a turn for longer
        than an interval, and whether an actor waits. Twice as many are woken each time in a row.
        """
        begun = turns - self._turns
        is_first = self._turns < 0
        self._turns = turns
        is_blocked = self._is_process_idle()
        free = active - stuck
        if is_first or not is_waiting:
            self._step = 1
            return 0
        if begun < active or (is_blocked and begun < LIGHT_TURNS * active):
            step = self._step
            self._step = min(step * 2, self._size)
            return step
        self._step = 1
        if begun >= LIGHT_TURNS * free and free > 1:
            return 1 - free
        return 0

    def _is_process_idle(self) -> bool:
        elapsed, used = self._elapsed(), self._used()
        is_idle = used - self._used_then < _IDLE_SHARE * (elapsed - self._elapsed_then)
        self._elapsed_then, self._used_then = elapsed, used
        return is_idle
