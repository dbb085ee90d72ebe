"""Jobs share nothing but the pool, and runtimes share nothing."""

import contextvars
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from pykka import ActorRegistry

from actors.testing.stepped_dispatcher import SteppedDispatcher
from flowforge.error_handler import ErrorHandler
from flowforge.flow import Flow
from flowforge.job_errors import DuplicateJobError, UnknownJobError
from flowforge.job_state import JobState
from flowforge.routine import Routine
from flowforge.runtime import Runtime
from tests.handlers import pass_on

Chain = Callable[..., Flow]
Run = Callable[..., JobState]


def test_many_jobs_side_by_side_keep_their_states_apart(runtime: Runtime, chain: Chain) -> None:
    def send(self: Routine, n: int) -> None:
        for _ in range(n % 7):
            self.emit("out", n=n)

    def add(self: Routine, n: int) -> None:
        self.increment_stat("sum", n)
        self.job_state.shared_data.add("calls")

    flow = chain(send, add)
    jobs = [runtime.exec(flow, entry_params={"n": n}) for n in range(200)]

    assert runtime.wait_until_all_jobs_finished(60)
    sums = [job.get_routine_state("b", {}).get("sum", 0) for job in jobs]
    assert sums == [n * (n % 7) for n in range(200)]
    assert [job.shared_data.get("calls", 0) for job in jobs] == [n % 7 for n in range(200)]


def test_a_job_that_fails_leaves_the_others_alone(runtime: Runtime, chain: Chain) -> None:
    def fail_odd(self: Routine, n: int) -> None:
        if n % 2:
            raise LookupError
        self.emit("out", n=n)

    flow = chain(fail_odd)
    jobs = [runtime.exec(flow, entry_params={"n": n}) for n in range(50)]
    runtime.wait_until_all_jobs_finished(60)

    assert [job.status for job in jobs] == ["completed", "failed"] * 25


def test_a_job_that_is_cancelled_leaves_the_others_alone(runtime: Runtime, chain: Chain) -> None:
    def endless(self: Routine, n: int) -> Iterator[None]:
        while n == 0:
            self.increment_stat("yields")
            yield

    flow = chain(endless)
    first, other = (runtime.exec(flow, entry_params={"n": n}) for n in range(2))
    other.wait(30)
    first.cancel()
    first.wait(30)

    assert (first.status, other.status) == ("cancelled", "completed")


def test_an_endless_job_does_not_starve_another(stepped: Runtime, dispatcher: SteppedDispatcher, chain: Chain) -> None:
    def endless(self: Routine, n: int = 0) -> Iterator[None]:
        while True:
            self.increment_stat("yields")
            yield

    stepped.exec(chain(endless))
    other = stepped.exec(chain(pass_on, pass_on))
    dispatcher.run_until_idle(50)
    status = other.status
    stepped.shutdown(wait=False)

    assert status == "completed"


def test_two_runtimes_do_not_meet(chain: Chain) -> None:
    with Runtime(dispatcher=SteppedDispatcher()) as one, Runtime(dispatcher=SteppedDispatcher()) as other:
        job = one.exec(chain(pass_on), job_id="same")
        twin = other.exec(chain(pass_on), job_id="same")

        assert one.get_job("same") is job
        assert other.get_job("same") is twin
        assert (len(one.list_jobs()), len(other.list_jobs())) == (1, 1)


def test_one_flow_may_run_in_two_runtimes_at_once(chain: Chain) -> None:
    flow = chain(pass_on, pass_on)
    with Runtime(dispatcher=SteppedDispatcher()) as one, Runtime(2) as other:
        jobs = [runtime.exec(flow, entry_params={"n": n}) for n, runtime in enumerate((one, other))]

        assert all(job.wait(30) for job in jobs)
    assert [job.outputs["b.out"] for job in jobs] == [[{"n": 0}], [{"n": 1}]]


def test_a_job_of_another_runtime_is_unknown(chain: Chain) -> None:
    with Runtime(dispatcher=SteppedDispatcher()) as one, Runtime(dispatcher=SteppedDispatcher()) as other:
        job = one.exec(chain(pass_on), job_id="one's")

        assert other.get_job("one's") is None
        with pytest.raises(UnknownJobError, match=r"The runtime has no job .one's.. Use the runtime that started it"):
            other.cancel_job("one's")
        with pytest.raises(UnknownJobError, match=r"The runtime has no job"):
            other.post(job, "a", "input", {})


def test_the_actors_of_jobs_are_not_in_pykkas_registry(stepped: Runtime, chain: Chain) -> None:
    before = len(ActorRegistry.get_all())

    stepped.exec(chain(pass_on))

    assert len(ActorRegistry.get_all()) == before


def test_a_job_id_in_use_is_refused(runtime: Runtime, chain: Chain) -> None:
    runtime.exec(chain(pass_on), job_id="one")

    with pytest.raises(DuplicateJobError, match=r"The runtime already has a job 'one'. Leave job_id out"):
        runtime.exec(chain(pass_on), job_id="one")


def test_handlers_see_the_context_of_exec(runtime: Runtime, chain: Chain) -> None:
    variable = contextvars.ContextVar("variable", default="none")

    def tell(self: Routine) -> None:
        self.emit("out", seen=variable.get())

    token = variable.set("caller's")
    job = runtime.exec(chain(tell, lambda self, seen: self.emit("out", both=[seen, variable.get()])))
    variable.reset(token)
    job.wait(30)

    assert job.outputs["b.out"] == [{"both": ["caller's", "caller's"]}]


def test_what_a_step_sets_in_its_context_no_other_step_sees(run: Run, chain: Chain) -> None:
    variable = contextvars.ContextVar("variable", default=0)

    def send(self: Routine) -> None:
        for _ in range(3):
            self.emit("out")

    def count(self: Routine) -> None:
        variable.set(variable.get() + 1)
        self.emit("out", n=variable.get())

    assert run(chain(send, count)).outputs["b.out"] == [{"n": 1}] * 3


def test_a_generator_keeps_its_context_between_yields(run: Run, chain: Chain) -> None:
    variable = contextvars.ContextVar("variable", default=0)

    def source(self: Routine) -> Iterator[None]:
        for number in range(3):
            self.emit("out", n=variable.get())
            self.state["n"] = number
            variable.set(variable.get() + 1)
            yield

    assert run(chain(source)).outputs["a.out"] == [{"n": 0}, {"n": 1}, {"n": 2}]


def test_changing_a_flow_leaves_its_running_jobs_alone(
    stepped: Runtime, chain: Chain, turn: Callable[..., None]
) -> None:
    flow = chain(pass_on, pass_on)
    job = stepped.exec(flow, entry_params={"n": 1})
    turn("a")

    flow.remove_routine("b")
    job.wait()

    assert job.outputs == {"b.out": [{"n": 1}]}


def test_list_jobs_filters_by_status_and_flow(runtime: Runtime, chain: Chain) -> None:
    done = runtime.exec(chain(pass_on))
    failed = runtime.exec(chain(lambda self: 1 / 0))
    runtime.wait_until_all_jobs_finished(30)

    assert runtime.list_jobs(status="failed") == [failed]
    assert runtime.list_jobs(status="completed", flow_id="flow") == [done]
    assert runtime.list_jobs(flow_id="other") == []


def test_unhandled_errors_of_many_threads_hit_their_own_job(runtime: Runtime, chain: Chain) -> None:
    def work(self: Routine, n: int) -> Any:
        if n % 3 == 0:
            raise SystemExit(n)
        self.emit("out", n=n)

    flow = chain(work, error_handler=ErrorHandler("skip"))
    jobs = [runtime.exec(flow, entry_params={"n": n}) for n in range(60)]
    runtime.wait_until_all_jobs_finished(60)

    assert [len(job.dead_letters) for job in jobs] == [1, 0, 0] * 20
    assert {job.status.value for job in jobs} == {"completed"}
