"""The one safe write of a file: what is on the disk at each step, and what is left when it stops half-way."""

import errno
import stat
from contextlib import suppress
from pathlib import Path

import pytest
from tests.snaptable.storage.faults import Disk, FaultyFiles

from snaptable.storage.disk.atomic_write import PendingFile, replace_durably
from snaptable.storage.disk.files import Files, SyncFailed
from snaptable.testing.disk import SimulatedDisk


@pytest.fixture
def simulated() -> SimulatedDisk:
    """Give a simulated disk that holds a directory and one file."""
    disk = SimulatedDisk()
    disk.make_directory()
    replace_durably(disk, ".0.tmp", "file", [b"old"])
    disk.operations.clear()
    return disk


def test_chunks_are_published_under_a_name_known_at_the_end(tmp_path: Path) -> None:
    """Ensure a file written in chunks is whole under its final name, private, and nothing else is left."""
    files = Files(tmp_path)
    with PendingFile(files, ".incoming.tmp") as pending:
        for chunk in (b"a" * 10, b"b" * 10):
            pending.write([chunk])
        assert (tmp_path / ".incoming.tmp").exists()
        identity = pending.publish("name")
    assert (tmp_path / "name").read_bytes() == b"a" * 10 + b"b" * 10
    assert identity.size == 20
    assert files.list() == ["name"]
    assert stat.S_IMODE((tmp_path / "name").stat().st_mode) == 0o600


def test_the_order_of_the_steps(simulated: SimulatedDisk) -> None:
    """Ensure the content is synced before the rename, and the folder after it."""
    with PendingFile(simulated, ".1.tmp") as pending:
        pending.write([b"new"])
        pending.publish("file")
    assert [operation.kind for operation in simulated.operations] == ["create", "write", "sync", "rename", "syncdir"]
    assert simulated.read("file") == b"new"


def test_what_is_not_published_is_discarded(simulated: SimulatedDisk) -> None:
    """Ensure a block that is left without publishing, or by an exception, leaves the directory as it was."""
    with PendingFile(simulated, ".1.tmp") as pending:
        pending.write([b"never"])
    with suppress(ValueError), PendingFile(simulated, ".2.tmp") as pending:
        pending.write([b"never"])
        raise ValueError("too large")
    assert simulated.list() == ["file"]
    assert simulated.read("file") == b"old"


def test_a_temporary_name_that_is_taken_is_refused(tmp_path: Path) -> None:
    """Ensure the temporary file is created exclusively: what somebody planted under its name is not written to."""
    (tmp_path / ".1.tmp").write_bytes(b"planted")
    with pytest.raises(FileExistsError):
        PendingFile(Files(tmp_path), ".1.tmp")
    assert (tmp_path / ".1.tmp").read_bytes() == b"planted"


@pytest.mark.parametrize("operation", ["create", "write", "sync", "close", "replace"])
def test_a_step_that_fails_leaves_the_old_content(tmp_path: Path, operation: str) -> None:
    """Ensure that after any failed step before the name's sync the old content is there and nothing else."""
    disk = Disk()
    files = FaultyFiles(tmp_path, disk, fsync=False)
    replace_durably(files, ".0.tmp", "file", [b"old"])
    disk.fail(operation, errno.ENOSPC)
    with pytest.raises(OSError, match="space") as raised:
        replace_durably(files, ".1.tmp", "file", [b"new"])
    assert isinstance(raised.value, SyncFailed) == (operation == "sync")
    assert (tmp_path / "file").read_bytes() == b"old"
    assert files.list() == ["file"]
