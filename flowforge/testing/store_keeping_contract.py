"""What stores promise that shorten long jobs or let jobs go, as tests: derive a class of them as of StoreContract."""

import threading
from collections.abc import Sequence

import pytest

from flowforge.errors import FlowForgeError
from flowforge.stores.store import Delete, FoldingStore, History, PrunableStore
from flowforge.testing.store_contract import StoreContract, StoreMedium, moved, started, written

__all__ = ["FoldingStoreContract", "PrunableStoreContract"]

_MANY = 1_000_000


class FoldingStoreContract(StoreContract):
    """What a store promises besides that shortens long jobs."""

    @pytest.mark.parametrize("keeps_records", [False, True])
    def test_a_shortened_job_has_lost_nothing(self, medium: StoreMedium, keeps_records: bool) -> None:  # noqa: FBT001 - pytest's
        """Base and records together are the job, and the first records are set aside if that was asked for."""
        count = _append_until_shortened(medium, keeps_records=keeps_records)

        store = medium.open()
        assert isinstance(store, FoldingStore)
        base, records = store.history("a")
        assert base is not None
        assert [record.position for record in records] == list(range(int(base) + 1, count + 1))
        first = 1 if keeps_records else int(base) + 1
        assert [record.position for record in store.every_record("a")] == list(range(first, count + 1))
        assert [record.position for record in store.every_record("a", count - 1)] == [count - 1, count][first - count :]
        store.close()

    def test_a_job_that_was_not_shortened_has_no_base(self, medium: StoreMedium) -> None:
        """A short job is its records, and a job that does not exist has none."""
        store = medium.open()
        assert isinstance(store, FoldingStore)
        medium.settle(store, store.append("a", started()))

        assert store.history("a") == History(None, [started()])
        assert list(store.every_record("a")) == [started()]
        assert store.history("b") == History(None, [])
        assert list(store.every_record("b")) == []
        store.close()

    def test_one_fold_at_a_time_is_taken(self, medium: StoreMedium) -> None:
        """Another is refused until the first was given back, and what had come by then is safe for the next."""
        store = medium.open()
        assert isinstance(store, FoldingStore)
        store.fold_with(_counted)
        with pytest.raises(FlowForgeError):
            store.fold_with(_counted)
        store.append("a", started())

        store.fold_with(None)
        store.fold_with(None)
        store.fold_with(_counted)

        assert store.history("a") == History(None, [started()])
        with pytest.raises(FlowForgeError):
            store.fold_with(_counted)
        store.close()


class PrunableStoreContract(StoreContract):
    """What a store promises besides that can let jobs go."""

    def test_jobs_that_are_let_go_leave_nothing_behind(self, medium: StoreMedium) -> None:
        """Finished jobs go by `prune`, any by `delete`, and an id is free again."""
        store = medium.open()
        assert isinstance(store, PrunableStore)
        for job, status in {"a": "completed", "b": "failed", "c": "paused"}.items():
            store.append(job, started())
            medium.settle(store, store.append(job, moved(2, status)))

        assert store.prune() == 1
        assert [job.id for job in store.jobs()] == ["b", "c"]
        assert (store.prune(older_than=0, status=["failed"]), store.delete(["c", "d"])) == (1, 1)
        store.vacuum()
        medium.settle(store, store.append("a", started("g")))
        store.close()

        again = medium.open()
        assert [again.records(job) for job in "abc"] == [[started("g")], [], []]
        again.close()

    def test_jobs_are_deleted_once_each_however_they_are_named(self, medium: StoreMedium) -> None:
        """An id that comes twice is one job, a text is one id, and what is no id is refused."""
        store = medium.open()
        assert isinstance(store, PrunableStore)
        for job in ["abc", "a", "b", "c"]:
            medium.settle(store, store.append(job, started()))

        assert (store.delete("abc"), store.delete(iter(["a"] * 1000))) == (1, 1)
        for wrong in [None, 5, [None], ["b", 5]]:
            with pytest.raises(FlowForgeError):
                store.delete(wrong)  # type: ignore[arg-type]  # as a user may
        assert [job.id for job in store.jobs()] == ["b", "c"]
        store.close()

        again = medium.open()
        assert [job.id for job in again.jobs()] == ["b", "c"]
        again.close()

    def test_whoever_uses_jobs_is_asked_with_no_lock_held(self, medium: StoreMedium) -> None:
        """Only what is free is deleted, and other threads may read meanwhile."""
        store = medium.open()
        assert isinstance(store, PrunableStore)
        for job in "ab":
            store.append(job, started())
            medium.settle(store, store.append(job, moved(2, "completed")))

        def let_go(jobs: Sequence[str], delete: Delete) -> Sequence[str]:
            reader = threading.Thread(target=store.jobs)
            reader.start()
            reader.join()
            return delete([job for job in jobs if job == "a"])

        store.let_go_with(let_go)

        assert (store.prune(), store.delete(["b"])) == (1, 0)
        store.let_go_with(None)
        assert (store.delete(["b"]), store.jobs()) == (1, [])
        store.close()


def _counted(_job: str, history: History) -> bytes:
    """A base that is the number of the records that it stands for."""
    return str(int(history.base or b"0") + len(history.records)).encode()


def _append_until_shortened(medium: StoreMedium, *, keeps_records: bool) -> int:
    """Make the job `a` so long that it is shortened; how many records it has."""
    has_folded = threading.Event()

    def fold(job: str, history: History) -> bytes:
        has_folded.set()
        return _counted(job, history)

    store = medium.open()
    assert isinstance(store, FoldingStore)
    store.fold_with(fold, keeps_records=keeps_records)
    count = 1
    number = store.append("a", started())
    while not has_folded.is_set():
        count += 1
        number = store.append("a", written(count, "x" * 100))
        if count % 500 == 0:
            medium.settle(store, number)
            assert count < _MANY, "a job of so many records is long"
    store.close()
    return count
