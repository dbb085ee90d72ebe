"""The pytest plugin: `flow_sim`, a schedule from the command line, Hypothesis profiles, and failures told as stories.

Loaded by pytest itself wherever FlowForge is installed. A test in which no simulation runs is not touched.
"""

from __future__ import annotations

import contextlib
import functools
import io
from collections.abc import Callable, Generator
from typing import Any

import pytest

from flowforge.testing.checks import reachable
from flowforge.testing.run_observer import observe_runs
from flowforge.testing.schedule import Schedule
from flowforge.testing.schedule_text import ScheduleTextError, schedule_from
from flowforge.testing.simulated_run import SimulatedRun
from flowforge.testing.simulation import simulate
from flowforge.testing.simulation_errors import NondeterministicHandlerError

__all__ = [
    "PROFILES",
    "flow_sim",
    "load_profile",
    "pytest_addoption",
    "pytest_configure",
    "pytest_runtest_call",
    "pytest_runtest_makereport",
]

PROFILES = {"quick": 50, "ci": 200, "long": 2_000}
"""The Hypothesis profiles that `--flowforge-profile` may name, and how many examples each has a property try."""

_TITLE = "flowforge: the last simulated run"
_GIVEN_SCHEDULE = pytest.StashKey[Schedule]()
_LAST_RUN = pytest.StashKey[SimulatedRun]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add `--flowforge-schedule` and `--flowforge-profile`."""
    group = parser.getgroup("flowforge", "simulated flows")
    group.addoption(
        "--flowforge-schedule",
        metavar="Schedule(...)",
        help="the schedule of every run that the fixture flow_sim makes, in place of what the test gives",
    )
    group.addoption(
        "--flowforge-profile",
        choices=sorted(PROFILES, key=PROFILES.__getitem__),
        help="how many examples Hypothesis tries: " + ", ".join(f"{name} {count}" for name, count in PROFILES.items()),
    )


def pytest_configure(config: pytest.Config) -> None:
    """Act on both options; pytest.UsageError for a schedule that cannot be read, and a profile without Hypothesis."""
    text = config.getoption("--flowforge-schedule")
    if text is not None:
        try:
            config.stash[_GIVEN_SCHEDULE] = schedule_from(text)
        except ScheduleTextError as err:
            raise pytest.UsageError(f"--flowforge-schedule: {err}") from err
    # A worker of pytest-xdist sends its reports on as plain data; they are shown elsewhere.
    if not hasattr(config, "workerinput"):
        config.pluginmanager.register(_Storyteller(), "flowforge-storyteller")
    profile = config.getoption("--flowforge-profile")
    if profile is not None:
        try:
            load_profile(profile)
        except ImportError as err:
            remedy = "Install flowforge[testing]."
            raise pytest.UsageError(f"--flowforge-profile={profile} needs Hypothesis. {remedy}") from err


def load_profile(name: str) -> None:
    """Register the Hypothesis profile of this name, one of PROFILES, and use it from now on.

    `ci` tries the same examples in each run. No property fails for being slow. ImportError without Hypothesis.
    """
    from hypothesis import HealthCheck, settings  # noqa: PLC0415 - an optional extra

    settings.register_profile(
        name,
        max_examples=PROFILES[name],
        deadline=None,
        print_blob=True,
        derandomize=name == "ci",
        suppress_health_check=[HealthCheck.too_slow],
    )
    settings.load_profile(name)


@pytest.fixture(scope="session")
def flow_sim(pytestconfig: pytest.Config) -> Callable[..., SimulatedRun]:
    """The function `simulate`, under the schedule of `--flowforge-schedule` if that is given, whatever the test says.

    One for all tests, so that a property under `@given` may use it.
    """
    schedule = pytestconfig.stash.get(_GIVEN_SCHEDULE, None)
    if schedule is None:
        return simulate

    @functools.wraps(simulate)
    def replay(*given: Any, **options: Any) -> SimulatedRun:
        return simulate(*given, **(options | {"schedule": schedule}))

    return replay


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, object, object]:
    """Remember the test's last simulated run, and fail a test that passed but missed what it says of `sometimes`."""

    def remember(run: SimulatedRun) -> None:
        item.stash[_LAST_RUN] = run

    with observe_runs(remember), reachable() as seen:
        result = yield
    missed = [name for name, was_true in seen.items() if not was_true]
    # One schedule alone is not meant to reach everything.
    if missed and _GIVEN_SCHEDULE not in item.config.stash:
        _forget(item)
        names = ", ".join(map(repr, missed))
        remedy = "Let it try more examples, a wider range of inputs, or schedules with more deviations."
        pytest.fail(f"In no run of this test was it true that: {names}. {remedy}", pytrace=False)
    return result


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Add the story of the last simulated run to the report of a test that failed; replays that run."""
    report = yield
    if call.when == "call":
        run = _forget(item)
        if run is not None and report.failed:
            error = None if call.excinfo is None else call.excinfo.value
            report.sections.insert(0, (_TITLE, _told(run, error)))
    return report


def _forget(item: pytest.Item) -> SimulatedRun | None:
    """The last run of a test, which pytest would otherwise keep to the end of the session."""
    run = item.stash.get(_LAST_RUN, None)
    if run is not None:
        del item.stash[_LAST_RUN]
    return run


def _told(run: SimulatedRun, error: BaseException | None) -> str:
    found = getattr(error, "run", None)
    if isinstance(found, SimulatedRun):
        # Raised by the simulation, which has replayed the run itself and may have made others since.
        return _story_of(found)
    # The test's own output was captured before; that of a replay would only repeat it.
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        return f"{_story_of(run)}\n{_told_replay(run, error)}"


def _story_of(run: SimulatedRun) -> str:
    return f"{run.story()}\nschedule={run.schedule!r}"


def _told_replay(run: SimulatedRun, error: BaseException | None) -> str:
    try:
        run.check_replay()
    except NondeterministicHandlerError as err:
        return f"Nondeterministic: {_first_line(err)}"
    except Exception as err:  # noqa: BLE001 - whatever it is, a report is where it belongs
        if type(err) is not type(error):
            return f"Nondeterministic: replayed at once, it raised {type(err).__name__}: {_first_line(err)}"
    return "Replayed at once, it went the same way."


def _first_line(error: Exception) -> str:
    """What is wrong, without the story that stands before it in the report."""
    return str(error).partition("\n")[0]


class _Storyteller:
    """Has the story stand before everything else that a report shows."""

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.sections and report.sections[0][0] == _TITLE:
            told_first: Any = _StoryFirst(report.sections.pop(0)[1], report.longrepr)
            report.longrepr = told_first


class _StoryFirst:
    """What pytest shows of a failure, and a story before it."""

    def __init__(self, story: str, shown: Any) -> None:
        self._story = story
        self._shown = shown

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            # A copy asks before it has anything to show.
            raise AttributeError(name)
        return getattr(self._shown, name)

    def __str__(self) -> str:
        return f"{_TITLE}\n{self._story}\n\n{self._shown}"

    def toterminal(self, terminal: Any) -> None:
        terminal.sep("-", _TITLE)
        terminal.line(self._story)
        terminal.line()
        if hasattr(self._shown, "toterminal"):
            self._shown.toterminal(terminal)
        else:
            terminal.line(str(self._shown))
