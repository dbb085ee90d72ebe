"""The pytest plugin: schedules and profiles from the command line, failures told as stories, what was never reached."""

import importlib.metadata

import pytest
from hypothesis import given

from flowforge.job_errors import StepTimeoutError
from flowforge.testing.pytest_plugin import PROFILES
from flowforge.testing.schedule import Schedule
from flowforge.testing.schedule_strategies import schedules
from flowforge.testing.schedule_text import ScheduleTextError, schedule_from
from flowforge.testing.simulation_errors import InjectedError

pytest_plugins = ["pytester"]

# A merge of two slots, where the order shows.
FLOW = """
    import pytest
    from hypothesis import example, given, settings
    from flowforge import Flow, Routine
    from flowforge.testing import *

    class Split(Routine):
        def __init__(self):
            super().__init__()
            self.define_slot("trigger", handler=self.split)
            self.define_event("out")
        def split(self, n=0):
            print("splits")
            self.emit("out", n=n)

    class Merge(Routine):
        def __init__(self):
            super().__init__()
            self.define_slot("left", handler=lambda n: self.emit("out", last="left"))
            self.define_slot("right", handler=lambda n: self.emit("out", last="right"))
            self.define_event("out")

    flow = Flow("merging")
    flow.add_routine(Split(), "split")
    flow.add_routine(Merge(), "merge")
    flow.connect("split.out", "merge.left")
    flow.connect("split.out", "merge.right")

    def last(run):
        return run.outputs["merge.out"][-1]["last"]
"""
STORY = "*flowforge: the last simulated run*"
LEFT_LAST = "Schedule(hold=['merge.left'])"


@pytest.fixture
def run_tests(pytester: pytest.Pytester) -> "RunTests":
    return RunTests(pytester)


class RunTests:
    """Runs the text of tests in a pytest of its own, beside the flow above."""

    def __init__(self, pytester: pytest.Pytester) -> None:
        self.pytester = pytester

    def __call__(self, tests: str, *options: str, in_process: bool = True) -> pytest.RunResult:
        self.pytester.makepyfile(conftest=FLOW, test_it=f"from conftest import *\n{tests}")
        run = self.pytester.runpytest_inprocess if in_process else self.pytester.runpytest_subprocess
        return run("-Werror", "-pno:cacheprovider", *options)


def test_the_plugin_is_an_entry_point_of_the_package() -> None:
    found = importlib.metadata.entry_points(group="pytest11", name="flowforge")

    assert [entry.value for entry in found] == ["flowforge.testing.pytest_plugin"]


def test_a_failure_tells_the_story_before_anything_else(run_tests: RunTests) -> None:
    result = run_tests(f"def test_a(): assert last(simulate(flow, schedule={LEFT_LAST})) == 'right'")

    result.stdout.fnmatch_lines(
        [
            "*_ test_a _*",
            STORY,
            "First in, first out, except: merge.left held until nothing else could run. The job has completed *",
            "schedule=Schedule(hold=?'merge.left'?)",
            "Replayed at once, it went the same way.",
            "*def test_a*",
            "E*AssertionError*",
            "*Captured stdout call*",
            "splits",
            "FAILED test_it.py::test_a - *",
        ],
    )
    # What the replay prints is no output of the test.
    assert str(result.stdout).splitlines().count("splits") == 1


def test_under_hypothesis_the_story_is_that_of_the_smallest_run(run_tests: RunTests) -> None:
    tests = "@settings(database=None, deadline=None, derandomize=True)\n"
    tests += "@given(schedule=schedules(flow))\ndef test_a(flow_sim, schedule):\n"
    tests += "    assert last(flow_sim(flow, schedule=schedule)) == 'right'"

    lines = str(run_tests(tests, "--show-capture=no").stdout).splitlines()

    told = schedule_from(next(line for line in lines if line.startswith("schedule=")))
    assert told.size == 1
    assert [line for line in lines if line.startswith("E") and "schedule=Schedule(" in line]


def test_a_found_error_tells_its_own_run_and_not_a_later_one(run_tests: RunTests) -> None:
    result = run_tests("def test_a(): simulate(flow, checks=[invariant(lambda run: not run.outputs, 'silent')])")

    result.stdout.fnmatch_lines([STORY, "First in, first out. The job is running after 2 steps *", "schedule=*"])
    result.stdout.no_fnmatch_line("*Replayed at once*")


def test_a_run_that_goes_otherwise_is_reported_as_nondeterministic(run_tests: RunTests) -> None:
    tests = "numbers = iter(range(9))\nSplit.split = lambda self: self.emit('out', n=next(numbers))\n"
    tests += "def test_a(): assert simulate(flow) is None"

    result = run_tests(tests)

    result.stdout.fnmatch_lines([STORY, "Nondeterministic: The same schedule led to two different runs, first at *"])
    result.stdout.no_fnmatch_line("*Replayed at once*")


def test_a_replay_that_raises_something_else_is_nondeterministic_too(run_tests: RunTests) -> None:
    tests = "import time\nSplit.split = lambda self: self.emit('out', n=0) if first else time.time()\n"
    tests += "first = True\ndef test_a():\n    simulate(flow)\n    global first\n    first = False\n    assert False"

    result = run_tests(tests)

    result.stdout.fnmatch_lines([STORY, "Nondeterministic: replayed at once, it raised OutsideWorldError: *"])


def test_a_test_without_a_simulation_is_reported_as_ever(run_tests: RunTests) -> None:
    result = run_tests("def test_a(): assert flow is None\ndef test_b(): simulate(flow)")

    result.assert_outcomes(passed=1, failed=1)
    result.stdout.no_fnmatch_line(STORY)


def test_what_is_expected_to_fail_tells_no_story(run_tests: RunTests) -> None:
    result = run_tests("@pytest.mark.xfail\ndef test_a(): assert simulate(flow) is None")

    result.assert_outcomes(xfailed=1)
    result.stdout.no_fnmatch_line(STORY)


def test_a_failure_without_a_traceback_tells_its_story_too(run_tests: RunTests) -> None:
    result = run_tests("def test_a():\n    simulate(flow)\n    pytest.fail('in short', pytrace=False)")

    result.stdout.fnmatch_lines([STORY, "schedule=Schedule()", "in short"])


def test_the_story_is_in_the_text_of_the_report_for_other_tools(run_tests: RunTests) -> None:
    result = run_tests("def test_a(): assert simulate(flow) is None", "--junitxml=report.xml")

    written = (run_tests.pytester.path / "report.xml").read_text(encoding="utf-8")
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    assert "flowforge: the last simulated run\nFirst in, first out." in written


def test_stories_reach_the_reader_from_workers_of_xdist(run_tests: RunTests) -> None:
    result = run_tests("def test_a(): assert simulate(flow) is None", "-n1", in_process=False)

    result.stdout.fnmatch_lines(["*_ test_a _*", STORY, "schedule=Schedule()", "E*", "FAILED test_it.py::test_a - *"])


def test_what_was_sometimes_to_be_true_and_never_was_fails_the_test(run_tests: RunTests) -> None:
    tests = "def test_a():\n    run = simulate(flow)\n    sometimes('left wins', last(run) == 'left')\n"
    tests += "    sometimes('right wins', last(run) == 'right')"

    result = run_tests(tests)

    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["In no run of this test was it true that: 'left wins'. Let it try more examples, *"])
    result.stdout.no_fnmatch_line(STORY)


def test_one_true_run_is_enough_for_sometimes(run_tests: RunTests) -> None:
    tests = f"def test_a():\n    for schedule in (Schedule(), {LEFT_LAST}):\n"
    tests += "        sometimes('left wins', last(simulate(flow, schedule=schedule)) == 'left')"

    run_tests(tests).assert_outcomes(passed=1)


def test_a_failure_of_its_own_hides_what_was_not_reached(run_tests: RunTests) -> None:
    result = run_tests("def test_a():\n    sometimes('never', False)\n    assert simulate(flow) is None")

    result.stdout.fnmatch_lines([STORY, "E*assert*"])
    result.stdout.no_fnmatch_line("*In no run of this test*")


def test_a_schedule_on_the_command_line_replaces_drawn_and_given_ones(run_tests: RunTests) -> None:
    tests = "@given(schedule=schedules(flow))\ndef test_a(flow_sim, schedule):\n"
    tests += f"    assert repr(flow_sim(flow, schedule=schedule).schedule) == {LEFT_LAST!r}\n"
    tests += f"def test_b(flow_sim):\n    assert last(flow_sim(flow, [{{}}], schedule={LEFT_LAST})) == 'left'\n"
    tests += "def test_c(flow_sim):\n    sometimes('right', last(flow_sim(flow)) == 'right')"

    result = run_tests(tests, f"--flowforge-schedule=schedule={LEFT_LAST}")

    result.assert_outcomes(passed=3)


def test_without_the_option_flow_sim_is_simulate_itself(run_tests: RunTests) -> None:
    run_tests("def test_a(flow_sim): assert flow_sim is simulate").assert_outcomes(passed=1)


def test_an_unreadable_schedule_on_the_command_line_is_wrong_use(run_tests: RunTests) -> None:
    result = run_tests("def test_a(): pass", "--flowforge-schedule=Schedule(hold=")

    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["ERROR: --flowforge-schedule: A schedule cannot be read from 'Schedule(hold=':*"])


@pytest.mark.parametrize("name", ["ci", "long"])
def test_a_profile_is_loaded_when_the_command_line_names_it(run_tests: RunTests, name: str) -> None:
    tests = (
        "def test_a():\n    print(settings.get_current_profile_name(), settings().max_examples, settings().deadline)"
    )

    result = run_tests(tests, f"--flowforge-profile={name}", "-s", in_process=False)

    result.stdout.fnmatch_lines([f"*{name} {PROFILES[name]} None*"])


def test_profiles_of_the_user_stay_unless_one_of_ours_is_named(run_tests: RunTests) -> None:
    tests = "settings.register_profile('quick', max_examples=7)\nsettings.load_profile('quick')\n"
    tests += "def test_a():\n    assert settings().max_examples == 7"

    run_tests(tests, in_process=False).assert_outcomes(passed=1)


def test_a_profile_without_hypothesis_is_wrong_use(pytester: pytest.Pytester) -> None:
    pytester.makeconftest("import sys\nsys.modules['hypothesis'] = None")

    result = pytester.runpytest_inprocess("-pno:hypothesispytest", "--flowforge-profile=ci")

    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["ERROR: --flowforge-profile=ci needs Hypothesis. Install flowforge[[]testing[]]."])


@given(schedules(crashes=2, errors=2, exceptions=[InjectedError, StepTimeoutError, ValueError("no", 1), OSError]))
def test_what_a_schedule_shows_is_read_back_as_the_same(schedule: Schedule) -> None:
    assert repr(schedule_from(repr(schedule))) == repr(schedule)
    assert schedule_from(f"schedule={schedule!r}").size == schedule.size


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("Schedule(hold=", "'[(]' was never closed"),
        ("Plan(hold=[])", "it is no call of Schedule"),
        ("[1]", "it is no call of Schedule"),
        ("x.Schedule()", "it is no call of Schedule"),
        ("Schedule(held=[])", "unexpected keyword argument 'held'"),
        ("Schedule(**{'hold': []})", "it holds [*][*], which is more than data"),
        ("Schedule(fail={**{}})", "it holds [*][*], which is more than data"),
        ("Schedule(crash=[2, 1])", "A schedule's crash cannot be .2, 1."),
        ("Schedule(crash=5)", "A schedule's crash cannot be 5"),
        ("Schedule(swap=[(1, 2, 3)])", "A schedule's swap cannot be .1, 2, 3."),
        ("Schedule(fail={('a',): ValueError})", "A schedule's fail cannot be .'a',."),
        ("Schedule(crash=[__import__('os').getpid()])", "is no plain value"),
        ("Schedule(fail={('a', 1): exit})", "'exit' is no exception that it may name"),
        ("Schedule(fail={('a', 1): SystemExit})", "'SystemExit' is no exception that it may name"),
        ("Schedule(fail={('a', 1): os.error})", "'os.error' is no exception that it may name"),
        ("Schedule(fail={('a', 1): ValueError(open('x'))})", "is no plain value"),
        ("Schedule(fail={('a', 1): UnicodeError(a=1)})", "'UnicodeError.a=1.' cannot be made: UnicodeError.. takes no"),
        ("Schedule(fail={('a', 1): InvariantError('a', 'b')})", "cannot be made: 'str' object has no attribute"),
    ],
)
def test_a_text_that_is_no_schedule_is_refused_with_the_reason(text: str, why: str) -> None:
    with pytest.raises(
        ScheduleTextError, match=f"^A schedule cannot be read from .*: .*{why}.*Give one such as"
    ) as caught:
        schedule_from(text)

    assert caught.value.text == text
