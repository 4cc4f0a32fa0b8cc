"""Profiles of the property tests: quick and repeatable by default, long with SNAPTABLE_HYPOTHESIS=long."""

import os

from hypothesis import HealthCheck, settings

SLOW = [HealthCheck.too_slow, HealthCheck.function_scoped_fixture]

settings.register_profile("quick", max_examples=60, deadline=None, derandomize=True, suppress_health_check=SLOW)
settings.register_profile(
    "long", max_examples=2_000, stateful_step_count=100, deadline=None, suppress_health_check=SLOW, print_blob=True
)
settings.load_profile(os.environ.get("SNAPTABLE_HYPOTHESIS", "quick"))
