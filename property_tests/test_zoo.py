"""Seeded defects are found by the default settings, and shrink to what a reader can follow.

Each specimen is a small patch of the engine, or a wrong flow, that shows nothing in the usual order of steps.
"""

import pytest
from hypothesis import given

from flowforge.testing.schedule import Schedule
from property_tests.zoo.collection import ZOO
from property_tests.zoo.specimen import MOST_EXAMPLES, Specimen

every_specimen = pytest.mark.parametrize("specimen", ZOO, ids=lambda specimen: specimen.name.replace(" ", "-"))


def check_search(specimen: Specimen, seed: int) -> None:
    found = specimen.search(seed)

    assert 1 < found.examples <= MOST_EXAMPLES
    assert 1 <= found.schedule.size <= 2


def test_the_zoo_holds_at_least_fifteen_different_defects() -> None:
    assert len({specimen.name for specimen in ZOO}) == len(ZOO) >= 15


@every_specimen
def test_without_its_defect_every_schedule_goes_well(specimen: Specimen) -> None:
    try_schedule = specimen.trial(is_seeded=False)

    given(specimen.schedules())(try_schedule)()


@every_specimen
def test_the_usual_order_does_not_show_the_defect(specimen: Specimen) -> None:
    try_schedule = specimen.trial(is_seeded=True)

    try_schedule(Schedule())


@every_specimen
def test_the_defect_is_found_and_shrinks_to_two_deviations(
    specimen: Specimen, caplog: pytest.LogCaptureFixture
) -> None:
    check_search(specimen, seed=0)

    # An actor that a patch breaks would be found too, and say nothing of the defect that the patch stands for.
    assert "broke" not in caplog.text


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(5))
@every_specimen
def test_every_seed_finds_and_shrinks_the_defect(specimen: Specimen, seed: int) -> None:
    check_search(specimen, seed)
