"""Hypothesis profiles; the environment variable HYPOTHESIS_PROFILE chooses one: quick, ci or long."""

import os

from hypothesis import HealthCheck, settings

# A shared machine may be slow at any moment: time must never fail a property.
settings.register_profile(
    "quick",
    max_examples=50,
    deadline=None,
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow],
)
# The same examples in each run: what fails in CI was broken by the change under test.
settings.register_profile("ci", settings.get_profile("quick"), derandomize=True)
settings.register_profile("long", settings.get_profile("quick"), max_examples=2_000, stateful_step_count=100)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "quick"))
