"""What a hook can do to a job: it is data, all of it is checked, and nothing is lost silently."""

from collections.abc import Callable
from typing import Any

import pytest

from actors.testing.stepped_dispatcher import SteppedDispatcher
from flowforge._engine.job_data import JobData
from flowforge._engine.view import JobView
from flowforge.error_handler import ErrorHandler, ErrorStrategy
from flowforge.flow import Flow
from flowforge.graph_errors import IllegalNameError
from flowforge.job_errors import MigrationFailedError, MigrationTargetError, PayloadTypeError
from flowforge.job_migration import JobMigration
from flowforge.job_state import JobState
from flowforge.option_errors import OptionError
from flowforge.records import Message
from flowforge.routine import Routine
from flowforge.runtime import Runtime
from tests.engine.jobs import numbers
from tests.handlers import count, refuse

Graph = Callable[..., Flow]
MakeNode = Callable[..., Routine]
Migrate = Callable[..., JobState]
Hook = Callable[[JobMigration], object]


def remind(self: Routine, n: int = 0) -> None:
    self.emit_after(10.0, "out", n=n)


def remind_outside(self: Routine, n: int = 0) -> None:
    self.emit_after(10.0, "extra", n=n)


@pytest.fixture
def migrate(stepped: Runtime) -> Migrate:
    """`migrate(job, flow, hook)`: the job goes on with that flow in version 2, once the hook has changed it."""

    def made(job: JobState, flow: Flow, hook: Hook) -> JobState:
        flow.version = 2
        flow.migrate(1, hook)
        stepped.exec(flow, job_state=job)
        return job

    return made


@pytest.fixture
def paused(stepped: Runtime, dispatcher: SteppedDispatcher) -> Callable[..., JobState]:
    """`paused(flow, ("a", 1), ...)`: a job with these messages; unless `is_idle`, they wait when it is paused."""

    def made(flow: Flow, *posts: tuple[str, Any], is_idle: bool = True) -> JobState:
        job = stepped.exec(flow, job_id="job", keep_alive=True)
        for routine, n in posts:
            stepped.post(job, routine, None, {"n": n})
        while is_idle and dispatcher.step():
            pass
        job.pause()
        return job

    return made


Paused = Callable[..., JobState]


def finished(job: JobState) -> JobState:
    job.close()
    job.wait()
    assert job.status == "completed", job.error
    return job


# State


def test_a_hook_changes_states_and_shared_data(graph: Graph, paused: Paused, migrate: Migrate) -> None:
    def hook(job: JobMigration) -> None:
        state = job.state("a")
        state["count"] = state.pop("seen")
        job.state("b")["rows"] = [1]
        job.shared_data["moved"] = True

    job = paused(graph({"a": count}), ("a", 1))
    finished(migrate(job, graph({"a": count, "b": count}), hook))

    assert (job.get_routine_state("a"), job.get_routine_state("b")) == ({"count": 1}, {"rows": [1]})
    assert dict(job.shared_data) == {"moved": True}


def test_a_routine_that_a_hook_only_looks_at_begins_as_usual(
    graph: Graph, node: MakeNode, paused: Paused, migrate: Migrate
) -> None:
    job = paused(graph({"a": count}), ("a", 1))
    flow = graph({"a": count, "b": node(count, seen=5)})

    finished(migrate(job, flow, lambda job: job.state("b")))

    assert job.get_routine_state("b") == {"seen": 5}


def test_the_state_of_replicas_is_not_one(graph: Graph, node: MakeNode, paused: Paused, migrate: Migrate) -> None:
    routine = node(count)
    routine.set_concurrency(2)
    job = paused(graph({"a": routine}), ("a", 1), ("a", 2))

    with pytest.raises(MigrationFailedError) as caught:
        migrate(job, graph({"a": count}), lambda job: job.state("a"))

    assert isinstance(caught.value.__cause__, OptionError)
    assert str(caught.value.__cause__) == (
        "JobMigration.state cannot take routine='a'. It has replicas: use replica_states."
    )


def test_only_a_replica_is_dropped(graph: Graph, paused: Paused, migrate: Migrate) -> None:
    job = paused(graph({"a": count}), ("a", 1))

    with pytest.raises(MigrationFailedError) as caught:
        migrate(job, graph({"a": count}), lambda job: job.drop_replica("a", -1))

    assert "JobMigration.drop_replica cannot take replica=-1. Give a whole number" in str(caught.value.__cause__)


def test_a_migration_says_what_it_is(graph: Graph, paused: Paused, migrate: Migrate) -> None:
    seen: list[str] = []

    migrate(paused(graph({"a": count})), graph({"a": count}), lambda job: seen.append(repr(job)))

    assert seen == ["<JobMigration of 'job' from version 1 to 2>"]


# Messages


def test_waiting_payloads_are_looked_at_and_changed(graph: Graph, paused: Paused, migrate: Migrate) -> None:
    seen: list[Any] = []

    def hook(job: JobMigration) -> None:
        seen.extend(job.messages("a", "input"))
        seen.extend(job.messages("x", "input"))
        job.change_messages("a", "input", lambda payload: {"n": payload["n"] * 10})

    job = paused(graph({"a": count}), ("a", 1), ("a", 2), is_idle=False)
    finished(migrate(job, graph({"a": count}), hook))

    assert seen == [{"n": 1}, {"n": 2}]
    assert numbers(job, "a.out") == [10, 20]


def test_what_a_hook_has_no_use_for_becomes_a_dead_letter(graph: Graph, paused: Paused, migrate: Migrate) -> None:
    job = paused(graph({"a": count}), ("a", 1), ("a", 2), ("a", 3), is_idle=False)

    def hook(job: JobMigration) -> None:
        job.change_messages("a", "input", lambda payload: payload if payload["n"] == 2 else None)

    finished(migrate(job, graph({"a": count}), hook))

    assert numbers(job, "a.out") == [2]
    letters = [(letter.id, letter.payload, letter.strategy, letter.reason) for letter in job.dead_letters]
    assert letters == [("job-dl1", {"n": 1}, "migrated", "migrated"), ("job-dl2", {"n": 3}, "migrated", "migrated")]
    assert job.routine_status("a")["dead_letters"] == 2


def test_a_letter_that_a_hook_left_can_be_requeued(graph: Graph, paused: Paused, migrate: Migrate) -> None:
    job = paused(graph({"a": count}), ("a", 1), is_idle=False)
    migrate(job, graph({"a": count}), lambda job: job.change_messages("a", "input", lambda _: None))

    job.requeue_dead_letter("job-dl1")

    assert numbers(finished(job), "a.out") == [1]


@pytest.mark.parametrize("answer", [3, {1: 2}, "n"])
def test_a_payload_is_a_dict_with_string_keys(graph: Graph, paused: Paused, migrate: Migrate, answer: Any) -> None:
    job = paused(graph({"a": count}), ("a", 1), is_idle=False)

    with pytest.raises(MigrationFailedError) as caught:
        migrate(job, graph({"a": count}), lambda job: job.change_messages("a", "input", lambda _: answer))

    assert isinstance(caught.value.__cause__, PayloadTypeError)
    assert str(caught.value.__cause__).startswith("The payload for the slot 'a.input' is ")


def test_messages_of_timers_are_changed_moved_and_set_aside(graph: Graph, paused: Paused, migrate: Migrate) -> None:
    def hook(job: JobMigration) -> None:
        job.change_messages("b", "input", lambda payload: {"n": payload["n"] + 1} if payload["n"] else None)
        job.move_messages("b", "input", "c", "input")

    job = paused(graph({"a": remind, "b": count}, "a.out -> b.input"), ("a", 0), ("a", 4))
    migrate(job, graph({"a": remind, "c": count}), hook)

    assert [timer.delivery and timer.delivery.to.routine for timer in job.data.timers.values()] == ["c"]
    assert numbers(finished(job), "c.out") == [5]
    assert [letter.payload for letter in job.dead_letters] == [{"n": 0}]


def test_moved_messages_wait_behind_those_that_wait_there(graph: Graph, paused: Paused, migrate: Migrate) -> None:
    job = paused(graph({"a": count, "b": count}), ("a", 1), ("b", 2), ("a", 3), is_idle=False)

    migrate(job, graph({"b": count}), lambda job: job.move_messages("a", "input", "b", "input"))

    assert numbers(finished(job), "b.out") == [2, 1, 3]


def test_what_has_moved_waits_for_no_retry(graph: Graph, paused: Paused, migrate: Migrate) -> None:
    handler = ErrorHandler(ErrorStrategy.RETRY, max_retries=3, retry_delay=60.0)
    job = paused(graph({"a": refuse, "b": count}, error_handler=handler), ("a", 1))
    assert [retry.routine for retry in job.data.retries.values()] == ["a"]

    migrate(job, graph({"b": count}), lambda job: job.move_messages("a", "input", "b", "input"))

    assert job.data.retries == {}
    assert numbers(finished(job), "b.out") == [1]


def test_a_suspect_is_still_suspected_where_it_has_gone() -> None:
    data, view = JobData("job", "flow"), JobView("job", 10, 10)
    data.pending["a", "input"] = [Message(7, "job", "", {}, 0.0), Message(8, "job", "", {}, 0.0)]
    data.suspect = "a", 7
    job = JobMigration(data, view, 1, 0.0)

    job.rename_routine("a", "b")
    assert data.suspect == ("b", 7)
    job.move_messages("b", "input", "c", "input")
    assert data.suspect == ("c", 7)
    job.change_messages("c", "input", lambda _: None)
    assert data.suspect is None


# Names


def test_a_renamed_slot_keeps_what_is_its_own(
    stepped: Runtime, dispatcher: SteppedDispatcher, migrate: Migrate
) -> None:
    def flow(slot: str) -> Flow:
        made, routine = Flow("flow"), Routine()
        routine.define_slot(slot, handler=lambda n: routine.emit("out", n=n), merge_strategy="append")
        routine.define_event("out")
        made.add_routine(routine, "a")
        return made

    job = stepped.exec(flow("old"), job_id="job", keep_alive=True)
    stepped.post(job, "a", "old", {"n": 1})
    dispatcher.run_until_idle()
    stepped.post(job, "a", "old", {"n": 2})
    job.pause()
    migrate(job, flow("new"), lambda job: job.rename_slot("a", "old", "new"))
    stepped.post(job, "a", "new", {"n": 3})

    assert numbers(finished(job), "a.out") == [[1], [1, 2], [1, 2, 3]]


def test_a_renamed_slot_gets_its_dead_letters_back(graph: Graph, paused: Paused, migrate: Migrate) -> None:
    job = paused(graph({"a": refuse}, error_handler=ErrorHandler(ErrorStrategy.SKIP)), ("a", 1))
    flow, routine = Flow("flow"), Routine()
    routine.define_slot("new", handler=lambda n: routine.emit("out", n=n))
    routine.define_event("out")
    flow.add_routine(routine, "a")
    migrate(job, flow, lambda job: job.rename_slot("a", "input", "new"))

    job.requeue_dead_letter("job-dl1")

    assert numbers(finished(job), "a.out") == [1]


def test_a_renamed_routine_keeps_all_that_is_its_own(graph: Graph, paused: Paused, migrate: Migrate) -> None:
    def fussy(self: Routine, n: int) -> None:
        if n == 0:
            raise LookupError
        count(self, n)

    skip = ErrorHandler(ErrorStrategy.SKIP)
    job = paused(graph({"old": fussy}, error_handler=skip), ("old", 0), ("old", 1))
    assert job.outputs == {"old.out": [{"n": 1}]}
    migrate(job, graph({"new": fussy}, error_handler=skip), lambda job: job.rename_routine("old", "new"))
    job.requeue_dead_letter("job-dl1")
    finished(job)

    assert (job.outputs, job.routine_states) == ({"new.out": [{"n": 1}]}, {"new": {"seen": 1}})
    assert job.routine_status("new")["calls"] == 1
    assert [letter.routine for letter in job.dead_letters] == ["new"]


def test_a_renamed_routine_keeps_its_retry(graph: Graph, paused: Paused, migrate: Migrate) -> None:
    handler = ErrorHandler(ErrorStrategy.RETRY, max_retries=3, retry_delay=60.0)
    job = paused(graph({"old": refuse}, error_handler=handler), ("old", 1))
    [retry] = job.data.retries.values()
    times: list[float] = []

    def note(self: Routine, n: int) -> None:
        times.append(self.now())

    finished(migrate(job, graph({"new": note}), lambda job: job.rename_routine("old", "new")))

    assert times == [pytest.approx(retry.due)]


def test_a_renamed_routine_keeps_its_timers(graph: Graph, node: MakeNode, paused: Paused, migrate: Migrate) -> None:
    before = graph({"old": node(remind_outside, "extra")})
    job = paused(before, ("old", 7))

    finished(migrate(job, graph({"new": node(remind_outside, "extra")}), lambda job: job.rename_routine("old", "new")))

    assert job.outputs == {"new.extra": [{"n": 7}]}


@pytest.mark.parametrize("name", ["", "a.b", 3])
def test_a_new_name_is_checked_at_once(graph: Graph, paused: Paused, migrate: Migrate, name: Any) -> None:
    job = paused(graph({"a": count}), ("a", 1), is_idle=False)
    hooks: list[Hook] = [
        lambda job: job.rename_routine("a", name),
        lambda job: job.rename_slot("a", "input", name),
        lambda job: job.move_messages("a", "input", name, "input"),
        lambda job: job.move_messages("a", "input", "a", name),
    ]
    for hook in hooks:
        with pytest.raises(MigrationFailedError) as caught:
            migrate(job, graph({"a": count}), hook)
        assert isinstance(caught.value.__cause__, IllegalNameError)


def test_nothing_is_renamed_over_something_else(graph: Graph, paused: Paused, migrate: Migrate) -> None:
    job = paused(graph({"a": count, "b": count}), ("a", 1), ("b", 1), is_idle=False)
    hooks: dict[str, Hook] = {
        "has something of 'b', so 'a' cannot be renamed to it": lambda job: job.rename_routine("a", "b"),
        "has something of 'a.input', so 'a.x' cannot be renamed": lambda job: job.rename_slot("a", "x", "input"),
    }
    for text, hook in hooks.items():
        with pytest.raises(MigrationFailedError) as caught:
            migrate(job, graph({"a": count, "b": count}), hook)
        assert isinstance(caught.value.__cause__, MigrationTargetError)
        assert text in str(caught.value.__cause__)
        assert str(caught.value.__cause__).endswith("Move the messages with move_messages, and the state by hand.")
