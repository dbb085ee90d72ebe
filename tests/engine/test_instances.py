"""The routine that a user adds is a template; each job gets an instance of its own."""

from collections.abc import Callable
from typing import Any

from flowforge.activation_policies import batch_size_policy
from flowforge.error_handler import ErrorHandler
from flowforge.flow import Flow
from flowforge.job_state import JobState
from flowforge.routine import Routine
from flowforge.runtime import Runtime

Run = Callable[..., JobState]


class Tool(Routine):
    """Tells what it is made of."""

    def __init__(self, size: int, *, client: Any = None) -> None:
        super().__init__()
        self.size = size
        self.client = client
        self.items: list[int] = []
        self.define_slot("input", handler=self.work)
        self.define_event("out")

    def work(self, n: int = 0) -> None:
        self.items.append(n)
        self.emit("out", size=self.size, items=list(self.items), unit=self.get_config("unit"))


def flow_of(routine: Routine, **options: Any) -> Flow:
    flow = Flow("flow", **options)
    flow.add_routine(routine, "a")
    return flow


def test_an_instance_is_built_with_the_templates_arguments(run: Run) -> None:
    job = run(flow_of(Tool(3)))

    assert job.outputs["a.out"][0]["size"] == 3


def test_what_the_constructor_makes_belongs_to_one_job(run: Run) -> None:
    template = Tool(3)
    flow = flow_of(template)

    items = [run(flow, n=n).outputs["a.out"][0]["items"] for n in (1, 2)]

    assert items == [[1], [2]]
    assert template.items == []


def test_objects_given_from_outside_are_shared_by_reference(run: Run) -> None:
    client: list[int] = []

    class Calling(Tool):
        def work(self, n: int = 0) -> None:
            self.client.append(n)

    flow = flow_of(Calling(1, client=client))
    for n in (1, 2):
        run(flow, n=n)

    assert client == [1, 2]


def test_an_attribute_set_on_the_template_reaches_the_instance(run: Run) -> None:
    template = Tool(3)
    template.size = 4

    assert run(flow_of(template)).outputs["a.out"][0]["size"] == 4


def test_config_set_on_the_template_reaches_the_instance(run: Run) -> None:
    template = Tool(3)
    template.set_config(unit="m")

    assert run(flow_of(template)).outputs["a.out"][0]["unit"] == "m"


def test_what_is_set_between_two_jobs_counts_for_the_second(run: Run) -> None:
    template = Tool(3)
    flow = flow_of(template)
    first = run(flow)
    template.set_config(unit="km")
    second = run(flow)

    assert [job.outputs["a.out"][0]["unit"] for job in (first, second)] == [None, "km"]


def test_what_is_set_after_a_job_has_begun_does_not_reach_it(runtime: Runtime) -> None:
    template = Tool(3)
    flow = flow_of(template)
    jobs = []
    for unit in ("m", "km"):
        template.set_config(unit=unit)
        template.size += 1
        jobs.append(runtime.exec(flow, "a", {}, keep_alive=True))
        template.set_config(unit="mile")
    for job in jobs:
        job.close()

    outputs = [job.outputs["a.out"][0] for job in jobs if job.wait(30)]
    assert [(output["size"], output["unit"]) for output in outputs] == [(4, "m"), (5, "km")]


def test_slots_and_events_added_to_the_template_reach_the_instance(runtime: Runtime) -> None:
    template = Tool(3)
    template.define_event("late")
    template.define_slot("second", handler=lambda: template.emit("late", n=1))

    job = runtime.exec(flow_of(template), "a", {}, "second")
    job.wait(30)

    assert job.outputs == {"a.late": [{"n": 1}]}


def test_logic_and_policy_set_on_the_template_reach_the_instance(run: Run) -> None:
    class Gathering(Tool):
        def gather(self, slot_data: Any, message: Any, job_state: Any) -> None:
            self.emit("out", is_template=self is template, policy=message["policy"])

    template = Gathering(3)
    template.set_logic(template.gather)
    template.set_activation_policy(batch_size_policy(2))

    assert run(flow_of(template)).outputs["a.out"] == [{"is_template": False, "policy": "batch_size"}]


def test_the_error_handler_set_on_the_template_reaches_the_instance(run: Run) -> None:
    template = Tool(3)
    template.define_slot("trigger", handler=lambda: 1 / 0)
    template.set_error_handler(ErrorHandler("skip"))

    assert run(flow_of(template)).status == "completed"


def test_the_instance_knows_its_id_and_its_job(run: Run) -> None:
    template = Tool(3)
    template.define_slot(
        "trigger", handler=lambda: template.emit("out", ids=[template.routine_id, template.job_state.job_id])
    )

    job = run(flow_of(template))

    assert job.outputs["a.out"] == [{"ids": ["a", job.job_id]}]


def test_subclasses_that_count_their_instances_see_one_per_job(run: Run) -> None:
    built: list[Routine] = []

    class Counting(Tool):
        def __init__(self) -> None:
            super().__init__(0)
            built.append(self)

    flow = flow_of(Counting())
    run(flow)
    run(flow)

    assert len(built) == 3


def test_a_constructor_that_raises_in_a_restart_is_tried_again(run: Run) -> None:
    broken: list[int] = []
    built: list[int] = []

    class Fragile(Tool):
        def __init__(self) -> None:
            super().__init__(0)
            built.append(1)
            if broken:
                raise ConnectionError("no client")

        def on_start(self) -> None:
            broken.append(1)
            raise TimeoutError("not yet")

    job = run(flow_of(Fragile()))

    assert (job.status, job.failed_routine, len(built)) == ("failed", "a", 5)
    assert job.error is not None
    assert job.error.text == "no client"


def test_a_job_that_failed_for_a_constructor_goes_on_when_it_raises_no_more(runtime: Runtime) -> None:
    broken: list[int] = []

    class Fragile(Tool):
        def __init__(self) -> None:
            super().__init__(4)
            if broken:
                raise ConnectionError("no client")

    flow = flow_of(Fragile())
    broken.append(1)
    job = runtime.exec(flow)
    assert job.wait(30)
    broken.clear()
    runtime.resume_job(job)

    assert job.wait(30)
    assert job.outputs["a.out"][0]["size"] == 4


def test_state_set_on_the_template_is_the_initial_state_of_later_jobs(run: Run) -> None:
    template = Tool(3)
    flow = flow_of(template)
    first = run(flow)
    template.set_stat("n", 1)
    second = run(flow)

    assert [job.get_routine_state("a") for job in (first, second)] == [{}, {"n": 1}]


def test_what_a_job_does_to_its_state_leaves_the_template_alone(run: Run) -> None:
    class Counting(Tool):
        def work(self, n: int = 0) -> None:
            self.increment_stat("n")
            self.state["items"].append(n)

    template = Counting(3)
    template.state["items"] = []
    flow = flow_of(template)

    states = [run(flow).get_routine_state("a") for _ in range(2)]

    assert states == [{"items": [0], "n": 1}] * 2
    assert template.state == {"items": []}
