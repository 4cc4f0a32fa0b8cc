"""A backup of a directory, without its models and without its lock: beside a process that has it open, or of none."""

import os
from collections.abc import Sequence

from snaptable.backup.archive import OnProgress
from snaptable.backup.making import Backup, Facts, encryption_for, target_of, write_backup
from snaptable.changes.captures import Capture
from snaptable.errors import BackupError
from snaptable.maintenance.directory import StoreDirectory
from snaptable.maintenance.stable_read import read_beside_writer
from snaptable.maintenance.untyped import UntypedStore, ignore_progress, recover_untyped
from snaptable.runtime.clock import timestamp
from snaptable.storage.capture import Content, capture
from snaptable.storage.disk.files import Files
from snaptable.storage.snapshot.checksum import ChecksummedBytes
from snaptable.storage.snapshot.format import SnapshotHeader
from snaptable.storage.snapshot.table_marks import TableMarks
from snaptable.storage.store import read_snapshot


def back_up_directory(
    directory: StoreDirectory,
    path: str | os.PathLike[str],
    facts: Facts,
    *,
    recipients: Sequence[str] = (),
    passphrase: str | None = None,
    on_progress: OnProgress = ignore_progress,
) -> Backup:
    """Back up what a directory holds, durable commits that its snapshot lacks included; O(n).

    Args:
        directory: the store's.
        path: a new file, or a folder.
        facts: what the manifest says of the models, and which folders go in.
        recipients: public keys to encrypt it for.
        passphrase: to encrypt it with instead.
        on_progress: told the number of bytes captured since the last call.

    Raises:
        BackupError: it could not be made; see `Database.backup`. Also if files of the folders are removed meanwhile.
        OpenError: the store is damaged.
    """
    encryption = encryption_for(recipients, passphrase)
    folder, name = target_of(path, directory.root, facts.folders)

    def take() -> Capture:
        """Capture the files, beside a writer if there is one."""
        return capture(
            directory.files,
            facts.folders,
            lambda: _content(read_beside_writer(directory.files, lambda: _read(directory.files))),
        )

    return write_backup(Files(folder), name, take, facts, encryption, on_progress)


def _read(files: Files) -> UntypedStore:
    state = recover_untyped(files, read_snapshot(files))
    if state.id is None:
        raise BackupError(f"there is nothing in {files.root} to back up", path=files.root)
    return state


def _content(state: UntypedStore) -> Content:
    pages, store = state.pages, state.id
    assert store is not None
    header = SnapshotHeader(
        store, state.sequence, max(timestamp(), state.at), pages.counts(), state.head_digest, dict(pages.numbered),
        tuple(pages.migrations), pages.erased, pages.marks or TableMarks(),
    )  # fmt: skip
    return header, {name: [ChecksummedBytes([page]) for page in lines] for name, lines in pages.render().items()}
