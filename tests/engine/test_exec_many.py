"""Starting many jobs at once."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from flowforge.flow import Flow
from flowforge.job_errors import PayloadTypeError, RuntimeOptionError
from flowforge.routine import Routine
from flowforge.runtime import Runtime
from flowforge.stores.codec_errors import UnencodableValueError

Chain = Callable[..., Flow]


def double(self: Routine, n: int) -> None:
    self.emit("out", n=2 * n)


def test_each_of_the_parameters_gets_a_job_of_its_own(runtime: Runtime, chain: Chain) -> None:
    jobs = runtime.exec_many(chain(double), [{"n": n} for n in range(20)])

    assert runtime.wait_until_all_jobs_finished(30)
    assert [job.outputs["a.out"] for job in jobs] == [[{"n": 2 * n}] for n in range(20)]
    assert len({job.job_id for job in jobs}) == 20


def test_no_parameters_start_no_job(runtime: Runtime, chain: Chain) -> None:
    assert runtime.exec_many(chain(double), []) == []


def test_if_one_of_the_parameters_does_not_fit_no_job_is_started(runtime: Runtime, chain: Chain) -> None:
    with pytest.raises(PayloadTypeError, match="the entry of the flow"):
        runtime.exec_many(chain(double), [{"n": 1}, 2])  # type: ignore[list-item]  # that is the point

    assert runtime.list_jobs() == []


def test_if_one_of_the_parameters_cannot_be_kept_no_job_is_started(chain: Chain, tmp_path: Path) -> None:
    flow = chain(double)
    with Runtime(2, store=f"sqlite:///{tmp_path / 'jobs.db'}", flows=[flow]) as runtime:
        with pytest.raises(UnencodableValueError, match="entry_params"):
            runtime.exec_many(flow, [{"n": 1}, {"n": object()}])

        assert runtime.list_jobs() == []


@pytest.mark.parametrize("params", [None, {"n": 1}, 5])
def test_what_is_no_list_of_parameters_is_refused(runtime: Runtime, chain: Chain, params: Any) -> None:
    expected = r"^The option entry_params cannot be .*\. Give a list of dicts, one for each job\.$"
    with pytest.raises(RuntimeOptionError, match=expected):
        runtime.exec_many(chain(double), params)


def test_many_durable_jobs_are_on_disk_when_it_returns(chain: Chain, tmp_path: Path) -> None:
    flow = chain(double)
    with Runtime(store=f"sqlite:///{tmp_path}/jobs.db", flows=[flow]) as runtime:
        jobs = runtime.exec_many(flow, [{"n": n} for n in range(50)])
        runtime.wait_until_all_jobs_finished(30)

    with Runtime(store=f"sqlite:///{tmp_path}/jobs.db", flows=[flow]) as runtime:
        found = [runtime.get_job(job.job_id) for job in jobs]
        assert [job.outputs["a.out"] for job in found if job is not None] == [[{"n": 2 * n}] for n in range(50)]
