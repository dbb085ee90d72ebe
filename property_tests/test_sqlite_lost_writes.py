"""A SQLite store whose machine crashed: writes of its files that had not come to the disk are lost, in any order.

What the disk was asked to keep it may have kept, or lied: then the store is whole or says that it is damaged.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flowforge.stores.sqlite import SqliteStore
from flowforge.stores.store_errors import StoreDamagedError
from tests.stores.written_disks import SECTOR, Files, Jobs, Life, Moment, found, laid_out, mixed, record_of

PAGE = 4096
_LOG_HEADER = 32
_NEW = "z"


@pytest.fixture(scope="module")
def moments(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Moment]]:
    """The checkpoints of a store that has grown, folded, deleted, pruned and become smaller."""
    life = Life(tmp_path_factory.mktemp("life") / "jobs.db")
    for job in "abc":
        life.grow(job, 12)
    life.tidy()
    life.grow("a", 2)
    life.checkpoint()
    life.grow("b", 20)
    life.checkpoint()
    life.grow("a", 9)
    life.checkpoint("PASSIVE")
    life.shorten("a")
    life.checkpoint()
    life.grow("a", 4)
    life.shorten("b")
    life.grow("a", 3)
    life.checkpoint("PASSIVE")
    life.forget("c")
    life.checkpoint()
    life.grow("d", 11)
    life.grow("c", 8)
    life.shorten("a")
    life.checkpoint("PASSIVE")
    life.forget("c")
    life.grow("c", 8)
    life.tidy()
    life.checkpoint()
    life.forget_finished()
    life.checkpoint("PASSIVE")
    life.rewrite()
    life.checkpoint()
    life.grow("c", 9)
    life.checkpoint("PASSIVE")
    yield life.moments
    life.close()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where a store is put together, once for each example."""
    return tmp_path_factory.mktemp("crashed") / "files"


def go_on(store: SqliteStore) -> None:
    numbers = [store.append(_NEW, record_of(_NEW, 1, position)) for position in range(1, 4)]
    store.wait_until_safe(numbers[-1])


def some_of(count: int) -> st.SearchStrategy[set[int]]:
    """Few of so many, or nearly all."""
    if not count:
        return st.just(set())
    few = st.sets(st.integers(0, count - 1))
    return few | few.map(set(range(count)).difference)


@given(st.data())
def test_a_crash_in_a_checkpoint_loses_nothing(moments: list[Moment], folder: Path, data: st.DataObject) -> None:
    """Its pages come to the disk in any order, and the log, which has them all, was synchronised before."""
    at = data.draw(st.sampled_from(range(len(moments))), "checkpoint")
    before, after = moments[at].before, moments[at].after
    size = data.draw(st.sampled_from([len(after.database), len(before.database)]), "length")
    unwritten = data.draw(some_of(size // PAGE), "pages not written")
    # It is told only to the system's memory up to where the store is safe.
    lock = data.draw(st.sampled_from([moment.before.lock for moment in moments[at::-1]]), "lock")
    whole = (after.database + before.database[len(after.database) :])[:size]
    database = mixed(whole, dict.fromkeys(unwritten, before.database), PAGE)

    path = laid_out(before._replace(database=database, lock=lock), folder)

    assert found(path, go_on) == moments[at].jobs
    assert found(path) == {**moments[at].jobs, _NEW: (1, 3)}


@given(st.data())
def test_a_crash_while_the_log_begins_anew_loses_nothing_acknowledged(
    moments: list[Moment], folder: Path, data: st.DataObject
) -> None:
    """It is written over the old one, its header first; what it held is in the database by then."""
    begun = [at for at in range(1, len(moments)) if moments[at - 1].after.log]
    at = data.draw(st.sampled_from(begun), "checkpoint")
    old, new = moments[at - 1].after, moments[at].before
    assert old.log[:_LOG_HEADER] != new.log[:_LOG_HEADER]
    size = data.draw(st.sampled_from(sorted({len(new.log), len(old.log)})), "length")
    unwritten = data.draw(some_of(-(-size // SECTOR)), "sectors not written")
    log = new.log[:_LOG_HEADER] + mixed(new.log[:size], dict.fromkeys(unwritten, old.log), SECTOR)[_LOG_HEADER:]

    path = laid_out(new._replace(log=log, lock=old.lock), folder)

    jobs = found(path, go_on)
    assert jobs in moments[at].passed
    assert found(path) == {**jobs, _NEW: (1, 3)}


def lied(moments: list[Moment], at: int, *, is_cut: bool) -> tuple[Files, list[bytes]]:
    """The files at a checkpoint, its log cut or begun anew, and what the disk had of the database, the last first."""
    images = [image.database for moment in moments[:at] for image in (moment.before, moment.after)]
    images.append(moments[at].before.database)
    if not is_cut:
        return moments[at].before, images[::-1]
    images.append(moments[at].after.database)
    return moments[at].after._replace(log=b""), images[::-1]


def outcome(path: Path, moment: Moment, **use: Any) -> Jobs | None:
    """What is found there, which is all that was acknowledged; None if damage is reported.

    Of the last deletions some may not have taken place, for nothing but the lost pages tells of them.
    """
    try:
        jobs = found(path, **use)
    except StoreDamagedError:
        return None
    assert {job: seen for job, seen in jobs.items() if job != _NEW} in moment.undone
    return jobs


@given(st.data())
def test_what_a_lying_disk_lost_is_reported_or_does_no_harm(
    moments: list[Moment], folder: Path, data: st.DataObject
) -> None:
    """Pages are as old as it may be, or torn, though they were to be safe before their log was cut."""
    at = data.draw(st.sampled_from(range(len(moments))), "checkpoint")
    files, images = lied(moments, at, is_cut=data.draw(st.booleans(), "log was cut"))
    image = data.draw(st.just(images[0]) | st.sampled_from(images), "database")
    block = data.draw(st.sampled_from([PAGE, SECTOR]), "what is lost as a whole")
    blocks = st.integers(0, len(image) // block - 1)
    stale = data.draw(st.dictionaries(blocks, st.sampled_from(images)), "blocks as they were")

    path = laid_out(files._replace(database=mixed(image, stale, block)), folder)

    went_on, again = outcome(path, moments[at], use=go_on), outcome(path, moments[at])
    assert again is None or went_on is None or again == {**went_on, _NEW: (1, 3)}


def test_one_page_that_a_lying_disk_lost_is_reported_or_does_no_harm(moments: list[Moment], folder: Path) -> None:
    outcomes: list[Jobs | None] = []
    for at, moment in enumerate(moments):
        files, (new, *images) = lied(moments, at, is_cut=True)
        old = next(image for image in images if image != new)
        for page in range(len(new) // PAGE):
            database = mixed(new, {page: old}, PAGE)
            if database != new:
                outcomes.append(outcome(laid_out(files._replace(database=database), folder), moment))

    # Of some pages nothing is needed any more.
    assert None in outcomes
    assert any(outcomes)
