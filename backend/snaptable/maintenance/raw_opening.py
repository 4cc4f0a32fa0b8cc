"""Opening a store to look at without its models: a directory, a snapshot file by itself, or a backup."""

import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from pydantic_core import from_json

from snaptable.backup.archive import Archive
from snaptable.backup.encryption import is_encrypted
from snaptable.errors import BackupError, CorruptSnapshot, OpenError
from snaptable.maintenance.directory import StoreDirectory
from snaptable.maintenance.raw_store import RawStore
from snaptable.maintenance.stable_read import read_beside_writer
from snaptable.runtime.program_name import program
from snaptable.storage.disk.files import Files
from snaptable.storage.disk.names import SNAPSHOT, command
from snaptable.storage.migration import read_raw
from snaptable.storage.recovery import RecoveryResult
from snaptable.storage.snapshot import format as snapshot_format
from snaptable.storage.snapshot.pages import Pages
from snaptable.storage.snapshot.table_marks import TableMarks
from snaptable.storage.store import read_snapshot

ZIP = b"PK\x03\x04"


@contextmanager
def opened(path: str) -> Iterator[RawStore]:
    """Open a directory, a snapshot or a backup to look at; nothing is locked or changed. O(n).

    Raises:
        NotAStore: no store is there.
        OpenError: it is damaged, or of the older format.
        CorruptBackup, BackupError: a backup that is damaged, or encrypted.
    """
    place = Path(path).expanduser()
    if not place.is_file():
        yield _of_directory(StoreDirectory(path).files, Path(path))
        return
    with place.open("rb") as file:
        is_backup = is_encrypted(file) or file.read(len(ZIP)) == ZIP
    with ExitStack() as stack:
        if is_backup:
            folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="snaptable-"))
            _unpack(place, Path(folder))
            yield _of_directory(Files(Path(folder)), place)
        else:
            yield _of_snapshot(place)


def _of_directory(files: Files, path: Path) -> RawStore:
    def read() -> tuple[Pages, RecoveryResult]:
        """Return the state on the disk."""
        snapshot = read_snapshot(files)
        _refuse_older(path, snapshot)
        return read_raw(files, snapshot)

    pages, recovery = read_beside_writer(files, read)
    if recovery.header is None and recovery.store is not None:
        raise CorruptSnapshot(
            f"there is no {SNAPSHOT} in {path}, so what is secret is not known; "
            f"{command('repair', path)} writes it anew from the journal, and so does opening the store",
            path=files.path(SNAPSHOT),
        )
    marks = recovery.header.marks if recovery.header else TableMarks()
    return RawStore(path, recovery, files, pages, marks)


def _of_snapshot(path: Path) -> RawStore:
    data = path.read_bytes()
    _refuse_older(path, data)
    snapshot = snapshot_format.read(str(path), data)
    pages = Pages([section.table for section in snapshot.sections])
    for section in snapshot.sections:
        parts = (page for _, page in section.pages())
        pages.tables[section.table].load((page, list(from_json(b"{" + page + b"}"))) for page in parts)
    recovery = RecoveryResult.of_snapshot(snapshot.header, len(data))
    return RawStore(path, recovery, None, pages, snapshot.header.marks)


def _refuse_older(path: Path, snapshot: bytes | None) -> None:
    if snapshot is not None and snapshot.startswith(b"{") and not snapshot_format.is_ours(snapshot):
        raise OpenError(
            f"{path} is no snapshot as this library writes them: one of the older format is taken over when its "
            f"program opens it, any other JSON file is shown by: {program()} serve FILE.json",
            path=path,
        )


def _unpack(path: Path, folder: Path) -> None:
    """Unpack what a store is read from: snapshot and journal; every byte is verified."""
    with path.open("rb") as file:
        if is_encrypted(file):
            raise BackupError(f"{path} is encrypted: restore it into a folder, and look there", path=path)
        archive = Archive(str(path), file)
        for name in archive.manifest.members:
            if name == SNAPSHOT or name.startswith("db_journal/"):
                target = folder / name
                target.parent.mkdir(mode=0o700, exist_ok=True)
                with target.open("wb") as unpacked:
                    for part in archive.read(name):
                        unpacked.write(part)
                target.chmod(0o600)
