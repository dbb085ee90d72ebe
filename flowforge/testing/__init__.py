"""Simulation, properties and single routines: what a flow does under any order of steps, any error, any crash."""

from flowforge.testing.checks import eventually, invariant, reachable, sometimes
from flowforge.testing.equivalence import assert_confluent, assert_crash_equivalent
from flowforge.testing.inputs import Cancel, Pause, Post, Resume
from flowforge.testing.outside_world import OutsideWorldError
from flowforge.testing.routine_tester import RoutineOutcome, RoutineTester
from flowforge.testing.routine_tester_errors import (
    EndlessRoutineError,
    RoutineStoppedError,
    RoutineTesterEndedError,
)
from flowforge.testing.schedule import Schedule
from flowforge.testing.schedule_strategies import random_schedule, schedules
from flowforge.testing.simulated_run import SimulatedRun
from flowforge.testing.simulation import simulate
from flowforge.testing.simulation_errors import (
    ConfluenceError,
    CrashEquivalenceError,
    InjectedError,
    InvariantError,
    NondeterministicHandlerError,
    NotReachedError,
    PayloadChangedError,
    ScheduleError,
    SimulationLimitError,
    SimulationUseError,
)

__all__ = [
    # Runs
    "Schedule",
    "SimulatedRun",
    "simulate",
    "random_schedule",
    "schedules",
    # Inputs
    "Cancel",
    "Pause",
    "Post",
    "Resume",
    # One routine
    "RoutineOutcome",
    "RoutineTester",
    # Oracles
    "assert_confluent",
    "assert_crash_equivalent",
    "eventually",
    "invariant",
    "reachable",
    "sometimes",
    # Errors
    "ConfluenceError",
    "CrashEquivalenceError",
    "EndlessRoutineError",
    "InjectedError",
    "InvariantError",
    "NondeterministicHandlerError",
    "NotReachedError",
    "OutsideWorldError",
    "PayloadChangedError",
    "RoutineStoppedError",
    "RoutineTesterEndedError",
    "ScheduleError",
    "SimulationLimitError",
    "SimulationUseError",
]
