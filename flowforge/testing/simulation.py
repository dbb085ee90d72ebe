"""simulate: a flow's real code on one thread and a virtual clock, under a schedule.

Guarantees:

- The jobs, actors, commits and supervisors are those of production; only dispatcher, clock and store are others.
- The same flow, inputs and schedule lead to the same run, as far as the handlers are deterministic.
- A crash leaves exactly what was flushed, and every payload of a run with crashes goes through the codec.
- Nothing of a run goes on after `simulate` has returned.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from flowforge._engine.plan import plan_of
from flowforge._engine.worker import Worker
from flowforge.flow_graph import FlowGraph
from flowforge.records import StepFailed
from flowforge.step_context import CURRENT_STEP
from flowforge.stores.codec import Codec
from flowforge.stores.codec_errors import UnencodableValueError
from flowforge.testing.candidates import holdable_names
from flowforge.testing.checks import Check, Eventually, Invariant
from flowforge.testing.chooser import Chooser
from flowforge.testing.inputs import Driver, Input, commands_of
from flowforge.testing.outside_world import WorldWatch
from flowforge.testing.payload_watch import Breach, PayloadWatch, WatchedCodec
from flowforge.testing.run_observer import tell_observer
from flowforge.testing.schedule import Schedule
from flowforge.testing.simulated_process import SimulatedProcess
from flowforge.testing.simulated_run import SimulatedRun, counted
from flowforge.testing.simulation_errors import (
    PayloadChangedError,
    SimulationLimitError,
    SimulationUseError,
)

if TYPE_CHECKING:
    from flowforge.records import Record

__all__ = ["HEALS_AFTER", "simulate"]

HEALS_AFTER = 1000
"""Choices after which, for `eventually`, nothing is held any more, if nothing else is left of the schedule."""

_Until = Callable[[SimulatedRun], bool] | float | None


def simulate(
    flow: FlowGraph,
    inputs: Iterable[Input] | Mapping[str, Any] = ({},),
    *,
    schedule: Schedule | None = None,
    entry_routine_id: str | None = None,
    until: _Until = None,
    checks: Iterable[Check] = (),
    max_choices: int = 100_000,
    is_durable: bool = False,
    is_closed_world: bool = True,
    codec: Codec | None = None,
) -> SimulatedRun:
    """Run one job of a flow to its end, on this thread and a virtual clock, as `schedule` says.

    `inputs` are given one after the other: entry payloads, `(routine, slot, payload)`, or `Pause()`, `Resume()`,
    `Cancel()`. `until` ends the run early: a number of virtual seconds, or what is true of the run after a commit.
    With crashes, or with `is_durable`, the job is kept in a log that loses what was not flushed. Handlers run on the
    calling thread; in a closed world they must not ask for real time, chance or threads.

    Raises what is wrong with the flow, the inputs or the schedule; InvariantError or NotReachedError of the `checks`;
    PayloadChangedError, OutsideWorldError, NondeterministicHandlerError, and SimulationLimitError.
    """
    given = _listed(checks)
    _check_edge(flow, schedule, given)
    settings = _Settings(
        flow=flow,
        commands=commands_of(inputs, plan_of(flow), entry_routine_id),
        schedule=Schedule() if schedule is None else schedule,
        until=until,
        checks=given,
        max_choices=max_choices,
        is_durable=is_durable,
        is_closed_world=is_closed_world,
        codec=codec or Codec(),
    )
    return _Simulation(settings).run()


def _listed(checks: object) -> tuple[Any, ...]:
    return tuple(checks) if isinstance(checks, Iterable) else (checks,)


def _check_edge(flow: object, schedule: object, checks: tuple[object, ...]) -> None:
    """Raise SimulationUseError for what is none, inside a handler, and on a thread whose event loop runs."""
    if not isinstance(flow, FlowGraph):
        raise SimulationUseError(f"A simulation cannot run {flow!r}.", "Give a Flow.")
    if schedule is not None and not isinstance(schedule, Schedule):
        raise SimulationUseError(f"A simulation cannot go by {schedule!r}.", "Give a Schedule, or None.")
    for check in checks:
        if not isinstance(check, Invariant | Eventually):
            remedy = "Give invariant(predicate) or eventually(predicate, within=seconds)."
            raise SimulationUseError(f"A check of a simulation cannot be {check!r}.", remedy)
    if CURRENT_STEP.get() is not None:
        raise SimulationUseError("A simulation cannot run inside a handler.", "Run it in a test.")
    with contextlib.suppress(RuntimeError):
        asyncio.get_running_loop()
        remedy = "Make the test a plain function, or call simulate by asyncio.to_thread."
        raise SimulationUseError("A simulation cannot run on a thread whose event loop runs.", remedy)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Settings:
    """All that a run depends on."""

    flow: FlowGraph
    commands: list[Any]
    schedule: Schedule
    until: _Until
    checks: tuple[Check, ...]
    max_choices: int
    is_durable: bool
    is_closed_world: bool
    codec: Codec
    is_exact: bool = False
    """Whether to look after each choice, so as to say exactly where something went wrong."""
    stops_at: int | None = None
    """The choice to stop at."""
    heals_at: int | None = None
    """The choice from which on nothing is held, swapped or made to fail."""


class _Simulation:
    """One run under way."""

    def __init__(self, settings: _Settings) -> None:
        plan = plan_of(settings.flow)
        is_durable = settings.is_durable or bool(settings.schedule.crash)
        names = holdable_names(plan)
        schedule = settings.schedule.resolved(names, [routine.id for routine in plan.routines])
        self.settings = settings = replace(settings, schedule=schedule, is_durable=is_durable)
        run = self.shown = SimulatedRun(settings.flow, schedule, settings.codec, self._replayed)
        run.deviations += [f"{name} held until nothing else could run" for name in schedule.hold]
        self.chooser = Chooser(schedule, run.deviations.append, names_all=settings.is_exact)
        self.driver = Driver(settings.commands, lambda: run.position, lambda *refused: run.refused.append(refused))
        self.watch = None if is_durable else PayloadWatch(settings.codec)
        codec = settings.codec if self.watch is None else WatchedCodec(settings.codec, self.watch)
        self.process = SimulatedProcess(settings.flow, codec, self.driver, self._note, is_durable=is_durable)
        run.clock = self.process.clock
        self.chooser.deadline = self.process.deadline
        self.crashes = list(reversed(schedule.crash))
        self.invariants = [check for check in settings.checks if isinstance(check, Invariant)]
        self.awaited = [check for check in settings.checks if isinstance(check, Eventually)]
        self.healed_at: float | None = None
        self.heals_at = settings.heals_at
        self.looked_at = 0
        self.is_interrupted = False

    def run(self) -> SimulatedRun:
        run, settings = self.shown, self.settings
        world = WorldWatch(is_exact=settings.is_exact)
        try:
            with world:
                run.job_state = self.process.boot(self.crashes)
                tell_observer(run)
                while self._go_on() and not self._is_enough():
                    if self.is_interrupted:
                        raise KeyboardInterrupt
                    if world.caught is not None and settings.is_closed_world:
                        break
                    if run.choices >= settings.max_choices:
                        raise SimulationLimitError(settings.max_choices, run)
                if self.awaited and not self._is_enough():
                    self._look_ahead(is_over=True)
                self._look_at_the_end()
        except (PayloadChangedError, UnencodableValueError):
            raise
        except Exception as error:
            if not settings.is_exact:
                self._check_replay(error)
            raise
        finally:
            self.process.end()
        if world.caught is not None and settings.is_closed_world:
            raise world.caught
        return run

    def _go_on(self) -> bool:
        """Do the next thing; False when nothing is left to do."""
        process, run = self.process, self.shown
        if self.driver.is_waiting and self.driver.may_go_on:
            self.driver.go_on()
        if self.watch is not None:
            self._look_at_state(self.watch)
        has_run = self.chooser.go_on(process.dispatcher)
        run.choices = self.chooser.choices
        if self.settings.heals_at == run.choices:
            self.chooser.heal()
        if process.has_died or (not has_run and process.dies_at_the_end(self.crashes)):
            del run.records[process.store.safe :]
            run.crashes += 1
            run.deviations.append(f"crashed with {counted(process.store.safe, 'record')} on disk")
            run.job_state = process.boot(self.crashes)
        elif not has_run:
            return False
        self._look()
        return True

    def _is_enough(self) -> bool:
        until = self.settings.until
        if self.settings.stops_at is not None:
            return self.shown.choices >= self.settings.stops_at
        if until is None:
            return False
        return self.shown.time >= until if isinstance(until, int | float) else until(self.shown)

    def _note(self, job_id: str, record: Record) -> None:
        self.shown.note(job_id, record)
        if isinstance(record, StepFailed) and record.error.type == KeyboardInterrupt.__name__:
            # Handlers run on the thread that is interrupted: it was meant for the test, not for the step.
            self.is_interrupted = True
        if self.watch is not None:
            self.watch.note(record)

    # Looking

    def _look(self) -> None:
        run, watch = self.shown, self.watch
        if watch is not None:
            if self.settings.is_exact:
                routine, name = self.chooser.taken
                watch.look(f"during the {name}" if name.startswith("commit") else f"during a step of {routine!r}")
            if watch.breach is not None:
                self._report(watch.breach)
        if run.position != self.looked_at:
            self.looked_at = run.position
            for check in self.invariants:
                check.look(run)
            if self.awaited:
                self._look_ahead(is_over=False)

    def _look_at_the_end(self) -> None:
        """What nobody has received can have been changed too."""
        if self.watch is not None:
            self.watch.look("later")
            if self.watch.breach is not None:
                self._report(self.watch.breach)

    def _look_ahead(self, *, is_over: bool) -> None:
        if self.healed_at is None:
            has_healed = self.chooser.has_healed and not self.crashes
            if not is_over and not (has_healed and (not self.chooser.holds or self.chooser.choices > HEALS_AFTER)):
                return
            self.chooser.heal()
            self.healed_at, self.heals_at = self.shown.time, self.shown.choices
        healed_at = self.healed_at
        self.awaited = [check for check in self.awaited if not check.look(self.shown, healed_at, is_over=is_over)]

    def _look_at_state(self, watch: PayloadWatch) -> None:
        """What the next step would find changed in its state, though no step of its routine has run."""
        worker = self.process.dispatcher.first()
        if not isinstance(worker, Worker) or not worker.has_instance or worker.unfinished is not None:
            return
        if worker.tracked.has_watches and worker.tracked.is_changed_outside():
            what = f"A value in the state of {worker.plan.id!r}"
            watch.breach = Breach(what, "by one of its steps", "outside of its steps")

    def _report(self, breach: Breach) -> None:
        if not self.settings.is_exact:
            # Raises the same, with the very step.
            self._replayed(is_exact=True)
        raise PayloadChangedError(*breach, self.shown)

    # Again

    def _check_replay(self, error: Exception) -> None:
        """A run that failed is replayed at once: raises what that shows, unless it is the same error."""
        try:
            self.shown.check_replay()
        except Exception as again:
            if type(again) is not type(error):
                raise

    def _replayed(self, **others: Any) -> SimulatedRun:
        options = {"stops_at": self.shown.choices, "heals_at": self.heals_at, **others}
        return _Simulation(replace(self.settings, **options)).run()
