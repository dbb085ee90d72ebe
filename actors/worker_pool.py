"""Threads that give ready actors their turns, woken no more than needed.

Guarantees:

- `submit` may be called from any thread, with any lock held; it waits only for the start of the first thread.
- Each submitted turn is run once, on one worker. There are never more workers than `size`.
- As long as somebody is ready, a worker is at it or on its way: no wake-up is lost.
- Under the GIL further workers are woken only on the advice of the gauge, when turns take long while somebody
  waits, and parked when turns are light: these run at the speed of one thread, blocking ones soon have all
  workers. Without the GIL one worker per core is woken at once.
- A turn that blocks holds up its own worker only; one that raises, whatever it raises, ends no worker.
- The monitor is parked while nothing happens. After `stop`, turns that run end, no other one begins.
- One lock guards the queue and the counts of workers; no user code runs under it.
"""

import functools
import logging
import os
import sys
from collections.abc import Callable

from actors.dispatcher import Schedulable, TurnLimits
from actors.errors import ActorError
from actors.pool_gauge import LOOK_INTERVAL, PoolGauge
from actors.ready_queue import ReadyQueue
from actors.threads import SYSTEM_THREADS, Thread, Threads
from actors.turn_context import TURN_DEPTH
from actors.worker_status import MONITOR_MOVES, WORKER_MOVES, MonitorStatus, WorkerStatus

__all__ = ["WorkerPool"]

logger = logging.getLogger("actors")

_ACTIVE, _IDLE, _ENDED = WorkerStatus
_LOOKING, _PARKED, _OVER = MonitorStatus


def _workers_woken_at_once(size: int) -> int:
    """How many workers a submit may wake without asking the monitor."""
    is_gil_enabled: Callable[[], bool] | None = getattr(sys, "_is_gil_enabled", None)
    if is_gil_enabled is None or is_gil_enabled():
        return 1
    return min(size, os.cpu_count() or 1)


class _Worker:
    """One thread, and what others may know of it; only the thread itself writes turns and since."""

    __slots__ = ("baton", "since", "status", "thread", "turns")

    def __init__(self, threads: Threads, run: Callable[["_Worker"], None], name: str) -> None:
        self.baton = threads.lock()
        self.baton.acquire()
        self.status = _ACTIVE
        self.turns = 0
        self.since = 0.0
        self.thread = threads.thread(functools.partial(run, self), name)


class WorkerPool:
    """Up to `size` worker threads and their monitor, all daemons, started when first needed."""

    def __init__(
        self,
        size: int,
        limits: TurnLimits,
        name: str,
        before_start: Callable[[], None],
        *,
        threads: Threads = SYSTEM_THREADS,
    ) -> None:
        self.size = size
        self.limits = limits
        self.name = name
        self._before_start = before_start
        self._threads = threads
        self._now = threads.perf_counter
        self._gauge = PoolGauge(size, threads.perf_counter, threads.process_time)
        self._lock = threads.rlock()
        self._queue = ReadyQueue()
        self._workers: list[_Worker] = []
        self._idle: list[_Worker] = []
        self._active = 0
        self._surplus = 0
        self._prompt = _workers_woken_at_once(size)
        self._is_stopping = False
        self._refusal: Callable[[], ActorError] | None = None
        self._monitor: Thread | None = None
        self._monitor_baton = threads.lock()
        self._monitor_baton.acquire()
        self._monitor_status = _LOOKING
        self._has_warned = False

    def submit(self, actor: Schedulable, /) -> None:
        """Queue one turn of `actor`; raises what `refuse` was given, if it was."""
        with self._lock:
            if self._refusal is not None:
                raise self._refusal()
            if self._active < self._prompt:
                worker = self._wake_worker()
                if worker is not None:
                    self._start_if_needed(worker)
            elif self._monitor_status is _PARKED:
                self._move_monitor(_LOOKING)
                self._monitor_baton.release()
            self._queue.push(actor)

    def statistics(self) -> tuple[int, int, int, int, float]:
        """Workers, active workers, ready actors, turns begun, and seconds of the longest running turn."""
        now = self._now()
        with self._lock:
            sinces = [since for worker in self._workers if (since := worker.since)]
            longest = max(0.0, now - min(sinces)) if sinces else 0.0
            return len(self._workers), self._active, len(self._queue), self._count_turns(), longest

    def stop(self) -> None:
        """Begin no further turn; what is submitted from now on waits for good."""
        with self._lock:
            self._is_stopping = True
            self._surplus = 1
            self._prompt = 0
            while self._idle:
                self._wake_worker()
            if self._monitor_status is _PARKED:
                self._move_monitor(_LOOKING)
            if self._monitor is not None and self._monitor_baton.locked():
                self._monitor_baton.release()

    def join(self, remaining: Callable[[], float | None]) -> bool:
        """Wait for the threads after `stop`, each for `remaining()` seconds; False when one still runs."""
        if self._monitor is not None:
            self._monitor.join(remaining())
            if self._monitor.is_alive():
                return False
        for worker in self._workers:
            worker.thread.join(remaining())
        return not any(worker.thread.is_alive() for worker in self._workers)

    def refuse(self, refusal: Callable[[], ActorError]) -> None:
        """Forget who is ready, and raise `refusal()` in each submit from now on."""
        with self._lock:
            self._refusal = refusal
            self._queue.clear()

    def reset_after_fork(self, refusal: Callable[[], ActorError]) -> None:
        """Make the copy in a forked child, which has no threads, refuse all without waiting for a lock."""
        self._lock = self._threads.rlock()
        self._is_stopping = True
        self._surplus = 1
        self._refusal = refusal

    def _wake_worker(self) -> _Worker | None:
        """Wake a worker, or make one that the caller has to start; with the lock held."""
        if self._idle:
            # In this order an interrupt between two calls leaves it idle, and not forgotten.
            worker = self._idle[-1]
            self._move(worker, _ACTIVE)
            del self._idle[-1]
            worker.baton.release()
        elif len(self._workers) < self.size:
            worker = _Worker(self._threads, self._work, f"{self.name}-worker-{len(self._workers)}")
            self._active += 1
            self._workers.append(worker)
            return worker
        return None

    def _start_if_needed(self, worker: _Worker) -> None:
        try:
            self._start(worker)
        except RuntimeError:
            # The others are at work and will look; the monitor warns if they do not get on.
            if not self._workers:
                raise

    def _start(self, worker: _Worker) -> None:
        try:
            if self._monitor is None:
                self._start_monitor()
            worker.thread.start()
        except BaseException:
            with self._lock:
                self._active -= 1
                self._workers.remove(worker)
                # Since this one was to come, nobody may have been woken for what was submitted meanwhile.
                if self._queue and self._idle:
                    self._wake_worker()
            raise

    def _start_monitor(self) -> None:
        self._before_start()
        monitor = self._threads.thread(self._watch, f"{self.name}-monitor")
        monitor.start()
        self._monitor = monitor

    def _work(self, worker: _Worker) -> None:
        TURN_DEPTH.set(1)
        now = self._now
        limits = self.limits
        pop = self._queue.pop
        while True:
            with self._lock:
                if self._surplus and (self._active > 1 or self._is_stopping):
                    if self._is_stopping:
                        self._move(worker, _ENDED)
                        return
                    self._surplus -= 1
                    actor = None
                else:
                    actor = pop()
                if actor is None:
                    self._move(worker, _IDLE)
            if actor is None:
                worker.baton.acquire()
                continue
            worker.turns += 1
            worker.since = now()
            try:
                actor.run_turn(limits)
            except BaseException:
                logger.exception("A turn of %r raised, which is a defect of the actor.", actor)
            worker.since = 0.0

    def _watch(self) -> None:
        """Have as many workers at work as the gauge says; park while nothing happens."""
        gauge = self._gauge
        seen = -1
        while True:
            with self._lock:
                if self._is_stopping:
                    self._move_monitor(_OVER)
                    return
                turns = self._count_turns()
                parks = turns == seen and not self._queue
                if parks:
                    self._move_monitor(_PARKED)
                active, is_waiting = self._active, bool(self._queue)
                advice = 0 if parks else gauge.look(turns, active, self._count_stuck(), is_waiting=is_waiting)
                self._surplus = max(0, -advice)
            if parks:
                self._monitor_baton.acquire()
                gauge.restart()
                seen = -1
                continue
            seen = turns
            self._wake_helpers(advice)
            self._monitor_baton.acquire(timeout=LOOK_INTERVAL)

    def _wake_helpers(self, count: int) -> None:
        for _ in range(count):
            with self._lock:
                if self._is_stopping or not self._queue:
                    return
                worker = self._wake_worker()
            if worker is not None:
                try:
                    self._start(worker)
                except RuntimeError:
                    self._warn_of_threads()
                    return

    def _move(self, worker: _Worker, status: WorkerStatus) -> None:
        """Count a worker as what it is from now on; with the lock held."""
        assert status in WORKER_MOVES[worker.status]
        worker.status = status
        if status is _ACTIVE:
            self._active += 1
            return
        self._active -= 1
        if status is _IDLE:
            self._idle.append(worker)

    def _move_monitor(self, status: MonitorStatus) -> None:
        assert status in MONITOR_MOVES[self._monitor_status]
        self._monitor_status = status

    def _warn_of_threads(self) -> None:
        if not self._has_warned:
            self._has_warned = True
            logger.warning(
                "Dispatcher %r could not start another thread and goes on with %d. "
                "Raise the limit of threads, or give the dispatcher a smaller size.",
                self.name,
                len(self._workers),
            )

    def _count_turns(self) -> int:
        return sum(worker.turns for worker in self._workers)

    def _count_stuck(self) -> int:
        latest = self._now() - LOOK_INTERVAL
        return sum(1 for worker in self._workers if 0.0 < worker.since < latest)
