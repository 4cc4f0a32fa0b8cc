"""Profiles of the property tests: quick and repeatable by default, long with SNAPTABLE_HYPOTHESIS=long.

And the beginning and the end of a test run, as the PostgreSQL server sees them that its tests share.
"""

import os

import pytest
from hypothesis import HealthCheck, settings
from tests.snaptable.postgres.shared import SESSION, Session

SLOW = [HealthCheck.too_slow, HealthCheck.function_scoped_fixture]

settings.register_profile("quick", max_examples=60, deadline=None, derandomize=True, suppress_health_check=SLOW)
settings.register_profile(
    "long", max_examples=2_000, stateful_step_count=100, deadline=None, suppress_health_check=SLOW, print_blob=True
)
settings.load_profile(os.environ.get("SNAPTABLE_HYPOTHESIS", "quick"))


def pytest_configure(config: pytest.Config) -> None:
    """Begin a run; its workers, and test runs inside of it, share its server."""
    if SESSION not in os.environ:
        config.add_cleanup(Session().end)
