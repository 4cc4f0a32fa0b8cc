"""What the tests of the disk share."""

from pathlib import Path

import pytest


@pytest.fixture
def tmp_path(on_disk: Path) -> Path:
    """Give a folder on the disk: names, locks, renames and rights are the point here."""
    return on_disk
