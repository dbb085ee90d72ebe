"""A run that has ended leaves no timers behind."""

from collections.abc import Callable

from flowforge.flow import Flow
from flowforge.routine import Routine
from tests.engine.machine import Machine


def test_a_run_that_ended_leaves_no_timers_in_the_dispatcher(machine: Machine, chain: Callable[..., Flow]) -> None:
    def remind(routine: Routine) -> None:
        for n in range(10):
            routine.emit_after(86_400, "out", n=n)

    flow = chain(remind, lambda routine, n: None)
    job = machine.boot(flow).exec(flow, job_id="job")
    machine.run(lets_time_pass=False)
    for _ in range(20):
        job.request_pause()
        machine.run(lets_time_pass=False)
        machine.runtime.resume_job(job)
        machine.run(lets_time_pass=False)

    assert len(machine.dispatcher._timers) == 10  # noqa: SLF001 - who else would know
