"""`post` and `exec` inside a step are buffered and take effect with its commit."""

from collections.abc import Callable
from typing import Any

from flowforge.flow import Flow
from flowforge.routine import Routine
from flowforge.runtime import Runtime
from tests.engine.jobs import numbers

Chain = Callable[..., Flow]
Graph = Callable[..., Flow]


def pass_on(self: Routine, **payload: Any) -> None:
    self.emit("out", **payload)


def test_a_post_inside_a_step_takes_effect_with_it(runtime: Runtime, graph: Graph) -> None:
    def post(self: Routine) -> None:
        runtime.post(self.job_state, "b", "input", {"n": 1})

    job = runtime.exec(graph({"a": post, "b": pass_on}), "a")
    job.wait(30)

    assert (job.status, numbers(job, "b.out")) == ("completed", [1])


def test_a_post_inside_a_step_that_raises_leaves_no_trace(runtime: Runtime, graph: Graph) -> None:
    def post(self: Routine) -> None:
        runtime.post(self.job_state, "b", "input", {"n": 1})
        raise LookupError

    flow = graph({"a": post, "b": pass_on})
    flow.routines["a"].set_as_optional()
    job = runtime.exec(flow, "a")
    job.wait(30)

    assert (job.status, job.outputs) == ("completed", {})


def test_a_post_inside_a_step_to_another_job_is_sent_at_commit(runtime: Runtime, chain: Chain) -> None:
    other = runtime.exec(chain(pass_on), keep_alive=True)

    def post(self: Routine) -> None:
        runtime.post(other, "a", "input", {"n": 1})

    runtime.exec(chain(post)).wait(30)
    runtime.exec(chain(post, pass_on)).wait(30)
    other.close()
    other.wait(30)

    assert numbers(other, "a.out") == [1, 1]


def test_a_post_inside_a_step_arrives_after_its_commit(stepped: Runtime, graph: Graph) -> None:
    def post(self: Routine) -> None:
        stepped.post(self.job_state, "b", "input", {"n": 1})
        self.job_state.shared_data["is_committed"] = True

    def tell(self: Routine, n: int) -> None:
        self.emit("out", n=n, is_committed=self.job_state.shared_data.get("is_committed"))

    job = stepped.exec(graph({"a": post, "b": tell}), "a")
    job.wait()

    assert job.outputs["b.out"] == [{"n": 1, "is_committed": True}]


def test_exec_inside_a_step_starts_a_job_at_its_commit(runtime: Runtime, chain: Chain) -> None:
    def start(self: Routine, n: int) -> None:
        child = runtime.exec(chain(pass_on), entry_params={"n": n})
        self.emit("out", child=child.job_id)

    job = runtime.exec(chain(start), entry_params={"n": 7})
    job.wait(30)
    runtime.wait_until_all_jobs_finished(30)

    child = runtime.get_job(job.outputs["a.out"][0]["child"])
    assert child is not None
    assert (child.status, numbers(child, "a.out")) == ("completed", [7])


def test_exec_inside_a_step_that_raises_leaves_no_job(runtime: Runtime, chain: Chain) -> None:
    def start(self: Routine) -> None:
        runtime.exec(chain(pass_on), job_id="child")
        raise LookupError

    job = runtime.exec(chain(start))
    job.wait(30)

    assert runtime.list_jobs() == [job]
    assert runtime.wait_until_all_jobs_finished(1.0)


def test_exec_inside_a_step_that_is_retried_starts_one_job(runtime: Runtime, chain: Chain) -> None:
    attempts: list[int] = []

    def start(self: Routine) -> None:
        runtime.exec(chain(pass_on), job_id="child", entry_params={"n": 1})
        attempts.append(1)
        if len(attempts) < 3:
            raise LookupError

    flow = chain(start)
    flow.routines["a"].set_as_critical(retry_delay=0.0)
    job = runtime.exec(flow)
    job.wait(30)

    assert job.status == "completed"
    child = runtime.get_job("child")
    assert child is not None
    assert child.wait(30)
    assert numbers(child, "a.out") == [1]


def test_a_job_started_in_a_step_takes_posts_of_that_step(runtime: Runtime, chain: Chain) -> None:
    def start(self: Routine) -> None:
        child = runtime.exec(chain(pass_on), job_id="child", keep_alive=True)
        runtime.post(child, "a", "input", {"n": 9})

    job = runtime.exec(chain(start))
    job.wait(30)
    child = runtime.get_job("child")

    assert job.status == "completed"
    assert child is not None
    child.close()
    assert child.wait(30)
    assert numbers(child, "a.out") == [9]


def test_a_job_started_and_cancelled_in_one_step_does_not_run(runtime: Runtime, chain: Chain) -> None:
    def start(self: Routine) -> None:
        runtime.exec(chain(pass_on), job_id="child", entry_params={"n": 1}).cancel("changed my mind")

    runtime.exec(chain(start)).wait(30)
    child = runtime.get_job("child")

    assert child is not None
    assert child.wait(30)
    assert (child.status, child.outputs) == ("cancelled", {})
