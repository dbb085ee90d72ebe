from actors.worker_status import MONITOR_MOVES, WORKER_MOVES, MonitorStatus, WorkerStatus


def test_each_status_of_workers_and_monitor_has_its_moves() -> None:
    assert (set(WORKER_MOVES), set(MONITOR_MOVES)) == (set(WorkerStatus), set(MonitorStatus))


def test_only_an_active_worker_ends() -> None:
    ending = [status for status, moves in WORKER_MOVES.items() if WorkerStatus.ENDED in moves]

    assert ending == [WorkerStatus.ACTIVE]


def test_a_parked_monitor_looks_before_it_ends() -> None:
    assert MONITOR_MOVES[MonitorStatus.PARKED] == {MonitorStatus.LOOKING}


def test_what_has_ended_moves_no_more() -> None:
    assert not WORKER_MOVES[WorkerStatus.ENDED]
    assert not MONITOR_MOVES[MonitorStatus.ENDED]
