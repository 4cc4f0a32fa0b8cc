"""Fixtures of the commands' tests: the stores of the offline tools' tests."""

from tests.snaptable.maintenance.conftest import behind, directory, haunted, small_segments, states

__all__ = ["behind", "directory", "haunted", "small_segments", "states"]
